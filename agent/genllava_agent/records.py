"""What is kept of a conversation: pictures, steps, turns. Plain data, checked where it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["understand", "generate", "edit", "tool"]
"""What a step does; `tool` calls one of the agent's tools."""
Verb = Literal["understand", "generate", "edit"]
Outcome = Literal["ok", "error", "rejected"]
Fate = Literal["mendable", "final", "defect"]
"""What can become of a call that failed: with other arguments it may work; it cannot, whatever the arguments are; the
tool itself is broken."""

Box = tuple[float, float, float, float]
Point = tuple[float, float]

_IMAGE_NAME: Final = r"^image_[1-9][0-9]{0,5}$"
ImageName = Annotated[str, Field(pattern=_IMAGE_NAME)]
"""`image_K`: picture number K of its thread, counted along the branch from 1."""
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Name of an artifact: the SHA-256 of what it holds."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Region(_Record):
    """A part of a picture that a request is about; exactly one of the three is given.

    Attributes:
        image: name of the picture.
        box: (left, top, right, bottom), each from 0 to 1.
        point: (x, y), each from 0 to 1: whatever is drawn there.
        mask: a stored picture of the same proportions, white where the region is.
    """

    image: ImageName
    box: Box | None = None
    point: Point | None = None
    mask: Key | None = None


class ImageRecord(_Record):
    """Where a picture comes from.

    Attributes:
        id: its name in the thread.
        key: of its pixels; names the artifact that holds them.
        jpeg: the artifact that holds it instead, where it is kept as the JPEG that it came as.
        width, height: in pixels.
        origin: who made it; `region` is the part of a picture that a request is about.
        turn: number of the turn it came with, from 1.
        parents: the pictures it was made from.
        label: what the user calls it: the name of its file, if it had one.
        instruction: what was asked for.
        plan: what it should show.
        caption: what the model saw in it when it looked at it by itself; None if it did not.
        seed: of the noise it grew from.
        latents: the artifact that holds its latents, so that an edit of it encodes nothing.
        unet_rows: rows that went through the UNet for it, those of attempts that were not kept included.
        model: revision of the model that made it.
        params: settings it was made with.
    """

    id: ImageName
    key: Key
    jpeg: Key | None = None
    width: int
    height: int
    origin: Literal["user", "region", "generate", "edit", "tool"]
    turn: int
    parents: tuple[ImageName, ...] = ()
    label: str | None = None
    instruction: str | None = None
    plan: str | None = None
    caption: str | None = None
    seed: int | None = None
    latents: Key | None = None
    unet_rows: int = 0
    model: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @property
    def number(self) -> int:
        """K of `image_K`."""
        return image_number(self.id)


class Tried(_Record):
    """A drawing that was not kept: it has no name, and nothing is made from it.

    Attributes:
        key: the artifact that holds its pixels.
        seed: of the noise it grew from.
        unsure: what it shows otherwise than planned; empty where nobody looked, or found nothing.
    """

    key: Key
    seed: int
    unsure: str = ""


class Step(_Record):
    """One thing that was done in a turn.

    Attributes:
        action: what kind of thing.
        outcome: `rejected` by the user, or ended in an `error`.
        text: the answer; the result of a tool; what went wrong; why it was rejected.
        image: the picture it made.
        source: the picture it worked on.
        plan: what the picture should show.
        request: which of several requests in a message it was for, in the user's words; empty where there is but one.
        seen: what the model noted down before it acted.
        probabilities: how likely each action was, by task token; they sum to 1 over what was possible.
        unsure: what the picture shows otherwise than planned, as far as the model can see, and whether it is an edit
            that was to change nothing; empty if there is no doubt.
        verified: whether the model has looked at the picture.
        attempts: pictures that were drawn until this one was kept.
        tried: those that were not kept, in their order.
        tool, arguments: of a tool call.
        fate: of a tool call that failed: see `Fate`.
        unet_rows: rows that went through the UNet.
        tokens: read and written by the language model.
        seconds: it took.
    """

    action: Kind
    outcome: Outcome = "ok"
    text: str = ""
    image: ImageName | None = None
    source: ImageName | None = None
    plan: str | None = None
    request: str = ""
    seen: str = ""
    probabilities: dict[str, float] = Field(default_factory=dict)
    unsure: str = ""
    verified: bool = False
    attempts: int = 0
    tried: tuple[Tried, ...] = ()
    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    fate: Fate | None = None
    unet_rows: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Request(_Record):
    """What a user asks in one turn.

    Attributes:
        text: the words.
        images: names of the pictures that come with it.
        task: what to do, if that is not left to the model.
        region: the part of a picture that it is about.
    """

    text: str
    images: tuple[ImageName, ...] = ()
    task: Verb | None = None
    region: Region | None = None


class Turn(_Record):
    """A finished turn, as it is kept. Turns form a tree by `parent`; a thread points at one of them.

    Attributes:
        id: unique in the store.
        parent: the turn before it; None for the first.
        number: from 1.
        at: when it began, seconds since 1970.
        request: what was asked.
        images: the pictures that came in with it, the user's and those that were made.
        steps: what was done.
        text: what the assistant said.
        stopped: why the turn ended before the model said that it was done; empty if it did not.
        seed: of its pictures.
        settings: of the run, as JSON, where they are not the usual ones.
        stream: the token ids that it added to the conversation.
        seconds: it took.
    """

    id: str
    parent: str | None
    number: int
    at: float
    request: Request
    images: tuple[ImageRecord, ...] = ()
    steps: tuple[Step, ...] = ()
    text: str = ""
    stopped: str = ""
    seed: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    stream: tuple[int, ...] = ()
    seconds: float = 0.0


class Pending(_Record):
    """A turn that has begun and not ended.

    Attributes:
        id: by which it is known.
        number, at, request, images, seed: as in `Turn`.
        settings: of the run, as JSON.
        question: what the user is asked, if the turn waits for an answer; None while it runs, and where it was
            cut off.
    """

    id: str
    number: int
    at: float = 0.0
    request: Request
    images: tuple[ImageRecord, ...] = ()
    seed: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    question: Question | None = None


class Question(_Record):
    """What a turn that has stopped wants to know.

    Attributes:
        kind: `approval` of a call that is about to be made, `clarification` of what is meant, or the question of a
            `tool`, which says itself what it takes for an answer.
        text: the question, in words.
        action: what would be done.
        instruction: what for.
        image: the picture it would be done to.
        choices: what may be answered.
        probabilities: how likely each action is, by task token.
        tool, arguments: of a tool call.
        interrupt: by which the graph knows it.
    """

    kind: Literal["approval", "clarification", "tool"]
    text: str
    action: Kind
    instruction: str
    image: ImageName | None = None
    choices: tuple[str, ...]
    probabilities: dict[str, float] = Field(default_factory=dict)
    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    interrupt: str = ""


def image_name(number: int) -> str:
    """`image_K` of picture K."""
    return f"image_{number}"


def image_number(name: str) -> int:
    """K of `image_K`."""
    return int(name.removeprefix("image_"))


def is_image_name(text: str) -> bool:
    """Whether a text is what `image_name` makes."""
    number = text.removeprefix("image_")
    return number.isdecimal() and text == image_name(int(number))


def latest_picture(images: Mapping[str, ImageRecord], regions: bool = False) -> str | None:
    """The name of the last whole picture of a thread; of the last of all, with `regions`. None where there is none."""
    return next((name for name in reversed(list(images)) if regions or images[name].origin != "region"), None)


def shown_pictures(
    new: Iterable[ImageRecord], steps: Iterable[Step], images: Mapping[str, ImageRecord]
) -> list[ImageRecord]:
    """The pictures of a reply, each once: those of `new`, the pictures of its turn, that were made, and those of
    `images`, the pictures of the thread, that a step shows again."""
    shown = {record.id: record for record in new if record.origin not in ("user", "region")}
    again = (step.source for step in steps if step.tool == "show_image")
    shown.update({name: images[name] for name in again if name and name in images})
    return list(shown.values())
