"""The photographs that scikit-image ships, and pictures in every mode that files come in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

FOLDER = Path(skimage.__file__).parent / "data"
FILES = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "page": "page.png",
    "rocket": "rocket.jpg",
}


def photo(name: str) -> Image.Image:
    """One of them, RGB: astronaut 512x512, cat 451x300, coffee 600x400, coins 384x303, page 384x191, rocket 640x427."""
    with Image.open(FOLDER / FILES[name]) as image:
        return image.convert("RGB")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture as a file of that mode gives it: "I;16", "LA", "animation", or one that Pillow converts to."""
    if mode == "I;16":
        return Image.fromarray((np.asarray(image.convert("L")).astype(np.uint16)) * 257)
    if mode == "I, 16 bits":
        return Image.fromarray((np.asarray(image.convert("L")).astype(np.int32)) * 257)
    if mode == "LA":
        gray = image.convert("LA")
        gray.putalpha(255)
        return gray
    if mode == "animation":
        file = io.BytesIO()
        frames = [image.convert("P"), Image.new("P", image.size, 0)]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
        return Image.open(io.BytesIO(file.getvalue()))
    return image.convert(mode)


def shapes() -> Image.Image:
    """A drawing of 200x100: white ground, a red square of 40 pixels at the left, a blue one of 20 at the right."""
    made = Image.new("RGB", (200, 100), "white")
    made.paste((255, 0, 0), (20, 30, 60, 70))
    made.paste((0, 0, 255), (150, 40, 170, 60))
    return made


def levels(image: Image.Image) -> np.ndarray:
    """The pixels of a picture, as whole numbers that can be subtracted."""
    return np.asarray(image).astype(int)
