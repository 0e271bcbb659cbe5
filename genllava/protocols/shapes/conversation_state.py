"""Where a conversation of the shapes model stands: its token stream and its pictures."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import torch
from PIL import Image
from torch import Tensor

from genllava.errors import InvalidRequest
from genllava.images import content_key
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.copying import NextRequest
from genllava.protocols.shapes.latents import Picture
from genllava.protocols.shapes.noting import noted_captions
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.stream import StreamMark, TokenStream
from genllava.protocols.shapes.tokens import BOS, EOS, IMAGE, USER_END, USER_START
from genllava.requests import Seen

_GONE: Final = Image.new("RGB", (8, 8), "white")
"""Stands for a picture of which nothing is known any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A place in a conversation that it can go back to."""

    stream: StreamMark
    pictures: int
    request: str
    seen: str
    acted: bool


class ConversationState:
    """The token stream of a conversation and its pictures, numbered from 1; it goes back, branches and is replayed.

    Attributes: see `Conversation`.
    """

    def __init__(self, parts: ShapesParts) -> None:
        self._parts = parts
        self._language = parts.language
        self._stream = TokenStream(self._language)
        self._stream.append(0, [self._language.id(BOS)])
        self._features: dict[str, Tensor] = {}
        self.acted = False
        self.pictures: list[Picture] = []
        self.hidden: frozenset[int] = frozenset()
        self.request = self.seen = ""

    @property
    def ids(self) -> list[int]:
        """The token ids of the whole conversation."""
        return list(self._stream.ids[0])

    def __len__(self) -> int:
        return len(self._stream.ids[0])

    @property
    def cache_bytes(self) -> int:
        """What its key-value cache takes when all of it is read."""
        return len(self) * self._language.bytes_per_token

    @property
    def unread(self) -> int:
        """Tokens that are put down and will be read with what comes next."""
        return self._stream.unread

    @property
    def left(self) -> str:
        """What the user's message asks for after the request that was taken up last; empty if it is a single one."""
        return self._language.text(NextRequest(self._language.tokenizer, self._stream.ids[0]).left)

    @property
    def captions(self) -> dict[int, str]:
        """What is known of pictures in words, by number: as noted, or as seen when one was looked at by itself."""
        return dict(noted_captions(self._language, self._stream.ids[0])) | self._looked_at()

    def since(self, length: int) -> tuple[int, ...]:
        """The token ids after the first `length`."""
        return tuple(self._stream.ids[0][length:])

    @torch.no_grad()
    def recall(
        self, pictures: Sequence[Seen], captions: Mapping[int, str], left: Sequence[int] | None = None
    ) -> None:  # fmt: skip
        """Begin in the middle of a long conversation: all its pictures count, and those that are seen can be edited.

        Args:
            pictures: all so far, in their order.
            captions: of those that are seen, by number; empty where there is none.
            left: their numbers, where others are gone.

        Raises:
            ImageRejected; InvalidRequest: too long.
        """
        language, numbers = self._language, sorted(captions)
        self.pictures = []
        self._count([self._parts.picture(source) for source in pictures], left)
        self.hidden = frozenset(range(1, len(self.pictures) + 1)) - captions.keys()
        if not numbers:
            return
        known = [f"{layout.picture_prefix(number)} {captions[number]}" for number in numbers if captions[number]]
        said, last = " ".join(known), captions[numbers[-1]] or layout.DESCRIBE
        ids = layout.exchange(language.tokenizer, layout.DESCRIBE, numbers, language.tokens_per_image, said, last)
        self._stream.append(0, ids, self._see([self.pictures[number - 1] for number in numbers]))

    @torch.no_grad()
    def replay(
        self, ids: Sequence[int], pictures: Sequence[Seen], *, left: Sequence[int] | None = None, request: str = "",
        seen: str = "", acted: bool = False,
    ) -> None:  # fmt: skip
        """Go on as if what was said elsewhere had been said here; it is read when something follows from it.

        Args:
            ids: token ids of it, as `ids` had them.
            pictures: those whose placeholders are among the ids, in their order.
            left: their numbers, where others are gone.
            request, seen, acted: the state after it, as in its `mark()`; by default that after a turn's end.

        Raises:
            ImageRejected; InvalidRequest: too long, or not as many pictures as placeholders.
        """
        language = self._language
        shown = [self._parts.picture(source) for source in pictures]
        if list(ids).count(language.id(IMAGE)) != len(shown) * language.tokens_per_image:
            raise InvalidRequest(f"these tokens do not show {len(shown)} pictures: they are of another model")
        self._stream.append(0, ids, self._see(shown))
        self._count(shown, left)
        self.request, self.seen, self.acted = request, seen, acted

    def end_turn(self, said: str = "") -> None:
        """Close the assistant's turn, if it is open. What was taken up and noted, and not acted on, is forgotten.

        Where nothing was done at all, it is as if the message had not been said, unless it brought pictures: these
        stay, and are looked at later.

        Args:
            said: what is said to such a message in place of the model.
        """
        if self._stream.ids[0][-1] in (self._language.id(BOS), self._language.id(EOS)):
            return
        if self._forget_look():
            ids, tokenizer = self._stream.ids[0], self._language.tokenizer
            message = len(ids) - 1 - ids[::-1].index(self._language.id(USER_START))
            if self._language.id(IMAGE) not in ids[message:]:
                if not said:
                    self._stream.rollback(StreamMark(message, None))
                    return
                self._stream.append(0, [*layout.seen(tokenizer, ""), *layout.answer(tokenizer, said)])
        self._stream.append(0, [self._language.id(EOS)])
        self.acted = False

    def mark(self) -> Mark:
        """The present state, for `rollback`."""
        return Mark(self._stream.mark(), len(self.pictures), self.request, self.seen, self.acted)

    def rollback(self, mark: Mark) -> None:
        """Forget everything since `mark`; what was computed before it is kept."""
        self._stream.rollback(mark.stream)
        del self.pictures[mark.pictures :]
        self.hidden = frozenset(number for number in self.hidden if number <= mark.pictures)
        self.request, self.seen, self.acted = mark.request, mark.seen, mark.acted

    def branch(self) -> Self:
        """A conversation of its own that goes on from here; what was computed so far is shared."""
        other = copy.copy(self)
        other._stream = self._stream.select([0])
        other._features, other.pictures = dict(self._features), list(self.pictures)
        return other

    def anew(self) -> Self:
        """An empty conversation, in which the pictures that are seen here are not encoded again."""
        other = type(self)(self._parts)
        seen = {content_key(self.pictures[number - 1].image) for number in self._visible()}
        other._features = {key: features for key, features in self._features.items() if key in seen}
        return other

    def release(self) -> None:
        """Give the cache's memory back; the next turn reads the conversation again."""
        self._stream.release()

    def _count(self, pictures: Sequence[Picture], numbers: Sequence[int] | None) -> None:
        """Let pictures join those that there are, each at its number; of numbers between them nothing is known.

        Raises:
            InvalidRequest: there is another picture of such a number.
        """
        for place, picture in enumerate(pictures):
            number = len(self.pictures) + 1 if numbers is None else numbers[place]
            if number <= len(self.pictures):
                raise InvalidRequest(f"image {number} comes after one of a higher number: begin a new conversation")
            gone = range(len(self.pictures) + 1, number)
            self.pictures += [self._parts.picture(_GONE)] * len(gone)
            self.hidden |= frozenset(gone)
            self.pictures.append(picture)

    def _visible(self) -> list[int]:
        """Numbers of the pictures that are seen here."""
        return [number for number in range(1, len(self.pictures) + 1) if number not in self.hidden]

    @contextmanager
    def _unchanged_by_failure(self) -> Iterator[None]:
        before = self.mark()
        try:
            yield
        except BaseException:
            self.rollback(before)
            raise

    def _looked_at(self) -> dict[int, str]:
        """What the model saw in pictures that it looked at by themselves."""
        return {number: picture.caption for number, picture in enumerate(self.pictures, 1) if picture.caption}

    def _forget_look(self) -> bool:
        """Forget what was taken up and noted and not acted on; returns whether nothing was done since the message."""
        if self.acted:
            return False
        looked_from = NextRequest(self._language.tokenizer, self._stream.ids[0]).looked_from
        self._stream.rollback(StreamMark(looked_from, None))
        self.acted = self._stream.ids[0][-1] != self._language.id(USER_END)
        return not self.acted

    def _see(self, pictures: Sequence[Picture]) -> list[Tensor]:
        """Features [P, D] of each picture; one that was seen before is not encoded again."""
        keys = [content_key(picture.image) for picture in pictures]
        new = {k: p.image for k, p in zip(keys, pictures, strict=True) if k not in self._features}
        self._features.update(zip(new, self._language.encode_pictures(list(new.values())), strict=True))
        return [self._features[key] for key in keys]

    def _request_ids(self) -> list[int]:
        """The words of the request that was taken up last, without the pictures that came with it; none if none was."""
        ids, language = self._stream.ids[0], self._language
        if language.id(USER_END) not in ids:
            return []
        end = len(ids) - 1 - ids[::-1].index(language.id(USER_END))
        begins = (language.id(USER_START), language.id(IMAGE))
        return ids[next(at for at in range(end, -1, -1) if ids[at] in begins) + 1 : end]
