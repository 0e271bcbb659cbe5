"""Tools that draw the edges in a picture."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Picture
from genllava_tools.control_map import working_copy
from genllava_tools.pictures import share
from genllava_tools.registry import visual_tool

_WORKING: Final = 1536
"""Pixels of the longer side of the copy in which edges are found: in larger ones they are too soft to be seen."""


@visual_tool(kind="look")
def edge_map(
    image: Picture,
    low: Annotated[int, Field(ge=0, le=1000, description="Edges weaker than this are left out.")] = 100,
    high: Annotated[int, Field(ge=0, le=1000, description="Edges stronger than this are always kept.")] = 200,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Draw the edges in a picture, white on black (Canny's method). Lower both numbers to find more of them."""
    edges = canny_edges(working_copy(image, _WORKING), low, high).resize(image.size, Image.Resampling.NEAREST)
    found = {"share": round(share(edges), 4)}
    none = " There is no edge: lower `low` and `high` to find weaker ones." if found["share"] == 0 else ""
    return edges, f"Edges cover {found['share']:.1%} of the picture.{none}", found


def canny_edges(image: Image.Image, low: int, high: int) -> Image.Image:
    """The edges of an RGB picture by Canny's method, L, 255 on 0, in its size.

    Raises:
        InvalidRequest: `low` is above `high`.
    """
    import cv2

    if low > high:
        raise InvalidRequest(f"`low` ({low}) is above `high` ({high}): give the smaller number as `low`")
    return Image.fromarray(np.asarray(cv2.Canny(np.ascontiguousarray(image), low, high), np.uint8))
