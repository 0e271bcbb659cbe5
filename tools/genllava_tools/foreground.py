"""What stands out from what is around it, without any weights: GrabCut, and regions of one colour."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import BoxTuple, PointTuple, box_pixels, point_pixel
from genllava_tools.pictures import mask_image

_WORKING: Final = 384
"""Pixels of the longer side of the copy that GrabCut works on: its time grows faster than a picture does."""
_ROUNDS: Final = 5
_SMALLEST: Final = 8
_GROUND: Final = 60
"""Levels of 255 by which colours of the ground differ from its median, at most."""


def grab_cut(image: Image.Image, box: BoxTuple) -> Image.Image:
    """The object that fills most of a box, as an L mask of the picture's size.

    Colours within the box are told from those outside of it; an object whose colours are those around it is not found.

    Raises:
        InvalidRequest: nothing stands out in the box, or nothing is outside of it.
    """
    import cv2

    small = image.copy()
    small.thumbnail((_WORKING, _WORKING), Image.Resampling.BOX)
    left, top, right, bottom = box_pixels(box, small.size)
    if min(small.size) < _SMALLEST or (right - left) * (bottom - top) < _SMALLEST:
        raise InvalidRequest("the picture or the box is too small to find an object in it: give a larger one")
    if (right - left, bottom - top) == small.size:
        raise InvalidRequest("the box is the whole picture: leave some of what is around the object outside of it")
    marks = np.full((small.height, small.width), cv2.GC_BGD, np.uint8)
    marks[top:bottom, left:right] = cv2.GC_PR_FGD
    pixels = np.ascontiguousarray(np.asarray(small.filter(ImageFilter.MedianFilter(3)))[:, :, ::-1])
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(pixels, marks, (left, top, right - left, bottom - top), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        raise InvalidRequest("no object could be told from what is around it: give another box") from None
    found = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    tidied = _tidy(found)
    if tidied.mean() < 1e-4:
        raise InvalidRequest("nothing in the box stands out from what is around it: give another box")
    mask = mask_image(tidied).resize(image.size, Image.Resampling.BICUBIC)
    return mask.point(lambda level: 255 if level >= 128 else 0)


def same_color(image: Image.Image, point: PointTuple, tolerance: float) -> Image.Image:
    """The connected region around a point that has its colour, as an L mask of the picture's size.

    Args:
        tolerance: how far a colour may be from that at the point, 0..1 of the levels of each channel.
    """
    from scipy import ndimage

    column, row = point_pixel(point, image.size)
    pixels = np.asarray(image)
    color = pixels[row, column].astype(np.int16)
    near = np.ones(pixels.shape[:2], bool)
    for channel in range(3):
        near &= np.abs(pixels[:, :, channel].astype(np.int16) - color[channel]) <= tolerance * 255
    labels, _ = ndimage.label(near)
    return mask_image(labels == labels[row, column])


def background(image: Image.Image) -> NDArray[np.float64]:
    """[H, W, 3]: the colours that a picture's ground would have without what lies on it, in levels of 255.

    They are a smooth surface (quadratic in x and y) through the colours of the border, so that light which falls off
    from one side to the other is part of the ground; what reaches the border is left out of it, where it is the lesser
    part.
    """
    pixels = np.asarray(image).astype(float)
    height, width = pixels.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], 2)
    band = max(1, round(0.04 * min(height, width)))
    at_border = np.ones((height, width), bool)
    at_border[band:-band, band:-band] = False
    inputs, colors = terms[at_border], pixels[at_border]
    kept = np.abs(colors - np.median(colors, axis=0)).max(1) <= _GROUND
    for _ in range(3):
        if kept.sum() < 2 * inputs.shape[1] * band + 12:
            return np.broadcast_to(np.median(colors, axis=0), pixels.shape).copy()
        surface, *_ = np.linalg.lstsq(inputs[kept], colors[kept], rcond=None)
        apart = np.abs(inputs @ surface - colors).max(1)
        kept = apart <= max(8.0, 2.5 * float(np.median(apart)))
    return np.asarray(terms @ surface)


def _tidy(region: NDArray[Any]) -> NDArray[Any]:
    """A region without its holes, its hairs and what is small beside its largest part."""
    from scipy import ndimage

    opened = ndimage.binary_opening(region, iterations=1)
    labels, count = ndimage.label(opened if opened.any() else region)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if not count:
        return region
    kept = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max()))
    return np.asarray(ndimage.binary_fill_holes(kept))
