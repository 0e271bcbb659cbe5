"""Whether what a model said, drew and called is right: turns of the suites and of the test file alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from PIL import Image

from genllava_finetune.worlds.base import Produced, Score
from genllava_finetune.worlds.things.grading.edits import Outcome, edits_outcome
from genllava_finetune.worlds.things.grading.pictures import draws_right
from genllava_finetune.worlds.things.grading.test_file_cases import Expected
from genllava_finetune.worlds.things.grading.tools import Called, names_right, tools_right, verb_right
from genllava_finetune.worlds.things.grading.words import answers_right, cannot_read, declines, tokens
from genllava_finetune.worlds.things.oracle.parser import parse
from genllava_finetune.worlds.things.pictures.plan import read_plan
from genllava_finetune.worlds.things.pictures.scene import Scene

TOOL: Final = "TOOL"
Read = Callable[[Image.Image], Scene | None]
"""What a picture shows; None where it cannot be said."""
_DRAWING: Final = ("draws", "edits")


def read_picture(image: Image.Image) -> Scene | None:
    """What the oracle reads of a picture; None if something in it is not of this world."""
    reading = parse(image)
    return reading.scene if reading.clear else None


@dataclass(frozen=True, slots=True)
class Played:
    """What a model did in a turn.

    Attributes:
        text: all that it said.
        pictures: what those show that it drew or edited, in order.
        calls: of tools, and of what is done to the conversation.
        asks: it waits for an answer.
    """

    text: str = ""
    pictures: tuple[Scene | None, ...] = ()
    calls: tuple[Called, ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What a turn is about.

    Attributes:
        sources: what the picture in view shows; several where more than one may be meant.
        pictures: what each picture of the conversation shows, for those named by their numbers (from 1).
        last: what the last request for a picture had as right, and what it was about: for "again".
        last_sources: of that.
        numbers: by its name in the conversation, which numbers a picture goes by; None: that in its name.
    """

    sources: tuple[Scene, ...] = ()
    pictures: tuple[Scene | None, ...] = ()
    last: Expected | None = None
    last_sources: tuple[Scene, ...] = ()
    numbers: dict[str, frozenset[int]] | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """How a step went; `changed` and `preserved` of edits, `named` of tools: the right ones were called."""

    right: bool
    changed: bool | None = None
    preserved: bool | None = None
    declined: bool | None = None
    named: bool | None = None
    possible: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """One message of a suite, with what is right after it (a `worlds.base.Turn`).

    Attributes:
        user: the message.
        tasks: what the assistant does, in order: I2T, T2I, I2I or `TOOL name`.
        steps: what is right, in order.
        view: what it is about.
        kind: what kind of request it is, for the report.
        intent: of the corpus.
        aspect: what alone is looked at; empty for all: `no tool` is called, the picture is `read` and not turned away.
    """

    user: str
    tasks: tuple[str, ...]
    steps: tuple[Expected, ...]
    view: View = field(default_factory=View)
    kind: str = ""
    intent: str = ""
    aspect: Literal["", "no tool", "read"] = ""


def grade_steps(steps: Sequence[Expected], played: Played, view: View, question: str = "") -> list[Graded]:
    """How each step of a turn went.

    Args:
        question: the message.
    """
    drawing = [number for number, step in enumerate(steps) if _draws(step, played, view)]
    if len(played.pictures) < len(drawing) or (played.pictures and not drawing):
        return [_nothing(step, played, view) for step in steps]
    best: list[Graded] = []
    for chosen in _assignments(len(played.pictures), len(drawing)):
        pictures = dict(zip(drawing, (played.pictures[number] for number in chosen), strict=True))
        graded = _grade_with(steps, played, view, question, pictures)
        if not best or sum(each.right for each in graded) > sum(each.right for each in best):
            best = graded
    return best


def _draws(step: Expected, played: Played, view: View) -> bool:
    if step.kind == "thread" and step.thread is not None and step.thread.again:
        return bool(played.pictures) and view.last is not None
    return step.kind in _DRAWING


def _assignments(pictures: int, steps: int) -> Iterable[tuple[int, ...]]:
    """Which picture is that of each step: in order, and the last one of the last."""
    if not steps:
        return [()]
    before = itertools.combinations(range(pictures - 1), steps - 1)
    return [(*each, pictures - 1) for each in before]


def _nothing(step: Expected, played: Played, view: View) -> Graded:
    """A step where too few or too many pictures came."""
    if step.kind == "edits":
        return Graded(False, changed=False, preserved=False)
    if step.kind in ("declines", "asks"):
        return Graded(False, declined=False)
    return Graded(False, named=False if step.kind == "tools" else None)


def _grade_with(
    steps: Sequence[Expected], played: Played, view: View, question: str, pictures: dict[int, Scene | None]
) -> list[Graded]:
    """The grades where it is said which picture is that of which step."""
    graded, calls = list[Graded](), list(played.calls)
    answering = sum(step.answers is not None for step in steps) > 1
    calling = [number for number, step in enumerate(steps) if step.kind in ("tools", "thread")]
    here = view
    for number, step in enumerate(steps):
        mine: list[Called] = []
        if calling and number == calling[-1]:
            mine, calls = calls, []
        elif number in calling:
            count = len(step.tools) if step.tools is not None else 1
            mine, calls = calls[:count], calls[count:]
        picture, texts = pictures.get(number), _sentences(played.text) if answering else [played.text]
        tried = (
            _grade(step, replace(played, text=text), here, question, picture, number in pictures, tuple(mine))
            for text in texts
        )
        graded.append(max(tried, key=lambda each: each.right))
        if step.thread is not None and number not in pictures:
            here = replace(here, sources=_after_verb(step, view))
        elif number in pictures:
            here = replace(here, sources=(picture,) if picture is not None else ())
    if calls:  # called without being asked
        graded = [replace(each, right=False) for each in graded]
    return graded


def _after_verb(step: Expected, view: View) -> tuple[Scene, ...]:
    """What may be in view after something was done to the conversation: what was to be shown, or any picture before."""
    shown = step.thread.show if step.thread is not None else None
    found = view.pictures if shown is None else view.pictures[shown - 1 : shown]
    return tuple(scene for scene in found if scene is not None)


def _grade(
    step: Expected,
    played: Played,
    view: View,
    question: str,
    picture: Scene | None,
    drawn: bool,
    calls: tuple[Called, ...],
) -> Graded:
    if step.draws is not None:
        return Graded(picture is not None and draws_right(picture, step.draws))
    if step.edits is not None:
        return _edited(step, view.sources, picture, view.pictures)
    if step.answers is not None:
        right = _answered(step, played.text, view.sources, question)
        return Graded(right, declined=right if step.answers.cannot_read else None)
    if step.tools is not None:
        return Graded(tools_right(step.tools, calls, view.sources), named=names_right(step.tools, calls))
    if step.thread is not None:
        if drawn and view.last is not None:
            again = _grade(view.last, played, replace(view, sources=view.last_sources), "", picture, True, ())
            return Graded(again.right or verb_right(step.thread, calls))
        return Graded(verb_right(step.thread, calls, view.numbers))
    said = declines(played.text) or (step.asks and played.asks)
    return Graded(said and (not step.asks or played.asks or "?" in played.text), declined=said)


def _answered(step: Expected, text: str, sources: Sequence[Scene], question: str) -> bool:
    assert step.answers is not None
    scenes = sources or (None,)
    return any(answers_right(step.answers, text, question=question, scene=scene) for scene in scenes)


def _sentences(text: str) -> list[str]:
    """All runs of a text's sentences, the whole text first: of several questions each may be answered by one."""
    ended = "".join(f"{each}\n" if each in ".!?" else each for each in text)
    parts = [part for part in ended.splitlines() if tokens(part)]
    spans = [" ".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
    return [text, *spans]


def _edited(step: Expected, sources: Sequence[Scene], picture: Scene | None, others: Sequence[Scene | None]) -> Graded:
    """The best outcome over the pictures that may have been meant."""
    assert step.edits is not None
    if picture is None:
        return Graded(False, changed=False, preserved=False)
    outcomes = [edits_outcome(source, picture, step.edits, others) for source in sources]
    best = max(
        outcomes, key=lambda each: (each.right, each.changed, each.preserved), default=Outcome(False, False, False)
    )
    return Graded(best.right, best.changed, best.preserved, possible=best.possible)


# --- turns of the suites ---


def played_of(produced: Sequence[Produced], read: Read = read_picture) -> Played:
    """What was produced for a turn, with its pictures read.

    A call of a tool is a segment of the task `TOOL` with the call in its `text`, as JSON of `name` and `arguments`.
    """
    said = [each.text for each in produced if each.text and not each.task.startswith(TOOL) and each.image is None]
    pictures = tuple(read(each.image) for each in produced if each.image is not None)
    calls = (_call(each) for each in produced if each.task.startswith(TOOL))
    return Played("\n\n".join(said), pictures, tuple(call for call in calls if call is not None))


def _call(produced: Produced) -> Called | None:
    try:
        read = json.loads(produced.text or "")
        return Called(str(read["name"]), dict(read.get("arguments") or {}))
    except (ValueError, KeyError, TypeError):
        return Called("")


def routes_of(produced: Sequence[Produced]) -> tuple[str, ...]:
    """The tasks that were chosen; of tools with their names."""
    calls = [_call(each) if each.task.startswith(TOOL) else None for each in produced]
    return tuple(
        each.task if call is None else f"{TOOL} {call.name}" for each, call in zip(produced, calls, strict=True)
    )


def score_turn(turn: Asked, produced: Sequence[Produced], read: Read = read_picture) -> Score:
    """Compare a turn with what was produced for it."""
    routes = routes_of(produced)
    played = played_of(produced, read)
    routed = routes == turn.tasks
    if turn.aspect == "no tool":
        calm = not played.calls and bool(played.text or any(each.image is not None for each in produced))
        return Score(calm, routed, routes=routes)
    if turn.aspect == "read":
        right = bool(tokens(played.text)) and not played.calls and not _turned_away(played.text)
        return Score(right, routed, routes=routes)
    graded = grade_steps(turn.steps, played, turn.view, turn.user)
    first = graded[0]
    planned = None
    if any(step.kind in _DRAWING for step in turn.steps):
        plans = tuple(read_plan(_plan_of(each)) for each in produced if each.image is not None)
        planned = all(
            each.right for each in grade_steps(turn.steps, replace(played, pictures=plans), turn.view, turn.user)
        )
    steps = tuple(each.right for each in graded)
    return Score(
        all(steps),
        routed,
        changed=first.changed,
        preserved=first.preserved,
        planned=planned,
        declined=first.declined,
        unparsed=any(each is None for each in played.pictures),
        routes=routes,
        steps=steps if len(steps) > 1 else (),
    )


def _plan_of(produced: Produced) -> str:
    """The plan of a picture, without the name of the picture that is edited: "image_1: ..."."""
    plan = produced.plan or ""
    return plan.partition(": ")[2] if plan.startswith(("image_", "image ")) else plan


def _turned_away(text: str) -> bool:
    """Whether an answer about a readable picture says that it cannot be read."""
    told = {"read", "photograph", "photo", "drawings", "tools", "shows"} & set(tokens(text))
    return cannot_read(text) and bool(told)


def details_of(turn: Asked, score: Score) -> Iterable[tuple[str, bool]]:
    """Outcomes by what was asked: the intent, the operation of an edit, of tools whether the right one was called."""
    yield f"intent {turn.intent}", score.right
    step = turn.steps[0]
    if step.edits is not None:
        operations = list(dict.fromkeys(edit.kind for edit in step.edits))
        name = operations[0] if len(operations) == 1 else "several"
        yield f"operation {name}", score.right
        yield f"operation {name}: change made", bool(score.changed)
        yield f"operation {name}: all else kept", bool(score.preserved)
    if step.tools is not None and not turn.aspect:
        called = [route for route in score.routes if route.startswith(TOOL)]
        yield "tool needed: one is called", bool(called)
        yield "tool needed: the right one", called == [f"{TOOL} {call.name}" for call in step.tools]
        if called:
            yield "tool called: its arguments", score.right
