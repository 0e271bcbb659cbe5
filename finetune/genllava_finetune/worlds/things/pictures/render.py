"""From a scene to pixels: sprites over a background."""

from __future__ import annotations

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.shapes.render import PALETTE, coverage
from genllava_finetune.worlds.things.art.sprites import sprites
from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.pictures.backgrounds import background
from genllava_finetune.worlds.things.pictures.recolouring import recoloured
from genllava_finetune.worlds.things.pictures.scene import SIDES, Item, Scene

CANVAS: Final = 240
"""Side of the pictures that the model draws, in pixels: six by six patches of 40."""


def pixels_of(size: str, side: int) -> int:
    """Side of an item's square in a picture of `side` pixels, an even number."""
    return 2 * round(SIDES[size] * side / 2)


@functools.lru_cache(maxsize=20_000)
def sprite(name: str, style: str | None, colour: str | None, pixels: int) -> NDArray[np.float32]:
    """An item by itself, [pixels, pixels, 4]: colours (0 to 255) times coverage, and coverage (0 to 1)."""
    if style is None:
        assert colour is not None
        cover = _shape(name, pixels)
        array = np.concatenate([cover * np.asarray(PALETTE[colour], np.float32), cover], -1)
    else:
        art = sprites()[style][name]
        if colour is not None:
            art = recoloured(art, thing(name).colour_in(style) or "", colour)
        image = Image.fromarray(art).convert("RGBa").resize((pixels, pixels), Image.Resampling.LANCZOS)
        array = np.asarray(image, np.float32)
        array = np.concatenate([array[..., :3], array[..., 3:] / 255], -1)
    array.setflags(write=False)
    return array


def _shape(name: str, pixels: int) -> NDArray[np.float32]:
    """How much of each pixel a shape covers, [pixels, pixels, 1]."""
    cover = coverage(name, pixels * 0.46)
    beside = (cover.shape[0] - pixels) // 2
    return cover[beside : beside + pixels, beside : beside + pixels, None]


def corner(item: Item, side: int) -> tuple[int, int]:
    """Left and top pixel of an item's square."""
    half = pixels_of(item.size, side) // 2
    x, y = item.middle
    return round(x * side) - half, round(y * side) - half


def paste(canvas: NDArray[np.float32], art: NDArray[np.float32], left: int, top: int) -> None:
    """Lay a sprite over a canvas [H, W, 3]; what lies beyond its edges is cut off."""
    height, width = canvas.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + art.shape[1], width), min(top + art.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    part = art[y0 - top : y1 - top, x0 - left : x1 - left]
    region = canvas[y0:y1, x0:x1]
    region *= 1 - part[..., 3:]
    region += part[..., :3]


def render_array(scene: Scene, side: int = CANVAS) -> NDArray[np.uint8]:
    """The scene as [side, side, 3] RGB bytes."""
    canvas = background(scene.background, side).copy()
    for item in scene.items:
        art = sprite(item.name, item.style, item.colour, pixels_of(item.size, side))
        paste(canvas, art, *corner(item, side))
    pixels: NDArray[np.uint8] = np.rint(canvas.clip(0, 255)).astype(np.uint8)
    return pixels


def render(scene: Scene, side: int = CANVAS) -> Image.Image:
    """The scene as an RGB picture."""
    return Image.fromarray(render_array(scene, side))
