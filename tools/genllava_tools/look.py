"""Tools that look closer: a part of a picture, as it is or enlarged."""

from __future__ import annotations

from typing import Annotated, Final

from PIL import Image
from pydantic import Field

from genllava_tools.arguments import Box, KeptLayer, Label, Picture
from genllava_tools.coordinates import box_pixels
from genllava_tools.registry import visual_tool

_CLOSE: Final = 768
"""Pixels of the longer side of a part that is zoomed in on, at least."""
_ENLARGED: Final = 8
"""Times that it is enlarged, at most."""


@visual_tool(kind="look")
def zoom_in(
    image: Picture,
    box: Box,
    label: Annotated[Label | None, Field(description="What is to be seen there, in a few words.")] = None,
) -> tuple[Image.Image, str]:
    """Look closer at a part of a picture: the box is cut out and enlarged, so that small things and small writing can
    be made out. Use `crop` to keep the part at its own size.
    """
    part = image.crop(box_pixels(box, image.size))
    factor = min(max(_CLOSE / max(part.size), 1.0), float(_ENLARGED))
    across, down = (max(1, round(side * factor)) for side in part.size)
    shown = part.resize((across, down), Image.Resampling.LANCZOS) if factor > 1 else part
    about = f" ({label})" if label else ""
    return shown, f"The part{about} of {part.width}x{part.height} pixels, shown at {shown.width}x{shown.height}."


@visual_tool(kind="look")
def crop(image: KeptLayer, box: Box) -> tuple[Image.Image, str]:
    """Cut a part out of a picture, at its own size."""
    part = image.crop(box_pixels(box, image.size))
    return part, f"The part of {part.width}x{part.height} pixels of a picture of {image.width}x{image.height}."
