"""Drawings made elsewhere: a test set that shares no drawing code, shade or proportion with what training sees.

A rasteriser of signed distances draws on canvases of 200 to 1200 pixels, square, wide or tall, with shades from
palettes that other programs ship, rounded corners, outlines of several widths, saved as PNG or JPEG.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.shapes.scene import CANVAS, Scene, Thing

Rgb = tuple[int, int, int]
Points = NDArray[np.float64]

SHADES: Final[dict[str, tuple[Rgb, ...]]] = {
    "red": ((255, 0, 0), (214, 39, 40), (228, 26, 28), (237, 28, 36), (178, 34, 34), (229, 57, 53), (192, 0, 0)),
    "green": ((0, 128, 0), (44, 160, 44), (34, 139, 34), (67, 160, 71), (0, 150, 80), (46, 125, 50)),
    "blue": ((0, 0, 255), (31, 80, 200), (65, 105, 225), (63, 72, 204), (0, 70, 190), (25, 60, 180)),
    "yellow": ((255, 255, 0), (255, 235, 59), (255, 221, 0), (253, 216, 53), (255, 242, 0), (240, 220, 70)),
    "orange": ((255, 127, 14), (255, 140, 0), (255, 127, 39), (251, 140, 0), (237, 125, 49), (245, 124, 0)),
    "purple": ((128, 0, 128), (112, 48, 160), (142, 36, 170), (123, 31, 162), (152, 78, 163), (102, 51, 153)),
    "pink": ((255, 105, 180), (244, 143, 177), (240, 128, 170), (255, 150, 190), (247, 129, 191), (255, 174, 201)),
    "cyan": ((0, 255, 255), (23, 190, 207), (0, 188, 212), (38, 198, 218), (64, 224, 208), (0, 206, 209)),
}
"""Colours as CSS, Tableau, ColorBrewer, Material Design, Office and Paint name or show them."""
GROUNDS: Final[dict[str, tuple[Rgb, ...]]] = {
    "white": ((255, 255, 255), (255, 255, 255), (250, 250, 250), (248, 249, 250)),
    "black": ((0, 0, 0), (0, 0, 0), (18, 18, 18), (24, 24, 27)),
    "gray": ((128, 128, 128), (127, 127, 127), (117, 117, 117), (140, 140, 140), (105, 105, 105)),
    "beige": ((222, 202, 170), (245, 222, 179), (236, 218, 190), (240, 220, 190), (232, 215, 175)),
}
LONG_SIDE: Final = (200, 1200)
ASPECTS: Final = ((1, 1), (4, 3), (3, 2), (16, 9))
EXTENT: Final = {"small": (7.0, 10.0), "large": (13.5, 18.0)}
"""Half of an object's longer side, in 128ths of the canvas's longer side."""

_GAP: Final = 2.5
"""Least distance between two objects, in the same unit."""
_FROM_LINE: Final = 1.5
"""How far an object's middle stays from the lines of the grid."""


class _Placed(NamedTuple):
    thing: Thing
    extent: float
    x: float
    y: float


class _Style(NamedTuple):
    """What the objects of one drawing have in common; lengths relative to an object's extent."""

    rounding: float
    stroke: float
    ink: Rgb | None
    smooth: bool
    variant: int
    tilt: float


def draw_elsewhere(rng: random.Random, scene: Scene) -> Image.Image:
    """`scene` as another program's user would draw it: RGB, or RGBA where a white ground was left transparent."""
    width, height, placed = _arranged(rng, scene.things)
    long_side = rng.randint(*LONG_SIDE)
    scale = long_side / CANVAS
    pixels = np.empty((round(height * scale), round(width * scale), 3))
    pixels[:] = rng.choice(GROUNDS[scene.background])
    covered = np.zeros(pixels.shape[:2])
    style = _style(rng, scene.background)
    for item in placed:
        _draw(rng, pixels, covered, item, style, scale)
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    if scene.background == "white" and rng.random() < 0.15:
        image.putalpha(Image.fromarray(np.rint(covered * 255).astype(np.uint8)))
        return image
    return _saved(rng, image)


def _style(rng: random.Random, background: str) -> _Style:
    ink: Rgb | None = None
    stroke = 0.0
    if rng.random() < 0.35:
        stroke = rng.uniform(0.04, 0.16)
        dark = rng.choice(((0, 0, 0), (51, 51, 51)))
        ink = dark if background != "black" else (255, 255, 255)
    rounding = rng.choice((0.0, 0.0, 0.04, 0.1))
    return _Style(rounding, stroke, ink, rng.random() < 0.8, rng.randrange(3), rng.choice((0.0, 0.0, 3.0, 7.0)))


def _arranged(rng: random.Random, things: Sequence[Thing]) -> tuple[float, float, list[_Placed]]:
    """(width, height, objects), the longer side being 128: the flattest of a random choice of aspects that has room."""
    flattest = rng.randrange(len(ASPECTS))
    tall = rng.random() < 0.4
    for index in range(flattest, -1, -1):
        longer, shorter = ASPECTS[index]
        sides = (float(CANVAS), CANVAS * shorter / longer)
        width, height = sides[::-1] if tall else sides
        for _ in range(20):
            placed = _try_placing(rng, things, width, height)
            if placed is not None:
                return width, height, placed
    raise AssertionError("a square canvas has room for any scene")


def _try_placing(rng: random.Random, things: Sequence[Thing], width: float, height: float) -> list[_Placed] | None:
    placed: list[_Placed] = []
    for thing in things:
        extent = rng.uniform(*EXTENT[thing.size])
        x, y = _along(rng, thing.column - 1, width, extent), _along(rng, thing.row - 1, height, extent)
        if x is None or y is None:
            return None
        if any(max(abs(x - o.x), abs(y - o.y)) < extent + o.extent + _GAP for o in placed):
            return None
        placed.append(_Placed(thing, extent, x, y))
    return placed


def _along(rng: random.Random, third: int, side: float, extent: float) -> float | None:
    """A place for the middle of an object in a third (-1, 0 or 1) of `side`, from its start.

    It lies in that third of the drawing and in that third of the square the drawing is letterboxed to.
    """
    if third == 0:
        reach = min(side / 6, CANVAS / 3 - extent) - _FROM_LINE
        return side / 2 + rng.uniform(-reach, reach) * rng.random()
    near, far = CANVAS / 6 + _FROM_LINE, side / 2 - extent - 1
    if far < near:
        return None
    usual = min(max(side / 3, near), far)
    return side / 2 + third * (usual + (rng.uniform(near, far) - usual) * rng.random())


def _draw(rng: random.Random, pixels: Points, covered: Points, item: _Placed, style: _Style, scale: float) -> None:
    """Paint one object into `pixels` [H, W, 3]; `covered` [H, W] keeps where something was painted."""
    radius, middle_x, middle_y = item.extent * scale, item.x * scale, item.y * scale
    reach = radius + 3
    x0, x1 = max(0, math.floor(middle_x - reach)), min(pixels.shape[1], math.ceil(middle_x + reach))
    y0, y1 = max(0, math.floor(middle_y - reach)), min(pixels.shape[0], math.ceil(middle_y + reach))
    ys, xs = np.mgrid[y0:y1, x0:x1] + 0.5
    turn = math.radians(rng.uniform(-style.tilt, style.tilt))
    x, y = (xs - middle_x) / radius, (ys - middle_y) / radius
    at = np.stack([x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)], axis=-1)
    distance = signed_distance(item.thing.shape, at, style.variant, style.rounding) * radius
    fill = np.array(rng.choice(SHADES[item.thing.color]), dtype=np.float64)
    whole = _coverage(distance, style.smooth)
    region = pixels[y0:y1, x0:x1]
    if style.ink is None:
        region += whole[..., None] * (fill - region)
    else:
        inside = _coverage(distance + style.stroke * radius, style.smooth)
        region += whole[..., None] * (np.array(style.ink) - region)
        region += inside[..., None] * (fill - region)
    covered[y0:y1, x0:x1] = np.maximum(covered[y0:y1, x0:x1], whole)


def _coverage(distance: Points, smooth: bool) -> Points:
    return np.clip(0.5 - distance, 0, 1) if smooth else (distance < 0).astype(np.float64)


def signed_distance(shape: str, at: Points, variant: int, rounding: float = 0.0) -> Points:
    """Distance of every point [..., 2] to the edge of `shape` of extent one, negative inside, y downwards.

    Args:
        variant: 0, 1 or 2: the proportions.
        rounding: radius of the corners, at most about 0.2.
    """
    if shape == "circle":
        return np.hypot(at[..., 0], at[..., 1]) - 1
    corners = _polygon(shape, variant)
    corners -= (corners.max(axis=0) + corners.min(axis=0)) / 2
    corners /= np.abs(corners).max() + rounding * 0.25
    # Rounding grows a smaller figure by the radius of its corners.
    return _to_polygon(at, corners * (1 - rounding)) - rounding


def _polygon(shape: str, variant: int) -> Points:
    if shape == "square":
        return np.array([(-1.0, -1), (1, -1), (1, 1), (-1, 1)])
    if shape == "diamond":
        half = (0.72, 0.86, 1.0)[variant]
        return np.array([(0, -1), (half, 0), (0, 1), (-half, 0)])
    if shape == "triangle":
        height = (1.732, 2.0, 1.55)[variant]
        return np.array([(-1.0, 0), (0, -height), (1, 0)])
    if shape == "star":
        inner = (0.382, 0.45, 0.5)[variant]
        steps = np.arange(10)
        radius = np.where(steps % 2 == 0, 1.0, inner)
        corners: Points = radius[:, None] * np.stack(
            [np.sin(steps * math.pi / 5), -np.cos(steps * math.pi / 5)], axis=1
        )
        return corners
    arm = (0.3, 0.333, 0.4)[variant]
    first = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    clockwise = np.array([(0, 1), (-1, 0)])
    return np.concatenate([first @ np.linalg.matrix_power(clockwise, k) for k in range(4)])


def _to_polygon(at: Points, corners: Points) -> Points:
    """Signed distance of [..., 2] to a simple polygon [K, 2]."""
    nearest = np.full(at.shape[:-1], np.inf)
    inside = np.zeros(at.shape[:-1], dtype=bool)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, to = end - start, at - start
        along = np.clip((to @ edge) / (edge @ edge), 0, 1)
        gap = to - along[..., None] * edge
        nearest = np.minimum(nearest, (gap * gap).sum(axis=-1))
        if start[1] != end[1]:
            spans = (at[..., 1] < start[1]) != (at[..., 1] < end[1])
            crossing = start[0] + (at[..., 1] - start[1]) * edge[0] / edge[1]
            inside ^= spans & (at[..., 0] < crossing)
    signed: NDArray[np.float64] = np.where(inside, -1, 1) * np.sqrt(nearest)
    return signed


def _saved(rng: random.Random, image: Image.Image) -> Image.Image:
    """The picture as it comes back from a file."""
    file = io.BytesIO()
    if rng.random() < 0.4:
        image.save(file, "JPEG", quality=rng.randint(60, 95))
    else:
        image.save(file, "PNG")
    loaded = Image.open(file)
    loaded.load()
    return loaded
