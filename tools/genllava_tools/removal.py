"""Tools that take something out of a picture: what is behind an object, or an object itself."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import BOX_WORDS, Box, Label, Mask, Picture
from genllava_tools.inpainting import fill_region, widened
from genllava_tools.outlines import by_colors, given, outline
from genllava_tools.pictures import region, share
from genllava_tools.registry import visual_tool
from genllava_tools.results import ToolResult

_MIDDLE: Final = (0.04, 0.04, 0.96, 0.98)
"""Where an object is looked for when no box is given."""
_WORKING: Final = 1024
"""Pixels of the longer side of the copy in which a hole is filled."""


@visual_tool(kind="change")
def remove_background(
    image: Picture,
    box: Annotated[Box | None, Field(description=f"A box around the object that stays: {BOX_WORDS}.")] = None,
    label: Annotated[Label | None, Field(description="What stays, in a few words: a dog.")] = None,
    mask: Annotated[Mask | None, Field(description="What stays, as a mask: white where it is.")] = None,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Take away what is behind an object: the result is transparent there (white, where transparency cannot be kept).
    Give `box` around the object, `label`, what it is (needs the detection model), or `mask`; with none of them the
    object in the middle stays. Without a segmentation model this is done the simple way (GrabCut, by colours).
    """
    if sum(each is not None for each in (box, label, mask)) > 1:
        raise InvalidRequest("give one of `box`, `label` and `mask`, to say what stays")
    if mask is not None:
        made = given(mask)
    elif box is None and label is None:
        made = by_colors(image, _MIDDLE)
    else:
        made = outline(image, box=box, label=label)
    cut = image.convert("RGBA")
    cut.putalpha(made.mask.filter(ImageFilter.GaussianBlur(0.7)))
    said = f"{made.found['share']:.1%} of the picture was kept, within {list(made.found['box'])} (0-1)."
    return cut, f"{said} Found {made.how}.", made.found


@visual_tool(kind="change")
def remove_object(
    image: Picture,
    box: Annotated[Box | None, Field(description=f"A box around what is to go: {BOX_WORDS}.")] = None,
    mask: Annotated[Mask | None, Field(description="What is to go, as a mask: white where it is.")] = None,
    prompt: Annotated[
        Label | None, Field(description="What is behind it, such as a brick wall: to be drawn by the inpainting model.")
    ] = None,
) -> ToolResult | tuple[Image.Image, str]:
    """Take something out of a picture and fill the place from what is around it. Give a box around it, or a mask of it.
    This is the simple way (OpenCV's inpainting, without a trained model): good on plain surroundings, else smeared.
    With `prompt` the place is drawn by an inpainting model, where one is here.
    """
    import cv2

    hole = region(image, box, mask)
    if prompt is not None:
        return fill_region(image, hole if mask is None else widened(hole), prompt, 0)
    if share(hole) > 0.9:
        raise InvalidRequest("what is to go covers nearly all of the picture: there is nothing to fill it from")
    longer = max(image.size)
    scale = min(1.0, _WORKING / longer)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = np.ascontiguousarray(image.resize(size, Image.Resampling.BOX))
    few = hole.resize(size, Image.Resampling.BOX).point(lambda level: 255 if level else 0)
    wide = hole
    if mask is not None:
        few = widened(few)
        wide = ImageChops.lighter(hole, few.resize(image.size, Image.Resampling.NEAREST))
    found: Any = cv2.inpaint(small, np.ascontiguousarray(few), 5, cv2.INPAINT_TELEA)
    filled = Image.fromarray(np.asarray(found, np.uint8))
    made = image.copy()
    made.paste(filled.resize(image.size, Image.Resampling.BICUBIC) if scale < 1 else filled, (0, 0), wide)
    return made, f"{share(wide):.1%} of the picture was filled from its surroundings, the simple way (inpainting)."
