"""From a scene to pixels: every object is drawn once at four times the resolution and reused as a soft mask."""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genllava_finetune.worlds.shapes.scene import CANVAS, RADIUS, Scene

RENDERER_VERSION: Final = 1
SUPERSAMPLE: Final = 4

PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 30, 35),
    "green": (30, 150, 60),
    "blue": (35, 70, 215),
    "yellow": (245, 215, 25),
    "orange": (245, 130, 20),
    "purple": (130, 45, 170),
    "pink": (250, 130, 185),
    "cyan": (25, 200, 215),
}
BACKDROP: Final[dict[str, tuple[int, int, int]]] = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "beige": (232, 216, 184),
}


def outline(shape: str) -> list[tuple[float, float]]:
    """Corners of `shape` on the square [-1, 1]^2, y downwards.

    Raises:
        ValueError: `shape` has no corners (a circle) or does not exist.
    """
    match shape:
        case "square":
            return [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)]
        case "diamond":
            return [(0, -1), (0.8, 0), (0, 1), (-0.8, 0)]
        case "triangle":
            return [(0, -0.95), (1, 0.85), (-1, 0.85)]
        case "star":
            return [_polar(1.0 if k % 2 == 0 else 0.42, k * math.pi / 5) for k in range(10)]
        case "cross":
            a = 0.34
            return [
                (-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a),
                (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a), (-a, -a),
            ]  # fmt: skip
        case _:
            raise ValueError(f"no outline for {shape!r}")


def _polar(radius: float, angle: float) -> tuple[float, float]:
    return radius * math.sin(angle), -radius * math.cos(angle)


@functools.lru_cache(maxsize=4096)
def coverage(
    shape: str, radius: float, turn: float = 0.0, sub_x: float = 0.0, sub_y: float = 0.0
) -> NDArray[np.float32]:
    """Share of every pixel that `shape` covers, [S, S] in 0..1 with S odd and the centre in the middle pixel's corner.

    Args:
        radius: half the extent, in pixels.
        turn: rotation in degrees.
        sub_x, sub_y: offset of the centre in pixels, -0.5..0.5.
    """
    half = math.ceil(radius * 1.45) + 1
    side = 2 * half * SUPERSAMPLE
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    scale, cx, cy = radius * SUPERSAMPLE, side / 2 + sub_x * SUPERSAMPLE, side / 2 + sub_y * SUPERSAMPLE
    if shape == "circle":
        draw.ellipse((cx - scale, cy - scale, cx + scale - 1, cy + scale - 1), fill=255)
    else:
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        corners = [(cx + scale * (x * cos - y * sin), cy + scale * (x * sin + y * cos)) for x, y in outline(shape)]
        draw.polygon(corners, fill=255)
    small = np.asarray(image, dtype=np.float32).reshape(2 * half, SUPERSAMPLE, 2 * half, SUPERSAMPLE)
    mask: NDArray[np.float32] = small.mean(axis=(1, 3)) / np.float32(255)
    mask.setflags(write=False)
    return mask


def paint(
    canvas: NDArray[np.float32], mask: NDArray[np.float32], x: float, y: float, color: NDArray[np.float32]
) -> None:
    """Blend `color` (3,) into `canvas` [H, W, 3] through `mask`, its middle at (x, y); clips at the border."""
    half = mask.shape[0] // 2
    left, top = math.floor(x) - half, math.floor(y) - half
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + 2 * half, width), min(top + 2 * half, height)
    if x0 >= x1 or y0 >= y1:
        return
    alpha = mask[y0 - top : y1 - top, x0 - left : x1 - left, None]
    region = canvas[y0:y1, x0:x1]
    region += alpha * (color - region)


def render_array(scene: Scene) -> NDArray[np.uint8]:
    """The scene as [128, 128, 3] RGB bytes."""
    canvas = np.empty((CANVAS, CANVAS, 3), dtype=np.float32)
    canvas[:] = BACKDROP[scene.background]
    for thing in scene.things:
        x, y = thing.center
        color = np.asarray(PALETTE[thing.color], dtype=np.float32)
        paint(canvas, coverage(thing.shape, RADIUS[thing.size]), round(x), round(y), color)
    return np.asarray(np.rint(canvas), dtype=np.uint8)


def render(scene: Scene) -> Image.Image:
    """The scene as a 128x128 RGB picture."""
    return Image.fromarray(render_array(scene))
