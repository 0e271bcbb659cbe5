"""Tools that find the region of an object, and count things: by models where they are here, else by colours."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

import numpy as np
from PIL import Image
from pydantic import Field

from genllava_tools.arguments import BOX_WORDS, POINT_WORDS, Box, Label, Picture, Point
from genllava_tools.coordinates import BoxTuple, box_of_pixels
from genllava_tools.detection import find_things
from genllava_tools.foreground import background
from genllava_tools.outlines import outline
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
    point: Annotated[Point | None, Field(description=f"A point on the object: {POINT_WORDS}.")] = None,
    label: Annotated[Label | None, Field(description="What the object is, in a few words: a dog.")] = None,
    tolerance: Annotated[
        float | None,
        Field(ge=0, le=1, description="With a point, for the region of one colour: how far colours may be, 0 to 1."),
    ] = None,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Make a mask of an object: white where it is, black elsewhere. Give `box` around it, `point` on it, or `label`,
    what it is: then all things of that name are in the mask, and the detection model is needed. Without a segmentation
    model this is done the simple way, by colours: a point then stands for the region of one colour around it.
    """
    made = outline(image, box=box, point=point, label=label, tolerance=tolerance)
    said = f"A mask of {made.found['share']:.1%} of the picture, within {list(made.found['box'])} (0-1)."
    return made.mask, f"{said} Found {made.how}.", made.found


@visual_tool(kind="look")
def count_objects(
    image: Picture,
    label: Annotated[Label | None, Field(description="What to count, in a few words: a red cup.")] = None,
    smallest: Annotated[
        float, Field(ge=0, le=0.5, description="Share of the picture that a thing covers at least, 0 to 1.")
    ] = 0.0005,
) -> tuple[str, dict[str, Any]]:
    """Count things, and give the box of each. Give `label` to count the things of that name, which needs the detection
    model. Without it the things on a plain background are counted, the simple way: as regions that differ from the
    colour of the picture's border, so that things that touch count as one.
    """
    if label is not None:
        return _named(image, label, smallest)
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


def _named(image: Image.Image, label: str, smallest: float) -> tuple[str, dict[str, Any]]:
    found = find_things(image, [label])
    large = [thing for thing in found.things if _area(thing.box) >= smallest]
    kept = replace(found, things=tuple(large))
    small = len(found.things) - len(large)
    less = f"; {small} smaller than {smallest:g} of the picture were left out" if small else ""
    where = f" Their boxes (0-1), the surest first: {kept.said()}." if large else ""
    said = f"{len(large)} found that are {label!r}, by {found.by} with a score of {found.threshold:g} or more{less}."
    return said + where, kept.listed()


def _area(box: BoxTuple) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
