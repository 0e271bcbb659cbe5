"""Tools that draw onto a picture: boxes, points, arrows, words, and light on a region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from PIL import Image, ImageColor, ImageDraw, ImageEnhance
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import BOX_WORDS, POINT_WORDS, Box, Color, Label, Mask, Picture, Point
from genllava_tools.coordinates import BoxTuple, PointTuple, box_pixels
from genllava_tools.lettering import contrasting, put_text, write
from genllava_tools.pictures import region
from genllava_tools.registry import visual_tool

_LINE: Final = 0.006
"""Width of lines, as a part of the picture's longer side."""
_LETTERS: Final = 0.035
"""Height of labels, as a part of the picture's longer side."""
Labels = Annotated[list[Label], Field(max_length=100, description="Words for each of them, in the same order.")]


@visual_tool(kind="mark")
def draw_boxes(
    image: Picture,
    boxes: Annotated[list[Box], Field(min_length=1, max_length=100, description=f"The boxes, each {BOX_WORDS}.")],
    labels: Labels | None = None,
    color: Color = "red",
) -> tuple[Image.Image, str]:
    """Draw boxes onto a picture, with words at each if they are given, to show where things are."""
    made = boxed(image, boxes, _paired(labels, len(boxes), "boxes"), color)
    return made, f"Drew {len(boxes)} box{'' if len(boxes) == 1 else 'es'} in {color}."


@visual_tool(kind="mark")
def draw_points(
    image: Picture,
    points: Annotated[list[Point], Field(min_length=1, max_length=100, description=f"The points, each {POINT_WORDS}.")],
    labels: Labels | None = None,
    color: Color = "red",
) -> tuple[Image.Image, str]:
    """Draw dots onto a picture, with words at each if they are given, to point at things."""
    words = _paired(labels, len(points), "points")
    made = image.copy()
    pen, radius = ImageDraw.Draw(made), 1.5 * _width(image)
    letters = _LETTERS * max(image.size)
    for point, label in zip(points, words, strict=True):
        x, y = _place(point, image)
        round_it = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(round_it, fill=_rgb(color), outline=contrasting(_rgb(color)))
        if label:
            corner = (round(x + 1.5 * radius), round(y))
            put_text(made, label, corner, letters, _rgb(color))
    return made, f"Drew {len(points)} point{'' if len(points) == 1 else 's'} in {color}."


@visual_tool(kind="mark")
def draw_arrow(
    image: Picture,
    start: Annotated[Point, Field(description=f"Where the arrow begins: {POINT_WORDS}.")],
    end: Annotated[Point, Field(description=f"Where its tip is: {POINT_WORDS}.")],
    color: Color = "red",
) -> tuple[Image.Image, str]:
    """Draw an arrow onto a picture, from one point to another; the tip is at the second."""
    (x0, y0), (x1, y1) = _place(start, image), _place(end, image)
    length = math.hypot(x1 - x0, y1 - y0)
    if length < 1:
        raise InvalidRequest("`start` and `end` are the same place: an arrow needs two")
    made = image.copy()
    pen, width = ImageDraw.Draw(made), _width(image)
    along = (x1 - x0) / length, (y1 - y0) / length
    head = min(7.0 * width, length)
    base = x1 - along[0] * head, y1 - along[1] * head
    wing = (-along[1] * head / 2, along[0] * head / 2)
    pen.line((x0, y0, *base), fill=_rgb(color), width=width)
    pen.polygon(
        [(x1, y1), (base[0] + wing[0], base[1] + wing[1]), (base[0] - wing[0], base[1] - wing[1])], fill=_rgb(color)
    )
    return made, f"Drew an arrow in {color}, {length:.0f} pixels long."


@visual_tool(kind="mark")
def add_text(
    image: Picture,
    text: Annotated[str, Field(min_length=1, max_length=300, description="The words, exactly as they are to appear.")],
    position: Annotated[
        Literal["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"],
        Field(description="Where in the picture."),
    ] = "bottom",
    size: Annotated[
        float, Field(ge=0.01, le=0.5, description="Height of the letters, as a part of the picture's height.")
    ] = 0.08,
    color: Annotated[Color, Field(description="Of the letters: a name such as white, or #rrggbb.")] = "white",
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Write words onto a picture, with an outline so that they can be read on any ground; lines are broken where they
    are too long, and letters made smaller where the words would not fit.
    """
    made, height, box = write(image, text, position, size * image.height, _rgb(color))
    said = f"Wrote {text!r} at the {position}, with letters {height} pixels high, within {list(box)} (0-1)."
    return made, said, {"box": box, "letters": height}


@visual_tool(kind="mark")
def highlight(
    image: Picture,
    mask: Annotated[Mask | None, Field(description="What stays bright, as a mask: white where it is.")] = None,
    box: Annotated[Box | None, Field(description=f"What stays bright, as a box: {BOX_WORDS}.")] = None,
    strength: Annotated[float, Field(ge=0.1, le=1, description="How far the rest is dimmed; 1 is black.")] = 0.65,
) -> tuple[Image.Image, str]:
    """Draw attention to the part of a picture in a mask or a box: it stays as it is, and the rest is dimmed."""
    place = region(image, box, mask)
    made = ImageEnhance.Brightness(image).enhance(1 - strength)
    made.paste(image, (0, 0), place)
    return made, f"Dimmed all but the {'mask' if mask is not None else 'box'}."


def boxed(image: Image.Image, boxes: Sequence[BoxTuple], words: Sequence[str], color: str = "red") -> Image.Image:
    """A picture with boxes drawn onto it, and words at each; empty words are left out."""
    made = image.copy()
    pen, width = ImageDraw.Draw(made), _width(image)
    letters = _LETTERS * max(image.size)
    for box, label in zip(boxes, words, strict=True):
        left, top, right, bottom = box_pixels(box, image.size)
        pen.rectangle((left, top, right - 1, bottom - 1), outline=_rgb(color), width=width)
        if label:
            put_text(made, label, (left, top), letters, _rgb(color), above=True)
    return made


def _paired(labels: list[str] | None, count: int, what: str) -> list[str]:
    if labels is not None and len(labels) != count:
        raise InvalidRequest(f"there are {count} {what} and {len(labels)} labels: give one label for each, or none")
    return labels or [""] * count


def _width(image: Image.Image) -> int:
    return max(2, round(_LINE * max(image.size)))


def _place(point: PointTuple, image: Image.Image) -> PointTuple:
    return point[0] * (image.width - 1), point[1] * (image.height - 1)


def _rgb(color: str) -> tuple[int, ...]:
    return ImageColor.getrgb(color)[:3]
