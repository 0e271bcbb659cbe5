"""The backgrounds of the things world: eight plain colours, six scenes drawn by a few lines of code."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_SIDE: Final = 960
"""Scenes are drawn this large and made smaller."""

PLAIN_COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "white": (255, 255, 255),
    "black": (12, 12, 14),
    "gray": (140, 142, 146),
    "beige": (236, 222, 194),
    "pink": (255, 206, 224),
    "mint": (198, 240, 212),
    "sky blue": (176, 220, 250),
    "sand": (250, 226, 150),
}

_Colour = tuple[int, int, int]


def _bands(colours: list[tuple[float, _Colour]]) -> Image.Image:
    """Colours that run into each other from top to bottom; each with the height (0 to 1) where it is pure."""
    heights = [height for height, _ in colours]
    rows = (np.arange(_SIDE) + 0.5) / _SIDE
    channels = [np.interp(rows, heights, [colour[c] for _, colour in colours]) for c in range(3)]
    column = np.stack(channels, -1)[:, None].repeat(_SIDE, 1)
    return Image.fromarray(np.rint(column).astype(np.uint8))


def _meadow() -> Image.Image:
    image = _bands([(0.0, (150, 208, 250)), (0.55, (214, 238, 252)), (0.56, (126, 200, 92)), (1.0, (84, 164, 62))])
    draw = ImageDraw.Draw(image)
    draw.ellipse((-300, 470, 620, 1000), fill=(134, 206, 96))
    draw.ellipse((420, 500, 1300, 1100), fill=(112, 190, 82))
    draw.rectangle((0, 640, _SIDE, _SIDE), fill=(104, 184, 76))
    source = random.Random(1)
    for _ in range(46):
        x, y = source.randrange(_SIDE), source.randrange(660, _SIDE)
        draw.line((x, y, x - 8, y - 26), fill=(78, 156, 58), width=6)
        draw.line((x, y, x + 9, y - 24), fill=(78, 156, 58), width=6)
    return image


def _beach() -> Image.Image:
    image = _bands([(0.0, (126, 206, 244)), (0.42, (206, 238, 250)), (1.0, (206, 238, 250))])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 400, _SIDE, 580), fill=(58, 160, 204))
    draw.rectangle((0, 560, _SIDE, _SIDE), fill=(244, 218, 158))
    for step in range(9):
        x = step * 120 - 40
        draw.ellipse((x, 540, x + 150, 606), fill=(246, 248, 246))
    draw.rectangle((0, 588, _SIDE, _SIDE), fill=(244, 218, 158))
    source = random.Random(2)
    for _ in range(60):
        x, y = source.randrange(_SIDE), source.randrange(620, _SIDE)
        draw.ellipse((x, y, x + 8, y + 6), fill=(222, 190, 126))
    return image


def _night() -> Image.Image:
    image = _bands([(0.0, (14, 18, 54)), (0.75, (46, 46, 104)), (1.0, (46, 46, 104))])
    draw = ImageDraw.Draw(image)
    source = random.Random(3)
    for _ in range(60):
        x, y, r = source.randrange(_SIDE), source.randrange(700), source.choice((3, 4, 6))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(244, 240, 206))
    draw.ellipse((-260, 740, 700, 1300), fill=(24, 28, 56))
    draw.ellipse((420, 780, 1300, 1300), fill=(20, 22, 46))
    return image


def _snow() -> Image.Image:
    image = _bands([(0.0, (178, 200, 222)), (0.6, (222, 232, 242)), (1.0, (222, 232, 242))])
    draw = ImageDraw.Draw(image)
    for x in (60, 210, 700, 850):
        draw.polygon([(x, 380), (x - 62, 600), (x + 62, 600)], fill=(150, 178, 186))
    draw.ellipse((-300, 540, 700, 1200), fill=(246, 249, 253))
    draw.ellipse((380, 560, 1400, 1300), fill=(238, 243, 250))
    source = random.Random(4)
    for _ in range(70):
        x, y, r = source.randrange(_SIDE), source.randrange(560), source.choice((5, 7, 9))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(252, 253, 255))
    return image


def _room() -> Image.Image:
    image = Image.new("RGB", (_SIDE, _SIDE), (236, 208, 176))
    draw = ImageDraw.Draw(image)
    for x in range(0, _SIDE, 120):
        draw.rectangle((x, 0, x + 59, 640), fill=(230, 198, 164))
    draw.rectangle((0, 640, _SIDE, _SIDE), fill=(168, 116, 76))
    for row, y in enumerate(range(640, _SIDE, 80)):
        draw.line((0, y, _SIDE, y), fill=(142, 94, 60), width=6)
        for x in range(120 * (row % 2), _SIDE, 240):
            draw.line((x, y, x, y + 80), fill=(142, 94, 60), width=6)
    draw.rectangle((0, 616, _SIDE, 648), fill=(250, 244, 236))
    return image


def _sea() -> Image.Image:
    image = _bands([(0.0, (170, 218, 246)), (0.3, (220, 240, 250)), (0.31, (44, 130, 190)), (1.0, (14, 72, 140))])
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(350, _SIDE, 90)):
        for x in range(-120 + 60 * (row % 2), _SIDE, 120):
            draw.arc((x, y, x + 120, y + 60), 20, 160, fill=(118, 186, 224), width=7)
    return image


DRAWERS: Final[dict[str, Callable[[], Image.Image]]] = {
    "meadow": _meadow,
    "beach": _beach,
    "night": _night,
    "snow": _snow,
    "room": _room,
    "sea": _sea,
}


@functools.lru_cache(maxsize=64)
def background(name: str, side: int) -> NDArray[np.float32]:
    """A background as [side, side, 3], 0 to 255; not to be written to."""
    if name in PLAIN_COLOURS:
        array = np.empty((side, side, 3), np.float32)
        array[:] = PLAIN_COLOURS[name]
    else:
        how = Image.Resampling.BOX if _SIDE % side == 0 else Image.Resampling.LANCZOS
        image = DRAWERS[name]().resize((side, side), how)
        array = np.asarray(image, np.float32)
    array.setflags(write=False)
    return array
