"""What a page shows, and what comes in from it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genllava.errors import InvalidRequest
from genllava_agent.records import ImageName, Question

_PNG: Final = "data:image/"
_BASE64: Final = ";base64"
_Part = Annotated[float, Field(ge=0, le=1)]
_Number = float | None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with the page open.

    Attributes:
        owner: of threads.
        session: of this page; another one after a reload, and in another tab.
    """

    owner: str
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What changes in a page; None stays as it is.

    Attributes:
        thread: the name of the thread; empty where it is a new one.
        threads: title and name of each.
        messages: of the conversation, as Gradio's chat component takes them.
        steps: of the current turn, in HTML.
        pictures: of the thread, see `picture_strip.strip`.
        question: what the turn wants to know; False where it asks nothing.
        cut_off: the last turn was cut off, and can be gone on with.
        busy: a turn runs.
        notice: what the person should know; empty takes the last one away.
        text: in the box for requests.
        attached: pictures that go with the next request, as the page has them.
    """

    thread: str | None = None
    threads: Sequence[tuple[str, str]] | None = None
    messages: Sequence[dict[str, Any]] | None = None
    steps: str | None = None
    pictures: dict[str, Any] | None = None
    question: Question | Literal[False] | None = None
    cut_off: bool | None = None
    busy: bool | None = None
    notice: str | None = None
    text: str | None = None
    attached: Sequence[dict[str, Any]] | None = None


class PickedRegion(BaseModel):
    """A part of a picture as the page sends it; exactly one of the four is given.

    Attributes:
        image: the name of the picture.
        box: left, top, right, bottom, each from 0 to 1.
        point: x, y, each from 0 to 1.
        mask: a picture as a data URL in base64, white where the region is.
        percent: left, top, right, bottom as somebody typed them; left and top alone are a point.
    """

    model_config = ConfigDict(extra="forbid")

    image: ImageName
    box: tuple[_Part, _Part, _Part, _Part] | None = None
    point: tuple[_Part, _Part] | None = None
    mask: str | None = None
    percent: tuple[_Number, _Number, _Number, _Number] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.box, self.point, self.mask, self.percent)) != 1:
            raise ValueError("a region is one box, point or mask, or numbers of one")
        return self

    def region(self) -> dict[str, Any]:
        """The region as a thread takes it, see `regions.resolve_region`.

        Raises:
            InvalidRequest: the mask is no picture in base64; the numbers are neither a box nor a point.
        """
        if self.percent is not None:
            return {"image": self.image, **_box_or_point(self.percent)}
        if self.mask is None:
            return self.model_dump(exclude_none=True)
        head, comma, data = self.mask.partition(",")
        try:
            if not (comma and head.startswith(_PNG) and head.endswith(_BASE64)):
                raise ValueError
            return {"image": self.image, "mask": base64.b64decode(data, validate=True)}
        except (ValueError, binascii.Error):
            raise InvalidRequest("the mask is no picture: give a PNG, white where the region is") from None


class Attached(BaseModel):
    """A picture that goes with a request.

    Attributes:
        token: by which it is kept, see `uploads`.
        name: of its file, for people to read.
        width, height: in pixels.
    """

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=100)
    name: str = Field(default="", max_length=1000)
    width: int = 0
    height: int = 0


class Asked(BaseModel):
    """A request as the page sends it.

    Attributes:
        text: the words.
        attached: pictures that were uploaded.
        region: the part of a picture that it is about.
        approve: what the assistant asks about before it does it.
    """

    model_config = ConfigDict(extra="forbid")

    text: str
    attached: tuple[Attached, ...] = ()
    region: PickedRegion | None = None
    approve: tuple[Literal["understand", "generate", "edit", "tool"], ...] = ()

    @classmethod
    def read(cls, text: Any, attached: Any, pictures: Any, approve: Any) -> Asked:
        """A request from the values of the page's components.

        Raises:
            InvalidRequest: they are not what the page makes.
        """
        region = pictures.get("region") if isinstance(pictures, dict) else None
        try:
            return cls(text=text or "", attached=attached or (), region=region, approve=approve or ())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidRequest(f"this cannot be asked so: {where}: {first['msg']}") from None


def _box_or_point(percent: Sequence[float | None]) -> dict[str, list[float]]:
    """What numbers in percent of a picture mean.

    Raises:
        InvalidRequest: neither a box nor a point.
    """
    parts = [number / 100 for number in percent if number is not None]
    if all(0 <= part <= 1 for part in parts):
        if len(parts) == 4 and parts[0] < parts[2] and parts[1] < parts[3]:
            return {"box": parts}
        if len(parts) == 2 and percent[2] is percent[3] is None:
            return {"point": parts}
    raise InvalidRequest(
        "these numbers are no part of the picture: give left, top, right and bottom in percent of it, from 0 to 100, "
        "left less than right and top less than bottom; or left and top alone, for the thing there"
    )
