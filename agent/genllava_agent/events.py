"""What a running turn tells whoever listens. Every event is small, typed, and never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genllava_agent.records import ImageRecord, Kind, Question, Step

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.reply import Reply


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn has begun; it is known to the store from here on."""

    thread: str
    turn: int


@dataclass(frozen=True, slots=True)
class ActionChosen:
    """What is done next, and how likely each task token was; `image` is known only where the choice names one."""

    kind: Kind
    probabilities: dict[str, float] = field(default_factory=dict)
    seen: str = ""
    image: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """What was added to the answer that is being written."""

    text: str


@dataclass(frozen=True, slots=True)
class PlanWritten:
    """What the picture that is being drawn will show, and which one it edits."""

    plan: str
    source: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """A step of drawing has ended; `image` is small and rough, and None where none was asked for."""

    step: int
    total: int
    attempt: int
    image: Image.Image | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool is running."""

    tool: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool has ended; `text` is what it said. There is none where it did not work, which is a `StepFailed`."""

    tool: str
    text: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The model has looked at what it drew: `unsure` says what it finds otherwise than planned."""

    attempt: int
    unsure: str
    again: bool


@dataclass(frozen=True, slots=True, eq=False)
class ImageReady:
    """A picture is stored, and has a name."""

    record: ImageRecord
    image: Image.Image = field(repr=False)


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step did not work out; the turn goes on with a step that says so."""

    step: Step


@dataclass(frozen=True, slots=True)
class AnswerNeeded:
    """The turn has stopped and waits: for approval, or for what is meant."""

    question: Question


@dataclass(frozen=True, slots=True, eq=False)
class TurnFinished:
    """The turn is stored; or it waits, and `reply.pending` says for what. Always the last event."""

    reply: Reply


Event = (
    TurnStarted
    | ActionChosen
    | TextDelta
    | PlanWritten
    | Preview
    | ToolStarted
    | ToolFinished
    | Verified
    | ImageReady
    | StepFailed
    | AnswerNeeded
    | TurnFinished
)
