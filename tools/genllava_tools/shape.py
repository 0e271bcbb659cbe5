"""Tools that change the size and the orientation of a picture."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

from PIL import Image, ImageColor, ImageOps
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Color, KeptLayer, Picture
from genllava_tools.pictures import check_size
from genllava_tools.registry import visual_tool

_TURNED: Final = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}  # Pillow counts counter-clockwise

Margin = Annotated[float, Field(ge=0, le=4)]


@visual_tool(kind="change")
def resize(
    image: KeptLayer,
    width: Annotated[int | None, Field(ge=1, le=20_000, description="New width in pixels.")] = None,
    height: Annotated[int | None, Field(ge=1, le=20_000, description="New height in pixels.")] = None,
) -> tuple[Image.Image, str]:
    """Make a picture larger or smaller. Give its new width or height, and the other follows by its proportions; or give
    both, and it is stretched.
    """
    if width is None and height is None:
        raise InvalidRequest("give `width`, `height` or both, in pixels")
    across = width or max(1, round(image.width * (height or 0) / image.height))
    down = height or max(1, round(image.height * across / image.width))
    check_size(across, down)
    made = image.resize((across, down), Image.Resampling.LANCZOS)
    return made, f"Resized from {image.width}x{image.height} to {across}x{down} pixels."


@visual_tool(kind="change")
def rotate(
    image: KeptLayer,
    angle: Annotated[
        float, Field(ge=-360, le=360, description="Degrees clockwise; negative numbers turn counter-clockwise.")
    ],
    color: Annotated[
        Color | None,
        Field(
            description="Of the new corners: a name such as white, or #rrggbb. Left out: white, or transparent where "
            "the picture has transparent parts."
        ),
    ] = None,
) -> tuple[Image.Image, str]:
    """Turn a picture clockwise by an angle in degrees: 90 brings its top to the right. The picture grows so that all of
    it stays visible; turns by 90, 180 and 270 degrees change no pixel.
    """
    turn = angle % 360
    if turn == 0:
        made = image.copy()
    elif turn in _TURNED:
        made = image.transpose(_TURNED[int(turn)])
    else:
        across, down = abs(math.cos(math.radians(turn))), abs(math.sin(math.radians(turn)))
        check_size(
            round(image.width * across + image.height * down), round(image.width * down + image.height * across)
        )
        fill: tuple[int, ...] = ImageColor.getrgb(color or "white")[:3]
        if image.mode == "RGBA":
            fill = (*fill, 255 if color else 0)
        made = image.rotate(-angle, Image.Resampling.BICUBIC, expand=True, fillcolor=fill)
    way = "clockwise" if angle >= 0 else "counter-clockwise"
    return made, f"Turned by {abs(angle):g} degrees {way}; it has {made.width}x{made.height} pixels now."


@visual_tool(kind="change")
def flip(
    image: KeptLayer,
    direction: Annotated[
        Literal["horizontal", "vertical"],
        Field(description="horizontal: left and right change places; vertical: top and bottom do."),
    ] = "horizontal",
) -> tuple[Image.Image, str]:
    """Mirror a picture: horizontally, so that left becomes right, or vertically, so that top becomes bottom."""
    if direction == "horizontal":
        return ImageOps.mirror(image), "Left and right have changed places."
    return ImageOps.flip(image), "Top and bottom have changed places."


@visual_tool(kind="change")
def pad(
    image: Picture,
    left: Annotated[Margin, Field(description="Added at the left, in widths of the picture: 0.5 is half of one.")] = 0,
    top: Annotated[Margin, Field(description="Added at the top, in heights of the picture.")] = 0,
    right: Annotated[Margin, Field(description="Added at the right, in widths of the picture.")] = 0,
    bottom: Annotated[Margin, Field(description="Added at the bottom, in heights of the picture.")] = 0,
    color: Annotated[Color, Field(description="Of the margins: a name such as white, or #rrggbb.")] = "white",
) -> tuple[Image.Image, str]:
    """Add margins of one colour around a picture, which keeps its size. Each margin is a fraction of the picture."""
    across = [round(part * image.width) for part in (left, right)]
    down = [round(part * image.height) for part in (top, bottom)]
    if not any((*across, *down)):
        raise InvalidRequest("give at least one of `left`, `top`, `right` and `bottom`, large enough to be a pixel")
    width, height = image.width + sum(across), image.height + sum(down)
    check_size(width, height)
    made = Image.new("RGB", (width, height), ImageColor.getrgb(color)[:3])
    made.paste(image, (across[0], down[0]))
    return made, f"Padded from {image.width}x{image.height} to {width}x{height} pixels."
