"""Types of arguments that a model can fill in: pictures, masks, boxes, points, colours, words.

Each carries its description and its bounds, so that a tool's function only has to name it:

    def crop(image: Picture, box: Box) -> Image.Image: ...

Where a tool means something particular, it says so: `Annotated[Picture, Field(description="the background")]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

from PIL import Image, ImageColor
from pydantic import AfterValidator, Field, WithJsonSchema

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import BoxTuple, PointTuple, box_in, point_in


@dataclass(frozen=True, slots=True)
class Pictured:
    """Marks an argument as a picture.

    Attributes:
        form: "picture" comes in as RGB; "layer" too, but as RGBA where it has transparency; "mask" as L with 0 and 255
            only, at the size of the picture that it belongs to.
        of: for a mask, the argument that holds that picture.
    """

    form: Literal["picture", "layer", "mask"] = "picture"
    of: str = "image"


@dataclass(frozen=True, slots=True)
class Placed:
    """Marks an argument as a place in the picture `image`: a box or a point, which other dialects write otherwise."""

    form: Literal["box", "point"]


def _checked_box(value: BoxTuple) -> BoxTuple:
    try:
        return box_in(value)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def _checked_point(value: PointTuple) -> PointTuple:
    try:
        return point_in(value)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None


def _checked_color(value: str) -> str:
    try:
        ImageColor.getrgb(value)
    except ValueError:
        raise ValueError(f"{value!r} is no colour: give a name such as red, or #rrggbb") from None
    return value


def picture_name(description: str) -> WithJsonSchema:
    """The schema of an argument that is a picture: models give its name."""
    return WithJsonSchema({"type": "string", "maxLength": 64, "description": description})


def _numbers(count: int, description: str) -> WithJsonSchema:
    items = {"type": "number", "minimum": 0, "maximum": 1}
    return WithJsonSchema(
        {"type": "array", "items": items, "minItems": count, "maxItems": count, "description": description}
    )


BOX_WORDS: Final = "[left, top, right, bottom], each from 0 to 1 of the picture's width and height"
POINT_WORDS: Final = "[x, y], each from 0 to 1 of the picture's width and height"

Picture = Annotated[Image.Image, Pictured(), picture_name("The picture.")]
"""An RGB picture."""
Layer = Annotated[Image.Image, Pictured("layer"), picture_name("The picture that is put on the other one.")]
"""An RGB picture, or an RGBA one where it has transparency."""
KeptLayer = Annotated[Image.Image, Pictured("layer"), picture_name("The picture.")]
"""As `Layer`: the picture of a tool that keeps its transparency."""
Mask = Annotated[Image.Image, Pictured("mask"), picture_name("A mask: white where the region is, black elsewhere.")]
"""An L picture, 255 in a region of `image` and 0 elsewhere, as large as `image`."""
Box = Annotated[BoxTuple, Placed("box"), AfterValidator(_checked_box), _numbers(4, f"The box: {BOX_WORDS}.")]
"""A box of `image`, in fractions."""
Point = Annotated[
    PointTuple, Placed("point"), AfterValidator(_checked_point), _numbers(2, f"The point: {POINT_WORDS}.")
]
"""A point of `image`, in fractions."""
Color = Annotated[
    str,
    Field(min_length=3, max_length=32, description="The colour: a name such as red, or #rrggbb."),
    AfterValidator(_checked_color),
]
"""A colour by CSS name or #rrggbb."""
Label = Annotated[str, Field(min_length=1, max_length=80, description="A few words.")]
"""A short text."""


def leaves(annotation: Any) -> Iterator[Any]:
    """All that an annotation is made of: its types, and what `Annotated` adds to them, however deep."""
    yield annotation
    yield from getattr(annotation, "__metadata__", ())
    for part in (annotation.__origin__,) if hasattr(annotation, "__metadata__") else get_args(annotation):
        yield from leaves(part)


def picture_mark(annotation: Any) -> Pictured | None:
    """How an argument is a picture; None where it is something else."""
    return next((each for each in leaves(annotation) if isinstance(each, Pictured)), None)


def place_mark(annotation: Any) -> Placed | None:
    """How an argument is a place, or a list of them; None where it is something else."""
    return next((each for each in leaves(annotation) if isinstance(each, Placed)), None)
