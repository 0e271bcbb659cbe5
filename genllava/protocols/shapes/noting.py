"""What the model may note of the pictures of a conversation, so that its notes fit together.

A picture that does not exist cannot be described, none is described twice in a row, one that was described before is
described in the same words, what is noted `in image K` is noted of the picture described last, a picture that the
request names is described last, and where one picture gives something to another (`from image 3 to image 2`), these two
are described last, the one that gets it at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import IMAGE, SEEN, USER_END, USER_START

if TYPE_CHECKING:
    from genllava.protocols.shapes.language import LanguageModel


def noted_captions(language: LanguageModel, ids: Sequence[int]) -> list[tuple[int, str]]:
    """The captions that the model noted in a conversation: (number of the picture, words), in their order."""
    starts = {language.id(token) for token in (USER_END, IMAGE)}
    ends = {language.id(token) for token in (SEEN, USER_START)}
    borders = starts | ends
    places = [at for at, token in enumerate(ids) if token in borders]
    notes = [
        ids[begin + 1 : end]
        for begin, end in pairwise([*places, len(ids)])
        if end > begin + 1 and ids[begin] in starts and (end == len(ids) or ids[end] in ends)
    ]
    return [caption for piece in notes for caption in layout.captions_in(language.text(piece))]


class Notes:
    """Which tokens may come next in what is noted (`decoding.Constraint`).

    Args:
        visible: numbers of the pictures that can be seen.
        captions: known words of captions, by number, of pictures that can no longer be seen as well.
        described: numbers of pictures in the order in which they were described so far.
        named: numbers that the request names; if it is one, it is asked about that picture.
    """

    def __init__(
        self,
        language: LanguageModel,
        visible: Sequence[int],
        captions: Mapping[int, str],
        described: Sequence[int],
        named: Sequence[int] = (),
    ) -> None:
        self._language = language
        self._visible = visible
        self._there = sorted({*visible, *captions})  # to tell what is known of a picture nobody has to see it
        self._captions = captions
        self._described = list(described)
        self._before = len(described)
        self._lender: int | None = None
        self._last: list[int] = []  # still to be described, in this order
        self._about = False  # `in image K,` was written
        self._previous: int | None = None
        self._options: dict[int, list[int]] = {}  # by the number that they name, how it may go on after `image`
        self._choose: Callable[[int], None] = self._described.append
        words = [self._ids(word) for word in ("image", "in", "from")]
        self._free = any(len(ids) > 1 for ids in words)  # a tokenizer that has not learnt these words: nothing is held
        self._image, self._in, self._from = (ids[0] for ids in words)
        # What may not follow before those that have to be last are described.
        self._early = {self._in, *(language.id(token) for token in (SEEN, USER_START))}
        if len(set(named)) == 1 and named[0] in self._there and self._described[-1:] != [named[0]]:
            self._last = self._ending_with(named)

    def allowed(self) -> set[int]:
        """The tokens that may come next; empty where any word may that is not `barred`."""
        return {option[0] for option in self._options.values()}

    def barred(self) -> set[int]:
        """Tokens that may not come next."""
        numbers, _, _ = self._ways()
        barred = set() if self._free or numbers else {self._image}
        return barred | self._early if self._last else barred

    def advance(self, token: int) -> None:
        """Take the next token of the notes into account."""
        if not self._options and token == self._image and not self._free:
            self._take(*self._ways())
        elif self._options:
            self._options = {n: option[1:] for n, option in self._options.items() if option[0] == token}
            chosen = next((n for n, option in self._options.items() if not option), None)
            if chosen is not None:
                self._options = {}
                self._choose(chosen)
        self._previous = token

    def _ways(self) -> tuple[Sequence[int], str | None, Callable[[int], None]]:
        """The numbers that may come after `image`, what follows them (None: the caption), and what comes of it."""
        if self._previous == self._in:
            return self._described[-1:] or self._there, ",", self._is_about
        if self._about:
            return [] if self._lender is None else [self._lender], ",", lambda number: None
        if self._previous == self._from and len(self._there) > 1:
            return self._there, " to image", self._lends
        if self._lender is not None or self._last:
            return self._last[:1], None, self._describes
        now = self._described[self._before :]
        return [number for number in self._there if number not in now], None, self._describes

    def _take(self, numbers: Sequence[int], then: str | None, choose: Callable[[int], None]) -> None:
        """Go on with one of these, as `_ways` has them."""
        self._options = {number: self._written(number, then)[1:] for number in numbers}
        self._choose = choose

    def _lends(self, number: int) -> None:
        self._lender = number
        self._take([other for other in self._there if other != number], " image", self._gets)

    def _gets(self, number: int) -> None:
        assert self._lender is not None
        self._last = self._ending_with([self._lender, number])
        self._take(*self._ways())

    def _ending_with(self, last: Sequence[int]) -> list[int]:
        """Pictures that were not described yet, and then these."""
        new = [other for other in self._visible if other not in self._described and other not in last]
        return [*new, *dict.fromkeys(last)]

    def _describes(self, number: int) -> None:
        self._described.append(number)
        self._last = [other for other in self._last if other != number]
        if self._last and number in self._captions:  # its words are over, so the next picture follows
            self._options = {other: self._written(other, None) for other in self._last[:1]}

    def _is_about(self, number: int) -> None:
        self._about = True

    def _written(self, number: int, then: str | None) -> list[int]:
        """`image K` and what follows, its caption if `then` is None."""
        caption = f"{layout.picture_prefix(number)} {self._captions.get(number, '')}".rstrip()
        return self._ids(caption if then is None else f"image {number}{then}")

    def _ids(self, text: str) -> list[int]:
        return layout.text_ids(self._language.tokenizer, text)
