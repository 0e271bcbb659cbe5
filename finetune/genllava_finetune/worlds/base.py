"""What a world is: a generator of training rows with programmatic truth, a grader, and frozen suites.

A world knows what its pictures show, so it can make any number of rows and say of any answer or picture whether it is
right. `worlds/NAME/world.py` holds one as `WORLD`; `load_world` finds it by its name. What trains on rows
(`data/rows.py`) and what measures (`evaluate/`) know this interface and no world.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from PIL import Image

from genllava.errors import InvalidRequest
from genllava_finetune.data.rows import Row
from genllava_finetune.intervals import Share

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

Split = Literal["train", "dev", "test"]
Pictures = tuple[tuple[Image.Image, ...], ...]
"""Pictures by turn: what the user brings with each message."""
Asked = Literal["first task", "turn", "conversation"]
"""What a model is asked in a suite: the first task token alone, one whole turn, or a conversation with its own
earlier answers and pictures in it."""


Frozen = Literal["as recorded", "changed", "too short to say"]


@dataclass(frozen=True, slots=True)
class Produced:
    """One segment of what a model made of a message.

    Attributes:
        task: its task token without brackets (`I2T`, `T2I`, `I2I`).
        text: words, for answers and plans.
        image: the picture, where one was drawn.
        plan: what the picture was planned to show.
    """

    task: str
    text: str | None = None
    image: Image.Image | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How a turn went. What does not apply to the kind of turn is None.

    Attributes:
        right: all of it.
        routed: every task token as it should be.
        changed, preserved: of edits: what was asked has come about; everything else is as it was.
        planned: of pictures: whether the plan, taken for what the picture shows, is right; the rest is drawing.
        declined: of what cannot be done: answered in words, whichever, and drew nothing.
        unparsed: a picture that shows something that is not of the world.
        routes: the tasks that were chosen, in order.
        steps: of several steps: which of them came out right, up to the first for which another task was chosen.
    """

    right: bool
    routed: bool
    changed: bool | None = None
    preserved: bool | None = None
    planned: bool | None = None
    declined: bool | None = None
    unparsed: bool = False
    routes: tuple[str, ...] = ()
    steps: tuple[bool, ...] = ()


class Turn(Protocol):
    """One message of the user, with what is right after it."""

    @property
    def user(self) -> str:
        """The message."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the assistant's turn in order, without brackets."""


class Case(Protocol):
    """One thing to measure: a conversation of one or more turns."""

    @property
    def turns(self) -> Sequence[Turn]:
        """All messages in order."""

    @property
    def pictures(self) -> Pictures:
        """What the user brings, turn by turn."""

    @property
    def seed(self) -> int:
        """Of whatever the model draws."""

    def showing(self, pictures: Pictures) -> Case:
        """The same with other pictures in the place of those that the user brings."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A frozen test suite.

    Attributes:
        build: the first `n` cases of a split; more cases begin with the fewer.
        asked: what is asked of a model.
        withheld: what of these cases a model trained with the world's research setting has never seen, in a few
            words; empty where it has seen all kinds of them. A model trained on everything has seen all but the cases
            themselves.
        family: cases of suites with a family are counted together as well, under what comes before its name.
        times: so many times as many cases as elsewhere, where a case costs next to nothing.
        by_step: the outcome of each step of a message is reported as well.
    """

    build: Callable[[Split, int], Sequence[Case]]
    asked: Asked = "turn"
    withheld: str = ""
    family: str = ""
    times: int = 1
    by_step: bool = False


class World(Protocol):
    """A world: rows to train on, a grader, and suites.

    Attributes:
        name: as recipes and `load_world` call it.
        side: pictures that its grader reads are this many pixels wide and high.
        suites: by name, in the order of a report.
    """

    @property
    def name(self) -> str: ...

    @property
    def side(self) -> int: ...

    @property
    def suites(self) -> Mapping[str, Suite]: ...

    def rows(
        self, seed: int, *, start: int = 0, count: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Iterator[Row]:
        """Training rows.

        Row k is a function of the seed, k and the options alone: a run that is resumed at row k goes on with
        `start=k`, and workers may take rows in turn.

        Args:
            start: number of the first row.
            count: how many; without end if None.
            options: what the rows are, as the world documents it; its defaults if None.

        Raises:
            InvalidRequest: an option is unknown or has a value that does not fit.
        """

    def grade(self, turn: Turn, produced: Sequence[Produced]) -> Score:
        """Compare what a model made of a turn with what is right: tasks, their number and order, each result."""

    def kind(self, turn: Turn) -> str:
        """What kind of request it is, in a word or two, for the report."""

    def details(self, turn: Turn, score: Score) -> Iterable[tuple[str, bool]]:
        """Finer outcomes of a turn by what was asked, for the report."""

    def baselines(self, pipeline: GenLlavaPipeline, name: str, cases: Sequence[Case]) -> dict[str, Share]:
        """What would be right of a suite's cases without looking, or without doing anything; empty for most suites."""

    def grader_bounds(self, pipeline: GenLlavaPipeline, split: Split, n: int) -> dict[str, Share]:
        """How often the grader reads a picture exactly, of `n`: more than this no model can be found to be right."""

    def fingerprint(self, cases: Sequence[Case]) -> str:
        """SHA-256 of what is asked, of what pictures show, and of what is right."""

    def frozen(self, name: str, split: Split, cases: Sequence[Case]) -> Frozen:
        """Whether the beginning of a suite is what was recorded of it."""


def known_worlds() -> list[str]:
    """The names of the worlds there are."""
    folders = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(each.name for each in folders if each.ispkg)


def load_world(name: str) -> World:
    """The world of this name.

    Raises:
        InvalidRequest: there is none.
    """
    if name not in known_worlds():
        raise InvalidRequest(f"there is no world {name!r}: {', '.join(known_worlds())}")
    # By its name, so that what knows the interface imports no world.
    return cast(World, importlib.import_module(f"genllava_finetune.worlds.{name}.world").WORLD)
