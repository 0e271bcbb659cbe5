"""Whole chats of the test file with whatever plays: `python -m benchmarks.things_test_file` has a model play.

Each chat is a thread of the agent, turn by turn, as a person would have it: the model lives with its own earlier
pictures, and a change is judged by what the picture that it was made from shows. Nothing but the oracle says what
pictures show.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from PIL import Image

from genllava.errors import GenLlavaError
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.things.grading.grading import Graded, Played, Read, View, grade_steps, read_picture
from genllava_finetune.worlds.things.grading.test_file_cases import (
    Expected,
    TestChat,
    TestPicture,
    TestTurn,
)
from genllava_finetune.worlds.things.grading.tools import Called
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.pictures.unreadable import unreadable

_UNREADABLE: Final = {"photo": "photograph", "texture": "texture", "screenshot": "screenshot", "empty": "empty"}
_MORE_TOOLS: Final = "more_tools"
"""Asks for other tools, and does nothing."""


# --- who plays: what is used of `genllava_agent` ---


class PlayedPicture(Protocol):
    """A picture of a chat."""

    @property
    def image(self) -> Image.Image: ...


class PlayedStep(Protocol):
    """One thing that was done in a turn; see `genllava_agent.records.Step`."""

    @property
    def action(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def image(self) -> str | None: ...
    @property
    def tool(self) -> str | None: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...


class PlayedReply(Protocol):
    """What came of a turn; see `genllava_agent.reply.Reply`."""

    @property
    def text(self) -> str: ...
    @property
    def steps(self) -> Sequence[Any]: ...
    @property
    def pending(self) -> Any: ...


class Chat(Protocol):
    """A thread: it is asked, and knows its pictures by their names as it stands."""

    @property
    def images(self) -> Mapping[str, Any]: ...
    def __call__(self, text: str, images: Any = None, **options: Any) -> Any: ...


Begin = Callable[[TestChat], Chat]
Draw = Callable[[Scene], Image.Image]


# --- what is known of a chat ---


@dataclass(slots=True)
class _Picture:
    scene: Scene | None
    by_tool: bool = False


@dataclass(slots=True)
class _Known:
    """What there is to know of a running chat.

    Attributes:
        pictures: all that there ever were, in order.
        by_name: which of them has a name now.
        view: those that may be in view, the likeliest first.
        last, last_sources: what was right for the last request of a picture, and what it was about.
    """

    pictures: list[_Picture] = field(default_factory=list)
    by_name: dict[str, int] = field(default_factory=dict)
    view: list[int] = field(default_factory=list)
    last: Expected | None = None
    last_sources: tuple[Scene, ...] = ()

    def add(self, name: str | None, picture: _Picture) -> int:
        """One more picture."""
        self.pictures.append(picture)
        if name is not None:
            self.by_name[name] = len(self.pictures) - 1
        return len(self.pictures) - 1

    def standing(self, names: Sequence[str]) -> list[int]:
        """Those that were not taken back."""
        return [self.by_name[name] for name in names if name in self.by_name]

    def counted(self, names: Sequence[str]) -> list[list[int]]:
        """How people may count the pictures: all that there were without those of tools, all, and those that stand."""
        standing = self.standing(names)
        ways = [list(range(len(self.pictures))), standing]
        without = [[n for n in way if not self.pictures[n].by_tool] for way in ways]
        return [without[0], *ways[:1], without[1], *ways[1:]]

    def scenes(self, numbers: Sequence[int]) -> tuple[Scene, ...]:
        """What these show, as far as it can be read; each scene once."""
        found = [self.pictures[number].scene for number in numbers]
        return tuple(dict.fromkeys(scene for scene in found if scene is not None))


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn of the test file went; `steps` in the order of its expectations, `said` is what the model did."""

    say: str
    kind: str
    right: bool
    steps: tuple[Graded, ...]
    said: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"say": self.say, "kind": self.kind, "right": self.right, "did": self.said}


def play(
    chat: Chat, case: TestChat, *, read: Read = read_picture, draw: Draw = render, seed: int = 0
) -> list[TurnResult]:
    """Have one chat.

    Args:
        read: what a picture shows.
        draw: draws what the person brings.
        seed: of what the model draws.
    """
    known, results = _Known(), list[TurnResult]()
    for number, turn in enumerate(case.turns):
        brought = None if turn.picture is None else _brought(turn.picture, draw, f"{case.id} {number}")
        before = list(chat.images)
        try:
            reply = chat(turn.say, brought, seed=seed)
        except GenLlavaError as error:  # it broke down, or wrote what cannot be
            reply, told = None, f"{type(error).__name__}: {error}"
        names = list(chat.images)
        if turn.picture is not None:
            own = next((n for n in names if n not in before), None)
            known.view = [known.add(own, _Picture(turn.picture.scene))]
        views = list(_views(known, turn, names))
        made = [] if reply is None else _made(reply, chat, known, read)
        played = Played() if reply is None else _played(reply, made)
        graded = _best([grade_steps(turn.steps, played, view, turn.say) for view in views])
        results.append(
            TurnResult(
                turn.say,
                turn.kind,
                all(each.right for each in graded),
                tuple(graded),
                told if reply is None else _told(reply),
            )
        )
        _remember(known, turn, views[0], reply, made, list(chat.images))
    return results


def _best(tried: Sequence[list[Graded]]) -> list[Graded]:
    return max(tried, key=lambda graded: sum(each.right for each in graded))


def _brought(picture: TestPicture, draw: Draw, seed: str) -> Image.Image:
    scene = picture.scene
    if scene is not None:
        return draw(scene)
    return unreadable(random.Random(seed), _UNREADABLE[picture.kind or "photo"])


def _views(known: _Known, turn: TestTurn, names: Sequence[str]) -> Iterator[View]:
    """What a turn may be about: one view for each way of counting pictures."""
    ways = known.counted(names)
    numbers = {name: frozenset(way.index(n) + 1 for way in ways if n in way) for name, n in known.by_name.items()}
    for way in ways:
        chosen = known.view
        if turn.of is not None:
            chosen = [way[turn.of - 1]] if turn.of <= len(way) else []
        scenes = tuple(known.pictures[number].scene for number in way)
        yield View(known.scenes(chosen), scenes, known.last, known.last_sources, numbers)


@dataclass(frozen=True, slots=True)
class _Made:
    """A picture that came of a step."""

    number: int
    action: str
    scene: Scene | None


def _made(reply: PlayedReply, chat: Chat, known: _Known, read: Read) -> list[_Made]:
    """The pictures that came of a turn, read."""
    found = list[_Made]()
    for step in reply.steps:
        if step.image is None or step.image not in chat.images or step.outcome != "ok":
            continue
        scene = read(chat.images[step.image].image.convert("RGB"))
        number = known.add(step.image, _Picture(scene, step.action == "tool"))
        found.append(_Made(number, step.action, scene))
    return found


def _played(reply: PlayedReply, made: Sequence[_Made]) -> Played:
    calls = [
        Called(step.tool, dict(step.arguments))
        for step in reply.steps
        if step.action == "tool" and step.tool and step.tool != _MORE_TOOLS
    ]
    pictures = tuple(each.scene for each in made if each.action != "tool")
    said = reply.text or " ".join(step.text for step in reply.steps if step.action == "understand")
    return Played(said, pictures, tuple(calls), reply.pending is not None)


def _told(reply: PlayedReply) -> str:
    done = [
        f"[{step.tool or step.action}{' ' + json.dumps(dict(step.arguments)) if step.tool else ''}]"
        for step in reply.steps
    ]
    plans = [f"({plan})" for step in reply.steps if (plan := getattr(step, "plan", None))]
    return " ".join([*done, *plans, reply.text])


def _remember(
    known: _Known, turn: TestTurn, view: View, reply: PlayedReply | None, made: Sequence[_Made], names: Sequence[str]
) -> None:
    """What is in view after a turn, and what "again" would mean."""
    drawing = [step for step in turn.steps if step.draws is not None or step.edits is not None]
    if drawing:
        known.last, known.last_sources = drawing[-1], view.sources
    if reply is None:
        return
    standing = known.standing(names)
    shown = [
        known.by_name[str(step.arguments.get("image"))]
        for step in reply.steps
        if step.tool == "show_image" and str(step.arguments.get("image")) in known.by_name
    ]
    verbs = any(step.tool in ("undo", "redo") for step in reply.steps)
    if made:
        drawn = [n for n in standing if not known.pictures[n].by_tool]
        known.view = [made[-1].number, *drawn[-1:]] if made[-1].action == "tool" else [made[-1].number]
    elif shown:
        known.view = [shown[-1], *standing[-1:]]
    elif verbs:
        known.view = standing[-1:]


# --- all of it ---


@dataclass(slots=True)
class FileReport:
    """How the test file went.

    Attributes:
        chats: turns by chat.
        requests: turns of single requests.
    """

    chats: dict[str, list[TurnResult]] = field(default_factory=dict)
    requests: dict[str, list[TurnResult]] = field(default_factory=dict)

    def shares(self) -> dict[str, Share]:
        """Every figure."""
        turns = [turn for chat in self.chats.values() for turn in chat]
        found = {"turns of chats": Share.of(turn.right for turn in turns)}
        found |= {f"turns of chats: {kind}": share for kind, share in _by_kind(turns).items()}
        found["chats whole"] = Share.of(all(turn.right for turn in chat) for chat in self.chats.values())
        single = [turn for request in self.requests.values() for turn in request]
        found["single requests"] = Share.of(all(turn.right for turn in each) for each in self.requests.values())
        found |= {f"single requests: {kind}": share for kind, share in _by_kind(single).items()}
        edits = [step for turn in (*turns, *single) for step in turn.steps if step.changed is not None]
        found["edits: change made"] = Share.of(bool(step.changed) for step in edits)
        found["edits: all else kept"] = Share.of(bool(step.preserved) for step in edits)
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        every = {**self.chats, **self.requests}
        return {
            "figures": {name: share.as_dict() for name, share in self.shares().items()},
            "cases": {name: [turn.as_dict() for turn in turns] for name, turns in every.items()},
        }


def _by_kind(turns: Sequence[TurnResult]) -> dict[str, Share]:
    kinds = defaultdict(list)
    for turn in turns:
        kinds[turn.kind].append(turn.right)
    return {kind: Share.of(outcomes) for kind, outcomes in sorted(kinds.items())}


def run_test_file(
    begin: Begin, cases: Sequence[TestChat], *, read: Read = read_picture, draw: Draw = render, path: Path | None = None
) -> FileReport:
    """Have all these chats.

    Args:
        begin: begins a chat.
        path: where the report is written, after every chat what there is of it.
    """
    report = FileReport()
    for number, case in enumerate(cases):
        results = play(begin(case), case, read=read, draw=draw, seed=number)
        (report.requests if case.single else report.chats)[case.id] = results
        if path is not None and (number % 10 == 9 or number == len(cases) - 1):
            path.write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
    return report
