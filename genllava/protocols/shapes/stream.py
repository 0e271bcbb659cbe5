"""Token contexts on a key-value cache, of which the language model reads every token once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genllava.errors import InvalidRequest, NonFiniteError
from genllava.protocols.shapes.growing_cache import new_cache
from genllava.protocols.shapes.language import LanguageModel
from genllava.protocols.shapes.tokens import IMAGE, PAD, QUERY


@dataclass(frozen=True, slots=True, eq=False)
class StreamMark:
    """A place in a stream of one row that it can go back to."""

    length: int
    last: Tensor | None


class TokenStream:
    """B contexts of tokens side by side.

    Tokens are queued by `append` and read when something asks for what follows from them, all that is queued
    in one pass on the cache. Rows of unequal length are padded on the left of each pass; padding is never
    attended to and takes no position, so a row gives what it would give alone. That holds in the middle of a
    context as well.

    Attributes:
        ids: the tokens of each row.
    """

    def __init__(self, language: LanguageModel, rows: int = 1) -> None:
        self.language = language
        self.ids: list[list[int]] = [[] for _ in range(rows)]
        self._features: list[list[Tensor]] = [[] for _ in range(rows)]
        self._last: Tensor | None = None
        self._mask: Tensor
        self._is_aside = False
        self.release()

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, row: int, ids: Sequence[int], features: Sequence[Tensor] = ()) -> None:
        """Queue tokens, with the features [P, D] of the pictures whose placeholders are among them.

        Raises:
            InvalidRequest: the context would be longer than the model allows.
        """
        if len(self.ids[row]) + len(ids) > self.language.max_length:
            raise InvalidRequest(
                f"too long: the model reads at most {self.language.max_length} tokens. Say it in fewer words, with "
                "fewer pictures, or in a new conversation"
            )
        self.ids[row] += ids
        self._features[row] += features

    def append_all(self, ids: Sequence[int]) -> None:
        """Queue the same tokens in every row."""
        for row in range(len(self)):
            self.append(row, ids)

    def logits(self) -> Tensor:
        """[B, V] float32 on the CPU: what may follow each row.

        Raises:
            NonFiniteError: NaN or infinity.
        """
        if self._last is None and not any(self._queued()):
            self._uncache(len(self.ids[0]) - 1)  # after going back, the last token must be read again
        self._read_queued()
        logits: Tensor = self.language.llava.lm_head(self._last).float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise NonFiniteError("NaN or infinity in the language model")
        return logits

    def likelihoods(self, ids: Sequence[int]) -> Tensor:
        """Put tokens after a single row, and return how likely each was against the likeliest in its place, [n]."""
        first = self.logits()
        self.append(0, ids)
        (states,) = self._read_queued()
        logits = torch.cat([first, self.language.llava.lm_head(states[:-1]).float().cpu()])
        return (logits.gather(1, torch.tensor(ids)[:, None])[:, 0] - logits.max(1).values).exp()

    def query_states(self) -> Tensor:
        """Put the visual queries after every row and return the hidden states there, [B, N, D].

        Raises:
            InvalidRequest: there is no generation head, which has them.
        """
        if self.language.query_embeds is None:
            raise InvalidRequest("this pipeline has no generation head, and so no visual queries")
        count = len(self.language.query_embeds)
        self.append_all([self.language.id(QUERY)] * count)
        return torch.stack([states[-count:] for states in self._read_queued()])

    def select(self, rows: Sequence[int]) -> TokenStream:
        """A stream of its own that goes on from some of the rows."""
        other = copy.copy(self)
        other.ids = [list(self.ids[row]) for row in rows]
        other._features = [list(self._features[row]) for row in rows]
        other._read = [self._read[row] for row in rows]
        other._cache = copy.copy(self._cache)
        other._cache.layers = [copy.copy(layer) for layer in self._cache.layers]  # what they hold is never overwritten
        if list(rows) != list(range(len(self))):
            other._mask = self._mask[list(rows)]
            other._last = None if self._last is None else self._last[list(rows)]
            other._cache.batch_select_indices(torch.tensor(rows, device=self.language.llava.device))
        return other

    def aside(self, rows: Sequence[int]) -> TokenStream:
        """The same, for something that is tried and does not become part of the context; it is counted by itself."""
        other = self.select(rows)
        other._is_aside = True
        return other

    def adopt(self, other: TokenStream, rows: Sequence[int]) -> None:
        """Go on with these rows where `other`, a selection of them, has come to."""
        start = self._mask.shape[1]
        self._mask = torch.cat([self._mask, _spread(other._mask[:, start:], rows, len(self))], dim=1)
        layers: Any = zip(self._cache.layers, other._cache.layers, strict=True)
        for layer, read in layers:
            layer.update(*(_spread(states[:, :, start:], rows, len(self)) for states in (read.keys, read.values)))
        for place, row in enumerate(rows):
            self.ids[row], self._features[row] = other.ids[place], other._features[place]
            self._read[row] = other._read[place]
        if self._last is not None and other._last is not None:
            self._last = self._last.index_copy(0, torch.tensor(rows, device=self._last.device), other._last)

    def mark(self) -> StreamMark:
        """The present end, for `rollback`; only for a stream of one row."""
        (ids,) = self.ids
        return StreamMark(len(ids), None if any(self._queued()) else self._last)

    def rollback(self, mark: StreamMark) -> None:
        """Forget everything after `mark`; what was read before it stays cached."""
        (ids,) = self.ids
        if len(ids) > mark.length:
            del ids[mark.length :]
            del self._features[0][ids.count(self.language.id(IMAGE)) // self.language.tokens_per_image :]
            self._uncache(mark.length)
        self._last = mark.last if self._read == [mark.length] else None

    def release(self) -> None:
        """Give the cache's memory back; the tokens will be read again when they are needed."""
        self._cache = new_cache(self.language.config.text_config)
        self._read = [0] * len(self.ids)
        self._mask = torch.ones(len(self.ids), 0, dtype=torch.bool)
        self._last = None

    @property
    def unread(self) -> int:
        """Tokens that wait to be read."""
        return sum(map(len, self._queued()))

    def _queued(self) -> list[list[int]]:
        return [ids[read:] for ids, read in zip(self.ids, self._read, strict=True)]

    def _uncache(self, length: int) -> None:
        """Keep at most `length` tokens of a single row in the cache."""
        surplus = self._read[0] - length
        if surplus <= 0:
            return
        self._cache.crop(-surplus)
        self._mask = self._mask[:, : self._read[0] - surplus]
        self._read = [self._read[0] - surplus]

    def _read_queued(self) -> list[Tensor]:
        """Hidden states [n, D] of the n queued tokens of each row, last layer after the final norm."""
        queued = self._queued()
        counts = [len(ids) for ids in queued]
        width = max(counts)
        if width == 0:
            return []
        pad, device = self.language.id(PAD), self.language.llava.device
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in queued], device=device)
        real = torch.tensor([[False] * (width - count) + [True] * count for count in counts])
        positions = (torch.tensor(self._read)[:, None] + real.cumsum(1) - 1).clamp(min=0)
        self._mask = torch.cat([self._mask, real], dim=1)
        try:
            outputs = self.language.llava.model.language_model(
                inputs_embeds=self.language.embed(ids, self._queued_features()),
                attention_mask=None if bool(self._mask.all()) else self._mask.long().to(device),
                position_ids=positions.to(device),
                cache=self._cache,
                use_cache=True,
            )
        except BaseException:
            self.release()  # some layers have read these tokens and some have not
            raise
        return self._keep(counts, outputs.last_hidden_state)

    def _keep(self, counts: list[int], hidden: Tensor) -> list[Tensor]:
        """Book what was read; `hidden` is [B, width, D]."""
        self._read = [len(ids) for ids in self.ids]
        counters = self.language.counters
        if self._is_aside:
            counters.aside_tokens += sum(counts)
        elif max(counts) == 1:
            counters.decoded_tokens += sum(counts)
        else:
            counters.prefilled_tokens += sum(counts)
        if self._last is None:
            self._last = hidden[:, -1]
        else:
            fresh = torch.tensor([count > 0 for count in counts], device=hidden.device)
            self._last = torch.where(fresh[:, None], hidden[:, -1], self._last)
        return [states[hidden.shape[1] - count :] for states, count in zip(hidden, counts, strict=True)]

    def _queued_features(self) -> list[Tensor]:
        image, size = self.language.id(IMAGE), self.language.tokens_per_image
        features = []
        for ids, read, pictures in zip(self.ids, self._read, self._features, strict=True):
            if image in ids[read:]:
                features += pictures[ids[:read].count(image) // size :]
        return features


def _spread(states: Tensor, rows: Sequence[int], count: int) -> Tensor:
    """[R, ...] at the given ones of `count` rows, zeros in the others."""
    wide = states.new_zeros(count, *states.shape[1:])
    wide[list(rows)] = states
    return wide
