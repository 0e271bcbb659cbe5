"""Sixty pictures that are no drawings of simple shapes: photographs, textures, noise, screenshots, blank ones.

The photographs are those that scikit-image ships; the rest is made here, the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from genllava.images import load_image

_PHOTOGRAPHS: Final = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "color.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png",
    "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
_BLANK: Final = ("white", "black", "gray", (232, 216, 184), (250, 250, 248), "red", "lightblue", "darkgreen")
_SIDE: Final = 256
_WORDS: Final = ("a", "window", "with", "lists", "of", "words", "that", "have", "nothing", "to", "do", "with", "shapes")


def outside_pictures() -> Iterator[tuple[str, Image.Image]]:
    """(kind, picture), sixty in all."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    for name in _PHOTOGRAPHS:
        yield "photograph", load_image(folder / name)
    for image in _textures():
        yield "texture", image
    for image in _noise():
        yield "noise", image
    for image in _screenshots():
        yield "screenshot", image
    for color in _BLANK:
        yield "blank", Image.new("RGB", (_SIDE, _SIDE), color)


def _textures() -> Iterator[Image.Image]:
    from scipy import ndimage

    rng = np.random.default_rng(1)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    for smoothness in (2, 6, 15, 40):
        clouds = ndimage.gaussian_filter(rng.normal(size=(_SIDE, _SIDE, 3)), (smoothness, smoothness, 0))
        yield _picture(255 * (clouds - clouds.min()) / np.ptp(clouds))
    for width in (6, 24):
        yield _two(((x + y) // width) % 2, (230, 40, 40), (250, 250, 240))
        yield _two((x // width + y // width) % 2, (30, 60, 200), (255, 255, 255))
    yield _picture(np.stack([x, y, 255 - x], axis=2))
    yield _picture(np.repeat(y[..., None], 3, axis=2))
    yield _picture(np.repeat(127 + 127 * np.sin(np.hypot(x - 128, y - 128) / 6)[..., None], 3, axis=2))
    yield _picture(np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.sin(y / 7), 90 + 0 * x], axis=2))


def _noise() -> Iterator[Image.Image]:
    rng = np.random.default_rng(2)
    size = (_SIDE, _SIDE, 3)
    yield _picture(rng.uniform(0, 255, size))
    yield _picture(np.repeat(rng.uniform(0, 255, (_SIDE, _SIDE, 1)), 3, axis=2))
    yield _picture(rng.normal(128, 40, size))
    yield _picture(rng.normal(230, 15, size))
    yield _picture(128 + rng.uniform(-8, 8, size))
    yield _two(rng.random((_SIDE, _SIDE)) < 0.05, (0, 0, 0), (255, 255, 255))
    for blocks in (8, 16):
        small = _picture(rng.uniform(0, 255, (blocks, blocks, 3)))
        yield small.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)


def _screenshots() -> Iterator[Image.Image]:
    rng = random.Random(3)
    yield _text(rng, (800, 600), "white", "black", 16)
    yield _text(rng, (800, 500), (12, 12, 12), (200, 200, 200), 14)
    yield _text(rng, (900, 700), (30, 30, 30), (150, 200, 120), 15)
    yield _text(rng, (600, 400), "white", "black", 48)
    yield _text(rng, (400, 600), (245, 245, 245), (90, 90, 90), 18)
    window = _text(rng, (900, 600), (240, 240, 240), (20, 20, 20), 16)
    draw = ImageDraw.Draw(window)
    draw.rectangle((0, 0, 900, 36), fill=(50, 90, 200))
    draw.rectangle((0, 36, 180, 600), fill=(220, 225, 235))
    draw.rectangle((700, 520, 860, 570), fill=(60, 140, 80))
    yield window
    table = Image.new("RGB", (800, 500), "white")
    draw = ImageDraw.Draw(table)
    for row in range(12):
        for column in range(6):
            left, top = 20 + column * 125, 20 + row * 36
            draw.rectangle((left, top, left + 125, top + 36), outline=(180, 180, 180))
            draw.text((left + 6, top + 10), str(rng.randint(0, 9999)), fill="black", font=_font(14))
    yield table
    bars = Image.new("RGB", (700, 500), "white")
    draw = ImageDraw.Draw(bars)
    for column in range(8):
        draw.rectangle((60 + column * 75, 440 - rng.randint(40, 380), 110 + column * 75, 440), fill=(70, 120, 190))
    yield _with_axes(bars)
    line = Image.new("RGB", (700, 500), "white")
    points = [(x, rng.randint(60, 400)) for x in range(50, 680, 30)]
    ImageDraw.Draw(line).line(points, fill=(214, 39, 40), width=3)
    yield _with_axes(line)
    chat = Image.new("RGB", (360, 640), (250, 250, 250))
    draw = ImageDraw.Draw(chat)
    for row in range(7):
        left, top = (20, 120)[row % 2], 20 + row * 85
        draw.rounded_rectangle((left, top, left + 220, top + 70), 16, fill=((220, 248, 198), (230, 230, 235))[row % 2])
        draw.text((left + 12, top + 20), " ".join(rng.choices(_WORDS, k=3)), fill="black", font=_font(15))
    yield chat
    word = Image.new("RGB", (600, 300), "white")
    ImageDraw.Draw(word).text((60, 60), "SALE", fill=(200, 0, 0), font=_font(160))
    yield word
    letter = Image.new("RGB", (300, 300), (40, 90, 200))
    ImageDraw.Draw(letter).text((90, 20), "B", fill="white", font=_font(200))
    yield letter


def _text(
    rng: random.Random, size: tuple[int, int], ground: str | tuple[int, ...], ink: str | tuple[int, ...], height: int
) -> Image.Image:
    page = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(page)
    for top in range(20, size[1] - 20, round(height * 1.5)):
        draw.text((20, top), " ".join(rng.choices(_WORDS, k=rng.randint(3, 12))), fill=ink, font=_font(height))
    return page


def _with_axes(chart: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(chart)
    draw.line((50, 20, 50, 440), fill="black", width=2)
    draw.line((50, 440, 680, 440), fill="black", width=2)
    return chart


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow ships."""
    return ImageFont.load_default(height)


def _two(where: NDArray[np.generic], one: tuple[int, int, int], other: tuple[int, int, int]) -> Image.Image:
    return _picture(np.where(where[..., None].astype(bool), np.array(one), np.array(other)))


def _picture(levels: NDArray[np.generic]) -> Image.Image:
    return Image.fromarray(levels.astype(float).round().clip(0, 255).astype(np.uint8))
