"""Where in a picture the scene lies: without the bars of a letterbox, a screenshot's border, or what was cut off."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.things.pictures.backgrounds import DRAWERS, background
from genllava_finetune.worlds.things.pictures.render import CANVAS

Pixels = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture; a little outside of it where something was cut off."""

_WIDEST: Final = 24
"""A bar is no wider than this, in pixels of a picture of CANVAS."""
_STEP: Final = 13.0
"""From a bar to the scene, a channel changes by at least this much,"""
_ALONG: Final = 0.8
"""in this share of the pixels along it."""
_SMALL: Final = 120
"""Side of the picture in which a frame is fitted to a drawn background."""
_FAR: Final = 40.0


def without_bars(picture: Pixels) -> Box:
    """The part of a picture [CANVAS, CANVAS, 3] that straight edges from side to side enclose."""
    turned = picture.transpose(1, 0, 2)
    left, right = _first_edge(turned), _first_edge(turned[::-1])
    top, bottom = _first_edge(picture), _first_edge(picture[::-1])
    return left / CANVAS, top / CANVAS, 1 - right / CANVAS, 1 - bottom / CANVAS


def _first_edge(picture: Pixels) -> int:
    """Rows that lie outside the innermost edge near the top of a picture."""
    rows = picture[: _WIDEST + 3]
    across = np.abs(rows[2:] - rows[:-2]).max(-1)
    edges = np.nonzero((across > _STEP).mean(1) > _ALONG)[0]
    if not len(edges):
        return 0
    last = int(edges[-1])
    first = last
    while first - 1 in edges:
        first -= 1
    return round((first + last) / 2 + 1) if last - first < 3 else last + 1


def fitted(image: Image.Image, name: str, start: Box) -> Box:
    """The frame near `start` in which a drawn background lies best over a picture; `start` for a plain one."""
    if name not in DRAWERS:
        return start
    wanted = background(name, _SMALL)

    def far(box: Box) -> float:
        seen = np.asarray(cut(image, box, _SMALL), np.float32)
        return float(np.abs(seen - wanted).max(-1).clip(0, _FAR).mean())

    best, least = start, far(start)
    for step in (4, 2, 1, 0.5):
        moved = True
        while moved:
            moved = False
            for index in range(4):
                for by in (-step / CANVAS, step / CANVAS):
                    sides = list(best)
                    sides[index] += by
                    tried: Box = (sides[0], sides[1], sides[2], sides[3])
                    if max(abs(a - b) for a, b in zip(tried, (0, 0, 1, 1), strict=True)) > 0.1:
                        continue
                    error = far(tried)
                    if error < least - 1e-3:
                        best, least, moved = tried, error, True
    return best


def cut(image: Image.Image, box: Box, side: int) -> Image.Image:
    """That part of a picture as a square of `side` pixels; beyond its edges they go on."""
    beside = max(0.0, -box[0], -box[1], box[2] - 1, box[3] - 1)
    width, height = image.size
    if beside > 0:
        extra = int(np.ceil(beside * max(width, height))) + 1
        image = Image.fromarray(np.pad(np.asarray(image), ((extra, extra), (extra, extra), (0, 0)), "edge"))
    else:
        extra = 0
    corners = (
        min(max(box[0] * width + extra, 0.0), image.width - 1.0),
        min(max(box[1] * height + extra, 0.0), image.height - 1.0),
        min(box[2] * width + extra, float(image.width)),
        min(box[3] * height + extra, float(image.height)),
    )
    return image.resize((side, side), Image.Resampling.BICUBIC, box=corners)
