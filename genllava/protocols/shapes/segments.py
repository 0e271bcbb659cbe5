"""The segments of an assistant turn as the language model writes them: what it sees, answers, plans of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from genllava.errors import InvalidRequest
from genllava.options import CancelCheck
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.copying import NextRequest
from genllava.protocols.shapes.decoding import Constraint, choose, write
from genllava.protocols.shapes.stream import TokenStream
from genllava.protocols.shapes.tokens import EOI, EOS, I2I, I2T, SEEN, SOI, TASKS, USER_END, USER_START

MAX_REQUEST_TOKENS: Final = 256
MAX_SEEN_TOKENS: Final = 256
MAX_ANSWER_TOKENS: Final = 256
MAX_PLAN_TOKENS: Final = 192
UNLIKELY: Final = 0.1
"""A turn that has more words left than join two requests ends only where going on is less likely than this."""
_PLAN_STREAM: Final = 0x9E3779B97F4A7C15
"""Keeps the plan's random numbers apart from the noise's: a plan that is given does not change the noise."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the model does before it acts.

    Attributes:
        request: which of several requests in a message it took up, `; ` between those that it meets at once; empty
            where there is but one.
        seen: what it noted down.
    """

    request: str
    seen: str


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as the model wrote it.

    Attributes:
        text: the words.
        likelihoods: of its tokens, that of what ended it included.
        ended: the model came to an end by itself.
    """

    text: str
    likelihoods: Sequence[float]
    ended: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a picture will show, and the number of the picture it edits (None: it is new)."""

    text: str
    source: int | None


@dataclass(frozen=True, slots=True)
class Unedited:
    """Edits that would leave their pictures as they are.

    Attributes:
        rows: of the edits that they stand beside.
        plans: captions of the pictures.
        query_states: [B, N, D], at the visual queries; None where a model has none.
    """

    rows: Sequence[int]
    plans: Sequence[Plan]
    query_states: Tensor | None


def goes_on(stream: TokenStream) -> bool:
    """Whether the turn of a stream of one row goes on to another request of its message, and does not end here."""
    language = stream.language
    (likely,) = choose(stream, [[language.id(EOS), language.id(USER_START)]])
    copy = NextRequest(language.tokenizer, stream.ids[0])
    return copy.possible and likely[language.id(USER_START)] > (UNLIKELY if copy.asks_more else 0.5)


def look(
    stream: TokenStream,
    going_on: bool = False,
    cancel: CancelCheck | None = None,
    notes: Callable[[], Constraint] | None = None,
) -> list[Look]:
    """Let the model look in every row, before it does something: `[INST] words [/INST] image 1: ... [SEEN]`.

    Of several requests in a message it takes up the next, and writes down what it sees; and where nothing is done
    before the one after that, it takes up that one too.

    Args:
        going_on: something was done about the message, so that this is of its other requests, if words are left.
        notes: what may be noted next in a stream of one row.
    """
    language = stream.language
    stops = [language.id(SEEN), language.id(USER_START)]
    requests: list[list[str]] = [[] for _ in stream.ids]
    seen: list[list[str]] = [[] for _ in stream.ids]
    looking = list(range(len(stream)))
    _take_requests(stream, looking if going_on else _asked(stream, looking, words_too=True), requests, cancel)
    while looking:
        with _some_rows(stream, looking) as part:
            texts = write(
                part,
                stops=stops,
                max_tokens=MAX_SEEN_TOKENS,
                constraints=None if notes is None else [notes()],
                may_be_empty=True,
                cancel=cancel,
            )
        for row, ids in zip(looking, texts, strict=True):
            seen[row].append(language.text(ids))
        looking = _take_requests(stream, _asked(stream, looking), requests, cancel)
    stream.append_all([language.id(SEEN)])
    return [Look("; ".join(r), " ".join(filter(None, s))) for r, s in zip(requests, seen, strict=True)]


def _asked(stream: TokenStream, rows: Sequence[int], words_too: bool = False) -> list[int]:
    """Those of the rows in which the model goes on to a request, and not to the end of what it sees, or to words."""
    language = stream.language
    start = language.id(USER_START)
    allowed = language.words.clone() if words_too else torch.zeros_like(language.words)
    allowed[[start, language.id(SEEN)]] = True
    likely = stream.logits().masked_fill(~allowed, -torch.inf).argmax(1).tolist()
    return [row for row in rows if likely[row] == start]


def _take_requests(
    stream: TokenStream, rows: Sequence[int], requests: list[list[str]], cancel: CancelCheck | None
) -> list[int]:
    """Let the model take up the next request in those of the rows where words are left; these are returned."""
    language = stream.language
    copies = {row: NextRequest(language.tokenizer, stream.ids[row]) for row in rows}
    copies = {row: copy for row, copy in copies.items() if copy.possible}
    if not copies:
        return []
    with _some_rows(stream, list(copies)) as part:
        part.append_all([language.id(USER_START)])
        texts = write(
            part,
            stops=[language.id(USER_END)],
            max_tokens=MAX_REQUEST_TOKENS,
            constraints=list(copies.values()),
            cancel=cancel,
        )
        part.append_all([language.id(USER_END)])
    for row, ids in zip(copies, texts, strict=True):
        requests[row].append(language.text(ids))
    return list(copies)


@contextmanager
def _some_rows(stream: TokenStream, rows: Sequence[int]) -> Iterator[TokenStream]:
    """Go on with some rows by themselves; what is put into them becomes part of the stream."""
    if len(rows) == len(stream):
        yield stream
        return
    part = stream.select(rows)
    yield part
    part.logits()  # only what has been read can be adopted
    stream.adopt(part, rows)


def task_probabilities(stream: TokenStream, allowed: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """How likely each of a row's `allowed` tokens is to come next, most likely first."""
    names = {stream.language.id(token): token for token in (*TASKS, EOS)}
    rows = choose(stream, [[stream.language.id(token) for token in tokens] for tokens in allowed])
    return [{names[token]: probability for token, probability in row.items()} for row in rows]


def write_answers(
    stream: TokenStream, cancel: CancelCheck | None = None, on_text: Callable[[str], object] | None = None
) -> list[Written]:
    """Let the model answer in every row: `[I2T] text`; `on_text` hears the first row's so far, token by token."""
    language = stream.language
    stream.append_all([language.id(I2T)])
    stops = [language.id(token) for token in (EOS, USER_START)]
    on_tokens = None if on_text is None else lambda ids: on_text(language.text(ids))
    likelihoods: list[list[float]] = [[] for _ in stream.ids]
    texts = write(
        stream,
        stops=stops,
        max_tokens=MAX_ANSWER_TOKENS,
        cancel=cancel,
        on_tokens=on_tokens,
        likelihoods=likelihoods,
    )
    return [
        Written(language.text(ids), likely, len(ids) < MAX_ANSWER_TOKENS)
        for ids, likely in zip(texts, likelihoods, strict=True)
    ]


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


def unedited(before: TokenStream | None, captions: Mapping[int, str], plans: Sequence[Plan]) -> Unedited | None:
    """Edits that would leave their pictures as they are; None where that is what all are planned as.

    Args:
        before: from before the plans of the edits, of the rows with captions alone; None where the captions are enough.
        captions: of the pictures that are edited, by row, where they are known.
        plans: of the edits, all rows. One that says what its picture shows already is left out: the words are as they
            were, so what it is to change is not among them.
    """
    rows = list(captions)
    said = [replace(plans[row], text=captions[row]) for row in rows]
    states = None
    if before is not None and said:
        for place, plan in enumerate(said):
            assert plan.source is not None
            put_plan(before, place, I2I, f"{layout.picture_prefix(plan.source)} {plan.text}", [plan.source])
        states = read_queries(before)
    other = [n for n, row in enumerate(rows) if not _same_words(plans[row], said[n])]
    if not other:
        return None
    return Unedited([rows[n] for n in other], [said[n] for n in other], None if states is None else states[other])


def _same_words(one: Plan, other: Plan) -> bool:
    return sorted(layout.phrases(one.text)) == sorted(layout.phrases(other.text))


def read_queries(stream: TokenStream) -> Tensor | None:
    """Hidden states [B, N, D] at the visual queries, which go in after the plans; None where a model has none."""
    states = None if stream.language.query_embeds is None else stream.query_states()
    stream.append_all([stream.language.id(EOI)])
    return states
