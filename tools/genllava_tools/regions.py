"""Tools that find regions and things in a picture by its colours alone."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import BOX_WORDS, POINT_WORDS, Box, Picture, Point
from genllava_tools.coordinates import box_of_pixels
from genllava_tools.foreground import background, grab_cut, same_color
from genllava_tools.pictures import share
from genllava_tools.registry import visual_tool

_COUNTED: Final = 1024
"""Pixels of the longer side of the copy in which things are counted."""
_NOISE: Final = 24.0
"""Distance of colours (levels of 255) from the background that is never a thing."""
_LISTED: Final = 100


@visual_tool(kind="look")
def segment(
    image: Picture,
    box: Annotated[Box | None, Field(description=f"A box around the object: {BOX_WORDS}.")] = None,
    point: Annotated[Point | None, Field(description=f"A point within a region of one colour: {POINT_WORDS}.")] = None,
    tolerance: Annotated[
        float, Field(ge=0, le=1, description="With a point: how far colours may be from the one there, 0 to 1.")
    ] = 0.1,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Make a mask of one object: white where it is, black elsewhere. Give a box around the object, or a point within a
    region of one colour. This is the simple way, by colours and without a trained model.
    """
    if (box is None) == (point is None):
        raise InvalidRequest("give either `box`, around the object, or `point`, within it")
    if box is not None:
        mask, how = grab_cut(image, box), "GrabCut in the box"
    else:
        assert point is not None, "neither a box nor a point"
        mask, how = same_color(image, point, tolerance), "the region of one colour around the point"
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    found: dict[str, Any] = {"share": round(share(mask), 4), "box": box_of_pixels(left, top, right, bottom, mask.size)}
    said = f"A mask of {found['share']:.1%} of the picture, within {list(found['box'])} (0-1)"
    return mask, f"{said}. Found the simple way, by colours: {how}.", found


@visual_tool(kind="look")
def count_objects(
    image: Picture,
    smallest: Annotated[
        float, Field(ge=0.00001, le=0.5, description="Share of the picture that a thing covers at least, 0 to 1.")
    ] = 0.0005,
) -> tuple[str, dict[str, Any]]:
    """Count the separate things on a plain background, and give the box of each. This is the simple way: regions that
    differ from the colour of the picture's border are counted, so things that touch count as one.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    small = image.copy()
    small.thumbnail((_COUNTED, _COUNTED), Image.Resampling.BOX)
    pixels = np.asarray(small)
    apart = np.sqrt(((pixels - background(small)) ** 2).sum(2))
    otsu: Any = threshold_otsu
    level = max(_NOISE, float(otsu(apart)) if apart.max() > apart.min() else _NOISE)
    labels, _ = ndimage.label(ndimage.binary_fill_holes(apart > level), np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    places = ndimage.find_objects(labels)
    kept = [number for number in range(1, len(sizes)) if sizes[number] >= smallest * labels.size]
    boxes = []
    for number in sorted(kept, key=lambda number: -sizes[number])[:_LISTED]:
        rows, columns = places[number - 1]
        boxes.append(box_of_pixels(columns.start, rows.start, columns.stop, rows.stop, small.size))
    shown = "; ".join(str(list(box)) for box in boxes[:10])
    more = f" and {len(kept) - 10} more" if len(kept) > 10 else ""
    where = f" Their boxes (0-1), the largest first: {shown}{more}." if boxes else ""
    said = f"{len(kept)} separate thing{'' if len(kept) == 1 else 's'} on the background.{where}"
    way = "Counted the simple way, as regions that differ from the border's colour: what touches counts as one."
    return f"{said} {way}", {"count": len(kept), "boxes": boxes}
