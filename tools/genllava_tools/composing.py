"""Tools that put pictures together, and cut out what is put elsewhere."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from PIL import Image, ImageColor
from pydantic import Field

from genllava_tools.arguments import BOX_WORDS, Box, Color, Layer, Mask, Picture, Pictured, picture_name
from genllava_tools.coordinates import box_pixels
from genllava_tools.pictures import check_size
from genllava_tools.registry import visual_tool

_LONGEST: Final = 4096
"""Pixels of the longer side of pictures that are put beside each other, at most."""
Gap = Annotated[float, Field(ge=0, le=0.2, description="Space between them, as a part of their height.")]
MaskOfOther = Annotated[Image.Image, Pictured("mask", "other"), picture_name("A mask of `other`.")]


@visual_tool(kind="change")
def cut_out(
    image: Picture,
    mask: Mask,
    trim: Annotated[bool, Field(description="Cut off the empty space around it.")] = True,
) -> tuple[Image.Image, str]:
    """Cut out what a mask shows; around it the result is transparent (white, where transparency cannot be kept)."""
    made = image.convert("RGBA")
    made.putalpha(mask)
    if trim:
        made = made.crop(mask.getbbox())
    return made, f"Cut out {made.width}x{made.height} pixels; what is outside of the mask is transparent."


@visual_tool(kind="change")
def paste(
    image: Annotated[Picture, Field(description="The background.")],
    other: Layer,
    box: Annotated[Box, Field(description=f"Where in the background it is put: {BOX_WORDS}.")],
    mask: Annotated[MaskOfOther | None, Field(description="A mask of `other`: only what is white is put.")] = None,
    fit: Annotated[
        Literal["contain", "stretch"],
        Field(description="contain: keep its proportions, centred in the box; stretch: fill the box."),
    ] = "contain",
) -> tuple[Image.Image, str]:
    """Put one picture onto another, into a box of it. Give a mask of the picture that is put there (from `segment`) to
    put only what it shows; transparent parts are left out by themselves.
    """
    layer = other.convert("RGBA")
    if mask is not None:
        alpha = Image.new("L", mask.size, 0)
        alpha.paste(layer.getchannel("A"), (0, 0), mask)
        layer.putalpha(alpha)
        layer = layer.crop(mask.getbbox())
    left, top, right, bottom = box_pixels(box, image.size)
    size = (right - left, bottom - top)
    if fit == "contain":
        scale = min(size[0] / layer.width, size[1] / layer.height)
        size = (max(1, round(layer.width * scale)), max(1, round(layer.height * scale)))
    scaled = layer.resize(size, Image.Resampling.LANCZOS)
    place = left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2
    made = image.copy()
    made.paste(scaled, place, scaled)
    return made, f"Put there at {size[0]}x{size[1]} pixels, its left top corner at ({place[0]}, {place[1]})."


@visual_tool(kind="change")
def side_by_side(
    image: Annotated[Picture, Field(description="The picture on the left.")],
    other: Annotated[Picture, Field(description="The picture on the right.")],
    gap: Gap = 0.02,
) -> tuple[Image.Image, str]:
    """Put two pictures beside each other in one, at the same height: the first on the left, the other on the right."""
    height = max(image.height, other.height)
    widths = [each.width * height / each.height for each in (image, other)]
    scale = min(1.0, _LONGEST / max(height, sum(widths)))
    height = max(1, round(height * scale))
    parts = [_at_height(each, height) for each in (image, other)]
    between = round(gap * height)
    width = sum(part.width for part in parts) + between
    check_size(width, height)
    made = Image.new("RGB", (width, height), "white")
    made.paste(parts[0], (0, 0))
    made.paste(parts[1], (parts[0].width + between, 0))
    return made, f"The two stand side by side in a picture of {made.width}x{made.height} pixels."


@visual_tool(kind="change")
def grid(
    images: Annotated[
        list[Picture], Field(min_length=2, max_length=36, description="The pictures, row by row from the top left.")
    ],
    columns: Annotated[int | None, Field(ge=1, le=12, description="Pictures in a row.")] = None,
    cell: Annotated[int, Field(ge=16, le=1024, description="Width and height of each cell, in pixels.")] = 256,
    color: Annotated[Color, Field(description="Of what is around them: a name such as white, or #rrggbb.")] = "white",
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Put several pictures into one, in rows and columns; each is scaled to fit its cell and keeps its proportions."""
    across = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    down = math.ceil(len(images) / across)
    gap = max(1, cell // 32)
    width, height = across * (cell + gap) + gap, down * (cell + gap) + gap
    check_size(width, height)
    made = Image.new("RGB", (width, height), ImageColor.getrgb(color)[:3])
    for place, each in enumerate(images):
        scale = cell / max(each.size)
        size = (max(1, round(each.width * scale)), max(1, round(each.height * scale)))
        left = gap + place % across * (cell + gap) + (cell - size[0]) // 2
        top = gap + place // across * (cell + gap) + (cell - size[1]) // 2
        made.paste(each.resize(size, Image.Resampling.LANCZOS), (left, top))
    said = f"{len(images)} pictures in {across} columns and {down} rows."
    return made, said, {"columns": across, "rows": down}


def _at_height(image: Image.Image, height: int) -> Image.Image:
    if image.height == height:
        return image
    width = max(1, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS)
