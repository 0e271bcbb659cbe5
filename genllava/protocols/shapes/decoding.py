"""What comes next in a `TokenStream`: a choice between a few tokens, or a text up to a stop. Batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from genllava.errors import Cancelled
from genllava.options import CancelCheck
from genllava.protocols.shapes.stream import TokenStream


class Constraint(Protocol):
    """What may come next in a text that is being written."""

    def allowed(self) -> set[int]:
        """The tokens that may come next, stops among them; empty where any may that is not `barred`."""

    def barred(self) -> set[int]:
        """Tokens that may not come next."""

    def advance(self, token: int) -> None:
        """Take the next token of the text into account."""


def choose(stream: TokenStream, allowed: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """Probabilities of the `allowed` tokens of each row to come next, most likely first; a row's sum to 1."""
    result = []
    for row, logits in enumerate(stream.logits()):
        ids = list(allowed[row])
        probabilities = logits[ids].softmax(0).tolist()
        pairs = sorted(zip(ids, probabilities, strict=True), key=lambda pair: -pair[1])
        result.append(dict(pairs))
    return result


def write(
    stream: TokenStream,
    *,
    stops: Sequence[int],
    max_tokens: int,
    prefixes: Sequence[Sequence[Sequence[int]]] | None = None,
    constraints: Sequence[Constraint] | None = None,
    may_be_empty: bool = False,
    temperature: float = 0.0,
    generators: Sequence[torch.Generator] | None = None,
    cancel: CancelCheck | None = None,
    on_tokens: Callable[[list[int]], object] | None = None,
    likelihoods: Sequence[list[float]] | None = None,
) -> list[list[int]]:
    """Let the model write a text in each row, at most `max_tokens`, and at least one unless it `may_be_empty`.

    A text ends before a token of `stops`; that token is not taken, so the caller decides what comes next. Rows that
    have ended are set aside once they are half of those still read, so that a long text does not hold up the others.

    Args:
        prefixes: per row, the beginnings that its text may have, as token ids; none of them begins another.
        constraints: per row, which tokens its text is made of.
        temperature: 0 takes the most likely token, otherwise tokens are drawn with `generators`, one per row.
        on_tokens: called with the text of the first row whenever it has grown.
        likelihoods: a list for each row, to which is added how likely each token was that was chosen, and the stop.

    Returns:
        The tokens of each row, prefix included.

    Raises:
        Cancelled: `cancel` returned true; it is asked before every token.
        NonFiniteError: NaN or infinity in the language model.
    """
    words = stream.language.words
    words_or_stops = words.clone()
    words_or_stops[list(stops)] = True
    texts: list[list[int]] = [[] for _ in range(len(stream))]
    running = list(range(len(stream)))
    part, rows = stream, running
    aside: list[tuple[TokenStream, list[int]]] = []
    while running:
        if cancel is not None and cancel():
            raise Cancelled("cancelled while writing")
        places = [rows.index(row) for row in running]
        if 2 * len(running) <= len(rows):
            aside.append((part, places))
            part, rows, places = part.select(places), running, list(range(len(running)))
        forced = [_forced(prefixes, constraints, texts, row) for row in running]
        if all(len(tokens) == 1 for tokens in forced):  # there is nothing to choose: they are read with what follows
            tokens = [next(iter(tokens)) for tokens in forced]
        else:
            allowed = []
            for row, only in zip(running, forced, strict=True):
                if only:
                    allowed.append(torch.zeros_like(words).index_fill_(0, torch.tensor(sorted(only)), True))
                    continue
                begun = texts[row] or may_be_empty
                at_prefix = prefixes is not None and texts[row] in [list(prefix) for prefix in prefixes[row]]
                free = words_or_stops if begun and not at_prefix else words
                barred = set() if constraints is None else constraints[row].barred()
                allowed.append(free.index_fill(0, torch.tensor(sorted(barred)), False) if barred else free)
            scores = part.logits()[places].masked_fill(~torch.stack(allowed), -torch.inf)
            tokens = _pick(scores, temperature, None if generators is None else [generators[row] for row in running])
            if likelihoods is not None:
                picked = scores.softmax(1).gather(1, torch.tensor(tokens)[:, None])[:, 0].tolist()
                for row, likelihood in zip(running, picked, strict=True):
                    likelihoods[row].append(likelihood)
        going_on = []
        for row, place, token in zip(running, places, tokens, strict=True):
            if token in stops:
                continue
            texts[row].append(token)
            part.append(place, [token])
            if constraints is not None:
                constraints[row].advance(token)
            if row == 0 and on_tokens is not None:
                on_tokens(texts[0])
            if len(texts[row]) < max_tokens:
                going_on.append(row)
        running = going_on
    for whole, kept in reversed(aside):
        whole.adopt(part, kept)
        part = whole
    return texts


def _forced(
    prefixes: Sequence[Sequence[Sequence[int]]] | None,
    constraints: Sequence[Constraint] | None,
    texts: Sequence[list[int]],
    row: int,
) -> set[int]:
    """The tokens of which one must come next in the text of a row; empty if it is free."""
    begun = set() if prefixes is None else _continuations(prefixes[row], texts[row])
    return begun or (set() if constraints is None else constraints[row].allowed())


def _continuations(prefixes: Sequence[Sequence[int]], text: list[int]) -> set[int]:
    """What may come next in a text that must begin with one of `prefixes`; empty once it does."""
    size = len(text)
    return {prefix[size] for prefix in prefixes if len(prefix) > size and list(prefix[:size]) == text}


def _pick(scores: Tensor, temperature: float, generators: Sequence[torch.Generator] | None) -> list[int]:
    """A token for each row of `scores` [B, V]."""
    if temperature <= 0:
        return scores.argmax(1).tolist()
    rows = (scores / temperature).softmax(1)
    if generators is None:
        return torch.multinomial(rows, 1)[:, 0].tolist()
    return [int(torch.multinomial(row, 1, generator=own)) for row, own in zip(rows, generators, strict=True)]
