"""The segments of an assistant turn as the language model writes them: what it sees, answers, plans of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from genllava import layout
from genllava.copying import NextRequest
from genllava.decoding import choose, write
from genllava.denoising import CancelCheck
from genllava.errors import InvalidRequest
from genllava.stream import TokenStream
from genllava.tokens import EOI, EOS, I2I, I2T, SEEN, SOI, TASKS, USER_END, USER_START

MAX_REQUEST_TOKENS: Final = 256
MAX_SEEN_TOKENS: Final = 256
MAX_ANSWER_TOKENS: Final = 256
MAX_PLAN_TOKENS: Final = 192
UNLIKELY: Final = 0.1
"""A turn that has more words left than join two requests ends only where going on is less likely than this."""
_PLAN_STREAM: Final = 0x9E3779B97F4A7C15
"""Keeps the plan's random numbers apart from the noise's: a plan that is given does not change the noise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a picture will show, and the number of the picture it edits (None: it is new)."""

    text: str
    source: int | None


def write_seen(stream: TokenStream, cancel: CancelCheck | None = None) -> list[str]:
    """Let the model write down in every row what it sees: `image 1: caption in image 1, circle: ... [SEEN]`."""
    language = stream.language
    texts = write(stream, stops=[language.id(SEEN)], max_tokens=MAX_SEEN_TOKENS, may_be_empty=True, cancel=cancel)
    stream.append_all([language.id(SEEN)])
    return [language.text(ids) for ids in texts]


def goes_on(stream: TokenStream) -> bool:
    """Whether the turn of a stream of one row goes on to another request of its message, and does not end here."""
    language = stream.language
    (likely,) = choose(stream, [[language.id(EOS), language.id(USER_START)]])
    copy = NextRequest(language.tokenizer, stream.ids[0])
    return copy.possible and likely[language.id(USER_START)] > (UNLIKELY if copy.asks_more else 0.5)


def take_requests(stream: TokenStream, going_on: bool = False, cancel: CancelCheck | None = None) -> list[str]:
    """Let the model take up the next request of each row's message, where it sees several: `[INST] words [/INST]`.

    Args:
        going_on: something was done about the message, so that this is of its other requests, if words are left.

    Returns:
        The request of each row; empty where the message is taken as one.
    """
    language = stream.language
    copies = [NextRequest(language.tokenizer, ids) for ids in stream.ids]
    if not going_on:
        begins = language.words.clone()
        begins[[language.id(USER_START), language.id(SEEN)]] = True
        likely = stream.logits().masked_fill(~begins, -torch.inf).argmax(1).tolist()
    rows = [
        row for row, copy in enumerate(copies) if copy.possible and (going_on or likely[row] == language.id(USER_START))
    ]
    requests = [""] * len(stream)
    if not rows:
        return requests
    part = stream if len(rows) == len(stream) else stream.select(rows)
    part.append_all([language.id(USER_START)])
    texts = write(
        part,
        stops=[language.id(USER_END)],
        max_tokens=MAX_REQUEST_TOKENS,
        constraints=[copies[row] for row in rows],
        cancel=cancel,
    )
    part.append_all([language.id(USER_END)])
    if part is not stream:
        part.logits()  # only what has been read can be adopted
        stream.adopt(part, rows)
    for row, ids in zip(rows, texts, strict=True):
        requests[row] = language.text(ids)
    return requests


def task_probabilities(stream: TokenStream, allowed: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """How likely each of a row's `allowed` tokens is to come next, most likely first."""
    names = {stream.language.id(token): token for token in (*TASKS, EOS)}
    rows = choose(stream, [[stream.language.id(token) for token in tokens] for tokens in allowed])
    return [{names[token]: probability for token, probability in row.items()} for row in rows]


def write_answers(
    stream: TokenStream, cancel: CancelCheck | None = None, on_text: Callable[[str], object] | None = None
) -> list[str]:
    """Let the model answer in every row: `[I2T] text`; `on_text` hears the first row's so far, token by token."""
    language = stream.language
    stream.append_all([language.id(I2T)])
    stops = [language.id(token) for token in (EOS, USER_START)]
    on_tokens = None if on_text is None else lambda ids: on_text(language.text(ids))
    texts = write(stream, stops=stops, max_tokens=MAX_ANSWER_TOKENS, cancel=cancel, on_tokens=on_tokens)
    return [language.text(ids) for ids in texts]


def write_plans(
    stream: TokenStream,
    task: str,
    numbers: Sequence[int],
    seeds: Sequence[int],
    temperature: float,
    cancel: CancelCheck | None = None,
) -> list[Plan]:
    """Let the model plan a picture in every row: `[T2I] plan [SOI]`, or `[I2I] image K: plan [SOI]`.

    Args:
        numbers: the pictures an edit may name; it cannot name another.
        temperature: of the plans of new pictures; what an edit keeps is no matter of chance, so edits are
            greedy.
    """
    language = stream.language
    stream.append_all([language.id(task)])
    prefixes: dict[int, list[int]] = {}
    if task == I2I:
        prefixes = {number: layout.text_ids(language.tokenizer, layout.picture_prefix(number)) for number in numbers}
        temperature = 0.0
    texts = write(
        stream,
        stops=[language.id(SOI)],
        max_tokens=MAX_PLAN_TOKENS,
        prefixes=[list(prefixes.values())] * len(stream) if prefixes else None,
        temperature=temperature,
        generators=[torch.Generator().manual_seed(seed ^ _PLAN_STREAM) for seed in seeds],
        cancel=cancel,
    )
    stream.append_all([language.id(SOI)])
    plans = []
    for ids in texts:
        named = [number for number, prefix in prefixes.items() if ids[: len(prefix)] == prefix]
        source = named[0] if named else None
        plans.append(Plan(language.text(ids[len(prefixes[source]) :] if source else ids), source))
    return plans


def put_plan(stream: TokenStream, row: int, task: str, plan_text: str, numbers: Sequence[int]) -> Plan:
    """Put a plan that is given into a row, as if the model had written it.

    Args:
        plan_text: for an edit it may begin with `image K: `; otherwise the latest of `numbers` is meant.

    Raises:
        InvalidRequest: an empty plan, or one that names a picture that does not exist.
    """
    plan = parse_plan(task, plan_text, numbers)
    written = plan.text if plan.source is None else f"{layout.picture_prefix(plan.source)} {plan.text}"
    stream.append(row, layout.plan(stream.language.tokenizer, task, written))
    return plan


def parse_plan(task: str, plan_text: str, numbers: Sequence[int]) -> Plan:
    """What a given plan says; arguments and errors as for `put_plan`."""
    source, text = None, " ".join(plan_text.split())
    if task == I2I:
        source, text = layout.split_edit_plan(text)
        source = numbers[-1] if source is None else source
        if source not in numbers:
            raise InvalidRequest(f"there is no picture {source} to edit")
    if not text:
        raise InvalidRequest("the plan is empty")
    return Plan(text, source)


def skip_queries(stream: TokenStream) -> None:
    """Put the visual queries of a picture that is drawn already into every row; they are read with what follows."""
    queries = stream.language.query_embeds
    stream.append_all(layout.drawing(stream.language.tokenizer, 0 if queries is None else len(queries)))


def read_queries(stream: TokenStream) -> Tensor | None:
    """Hidden states [B, N, D] at the visual queries, which go in after the plans; None where a model has none."""
    states = None if stream.language.query_embeds is None else stream.query_states()
    stream.append_all([stream.language.id(EOI)])
    return states
