"""Pictures that show no scene of this world, for tests and for learning to say so."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from genllava_finetune.worlds.things.pictures.backgrounds import PLAIN_COLOURS

PHOTOGRAPHS: Final = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "rocket")
"""In scikit-image; those that it would have to fetch are passed over."""
SIDES: Final = (160, 720)
_Rgb = tuple[int, int, int]
_WORDS: Final = (
    "File", "Edit", "View", "Help", "Open", "Save as", "Cancel", "OK", "Settings", "Search", "Inbox (3)", "Untitled",
    "Total", "Name", "Date", "Size", "Loading", "Sign in", "Next", "Back", "Price", "1,204", "17:45", "Draft", "Notes",
)  # fmt: skip


def unreadable(random: Random, kind: str | None = None) -> Image.Image:
    """A picture of one of `KINDS`, of any if None: RGB, of any size."""
    return KINDS[kind or random.choice(tuple(KINDS))](random).convert("RGB")


@lru_cache(maxsize=1)
def photographs() -> tuple[Image.Image, ...]:
    """The photographs of scikit-image that lie in its package."""
    from skimage import data

    found = []
    for name in PHOTOGRAPHS:
        try:
            array = np.asarray(getattr(data, name)())
        except Exception:  # whatever its fetching raises where there is no network, or no such picture
            continue
        found.append(Image.fromarray(array).convert("RGB"))
    return tuple(found)


def _photograph(random: Random) -> Image.Image:
    """A part of a photograph, upright or mirrored."""
    image = random.choice(photographs())
    share = random.uniform(0.45, 1.0)
    side = round(min(image.size) * share)
    left, top = random.randint(0, image.width - side), random.randint(0, image.height - side)
    part = image.crop((left, top, left + side, top + side))
    if random.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wide = random.randint(*SIDES)
    return part.resize((wide, round(wide * random.uniform(0.7, 1.3))), Image.Resampling.BICUBIC)


def _numbers(random: Random) -> np.random.Generator:
    return np.random.default_rng(random.getrandbits(64))


def _colours(random: Random, count: int) -> NDArray[np.float32]:
    return np.array([[random.uniform(0, 255) for _ in range(3)] for _ in range(count)], np.float32)


def _texture(random: Random) -> Image.Image:
    """Stripes, checks, clouds, rings, grain of wood or tiles, in two colours."""
    side = random.randint(*SIDES)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    turn, steps = random.uniform(0, 3.14), random.uniform(4, 24)
    along = x * np.cos(turn) + y * np.sin(turn)
    how = random.choice(("stripes", "checks", "clouds", "rings", "wood", "tiles"))
    if how == "stripes":
        level = np.sin(along * steps * 6.28) > 0
    elif how == "checks":
        level = (np.floor(x * steps) + np.floor(y * steps)) % 2
    elif how == "rings":
        level = 0.5 + 0.5 * np.sin(np.hypot(x - random.random(), y - random.random()) * steps * 6.28)
    elif how == "wood":
        level = 0.5 + 0.5 * np.sin((along + 0.08 * _clouds(random, side)) * steps * 12)
    elif how == "tiles":
        level = ((x * steps) % 1 < 0.08) | ((y * steps + 0.5 * np.floor(x * steps)) % 1 < 0.08)
    else:
        level = _clouds(random, side)
    first, second = _colours(random, 2)
    while np.abs(first - second).max() < 70:
        first, second = _colours(random, 2)
    array = first + np.asarray(level, np.float32)[..., None] * (second - first)
    return Image.fromarray(array.clip(0, 255).astype(np.uint8))


def _clouds(random: Random, side: int) -> NDArray[np.float32]:
    """[side, side], 0 to 1, smooth."""
    numbers = _numbers(random)
    total = np.zeros((side, side), np.float32)
    for cells, weight in ((4, 1.0), (9, 0.6), (20, 0.35)):
        small = Image.fromarray(numbers.random((cells, cells), dtype=np.float32))
        total += weight * np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _screenshot(random: Random) -> Image.Image:
    """Windows with titles, text, buttons and fields over a desktop."""
    width, height = random.randint(320, 900), random.randint(300, 720)
    image = Image.new(
        "RGB", (width, height), random.choice(((58, 110, 165), (32, 33, 36), (225, 228, 232), (0, 90, 90)))
    )
    draw = ImageDraw.Draw(image)
    for _ in range(random.randint(1, 3)):
        left, top = random.randint(0, width // 3), random.randint(0, height // 3)
        right, bottom = random.randint(width * 2 // 3, width), random.randint(height * 2 // 3, height)
        dark = random.random() < 0.3
        paper, ink = ((40, 42, 46), (220, 220, 220)) if dark else ((250, 250, 250), (30, 30, 30))
        draw.rectangle((left, top, right, bottom), fill=paper, outline=(120, 120, 120))
        draw.rectangle((left, top, right, top + 22), fill=random.choice(((0, 84, 166), (210, 210, 214), (70, 70, 76))))
        draw.text((left + 8, top + 5), random.choice(_WORDS), fill=(255, 255, 255) if dark else (20, 20, 20))
        _filled(random, draw, (left + 10, top + 32, right - 10, bottom - 34), ink)
        for index in range(random.randint(1, 3)):
            x = right - 80 * (index + 1)
            draw.rounded_rectangle((x, bottom - 28, x + 70, bottom - 8), 4, fill=(200, 204, 210), outline=(90, 90, 90))
            draw.text((x + 10, bottom - 24), random.choice(_WORDS), fill=(10, 10, 10))
    return image


def _filled(random: Random, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], ink: _Rgb) -> None:
    """Lines of words, fields and rules in a window."""
    left, y, right, bottom = box
    while y < bottom - 14:
        if random.random() < 0.12:
            draw.rectangle((left, y, right, y + 12), outline=(150, 150, 150))
        else:
            words = " ".join(random.choice(_WORDS) for _ in range(random.randint(2, max(3, (right - left) // 60))))
            draw.text((left, y), words[: max(4, (right - left) // 7)], fill=ink)
        y += random.choice((15, 16, 18, 26))


def _empty(random: Random) -> Image.Image:
    """One colour that no background has."""
    grounds = np.array(list(PLAIN_COLOURS.values()), np.float32)
    while True:
        colour = _colours(random, 1)[0]
        if np.abs(grounds - colour).max(-1).min() > 60:
            break
    red, green, blue = (int(each) for each in colour)
    return Image.new("RGB", (random.randint(*SIDES), random.randint(*SIDES)), (red, green, blue))


def _noise(random: Random) -> Image.Image:
    """What a screen without a signal shows, coarse or fine, in colours or gray."""
    side = random.randint(*SIDES)
    grain = random.choice((1, 2, 4, 8))
    numbers = _numbers(random).integers(0, 256, (side // grain + 1, side // grain + 1, 3), dtype=np.uint8)
    if random.random() < 0.4:
        numbers[:] = numbers[..., :1]
    image = Image.fromarray(numbers).resize((side, side), Image.Resampling.NEAREST)
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0, 2))) if random.random() < 0.4 else image


KINDS: Final[dict[str, Callable[[Random], Image.Image]]] = {
    "photograph": _photograph,
    "texture": _texture,
    "screenshot": _screenshot,
    "empty": _empty,
    "noise": _noise,
}
