"""Dialogues with their truth: what the user says and sees, what the assistant should do, and how to score it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.scene import Scene

Task = Literal["I2T", "T2I", "I2I"]


@dataclass(frozen=True, slots=True)
class Step:
    """One segment of an assistant turn.

    Attributes:
        text: the answer ([I2T]) or the plan ([T2I]; [I2I] with its `image K: ` prefix).
        source: number of the picture an edit works on (pictures of a dialogue count from 1).
        target: what the drawn picture shows; None for answers.
    """

    task: Task
    text: str
    source: int | None = None
    target: Scene | None = None


def answer(text: str) -> Step:
    return Step("I2T", text)


def generation(target: Scene, cells: Sequence[int]) -> Step:
    """A new picture; the plan names the objects in `cells` in this order, which is that of the request."""
    return Step("T2I", write_plan(target, cells), target=target)


def edit(source: int, target: Scene, cells: Sequence[int]) -> Step:
    """A changed picture; the plan names the objects in `cells` in this order."""
    return Step("I2I", f"image {source}: {write_plan(target, cells)}", source=source, target=target)


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """An answer is right when, normalised, it is one of `accepted`."""

    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SceneCheck:
    """A generated picture is right when `holds` is true of what it shows. `tags` name what was asked (GenEval's)."""

    holds: Callable[[Scene], bool]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EditCheck:
    """An edit is right when the change was made and everything else was kept; both look at what the result shows."""

    changed: Callable[[Scene], bool]
    preserved: Callable[[Scene], bool]
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclineCheck:
    """Right when the assistant answers in words and draws nothing (outside the domain, or a false premise)."""

    reason: Literal["outside", "false_premise", "ambiguous"]


SingleCheck = AnswerCheck | SceneCheck | EditCheck | DeclineCheck


@dataclass(frozen=True, slots=True)
class StepsCheck:
    """Several things asked in one turn: one check for each step, in order."""

    checks: tuple[SingleCheck, ...]


Check = SingleCheck | StepsCheck


@dataclass(frozen=True, slots=True)
class Look:
    """What is written down before something is done.

    Attributes:
        about, notes: number of the picture a request is about (None: of none), and what there is to note of it.
        beside: number of another picture that something is taken from; that is noted before anything else, and the
            picture described right before the other.
        planned: what the picture would then show, as a plan; nothing is drawn before the next request is looked at.
    """

    about: int | None = None
    notes: tuple[str, ...] = ()
    beside: int | None = None
    planned: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange.

    Attributes:
        family, form: the kind of request, and the sentence form it was built from.
        images: what the pictures show that come with it.
        looks: what there is to look at, for each of several things asked in one message.
        asked: the words that ask for each of them; empty if there is but one.
    """

    user: str
    steps: tuple[Step, ...]
    check: Check
    family: str
    form: str
    images: tuple[Scene, ...] = ()
    looks: tuple[Look, ...] = (Look(1),)
    asked: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of its steps."""
        return tuple(step.task for step in self.steps)

    @property
    def about(self) -> int | None:
        """Number of the picture that its first request is about."""
        return self.looks[0].about

    def of(self, number: int) -> Turn:
        """The same of another picture."""
        return replace(self, looks=tuple(replace(look, about=number) for look in self.looks))


@dataclass(frozen=True, slots=True)
class Dialogue:
    turns: tuple[Turn, ...]
