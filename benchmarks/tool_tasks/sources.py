"""The pictures of the tasks: photographs that scikit-image ships, and drawings of the shapes world."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import CELLS, Scene, Thing
from genllava_tools.docs_pictures import photograph

PHOTOGRAPHS: Final = {
    "astronaut": "astronaut.png",
    "cameraman": "camera.png",
    "cat": "chelsea.png",
    "cell": "cell.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
_LONGEST: Final = 400
"""Pixels of the longer side of a photograph; more would only take longer."""


def scene(background: str, *things: str) -> Scene:
    """A scene in words: `scene("white", "large red circle at top left", ...)`."""
    made = list[Thing]()
    for each in things:
        what, _, where = each.partition(" at ")
        size, color, shape = what.split()
        made.append(Thing(CELLS.index(where), shape, color, size))
    return Scene(background, tuple(made))


SCENES: Final = {
    "circle and square": scene("white", "large red circle at top left", "small blue square at bottom right"),
    "three": scene(
        "white", "large green triangle at left", "large yellow star at top right", "small purple cross at bottom right"
    ),
    "four": scene(
        "white",
        "small red circle at top left",
        "large blue diamond at top right",
        "large orange square at bottom left",
        "small green star at bottom right",
    ),
    "four but the star": scene(
        "white",
        "small red circle at top left",
        "large blue diamond at top right",
        "large orange square at bottom left",
    ),
    "night": scene(
        "black", "large yellow star at top", "small cyan circle at bottom left", "small pink cross at right"
    ),
    "cross": scene("gray", "large orange cross at center"),
    "square": scene("white", "large purple square at left"),
    "circle": scene("white", "small green circle at right"),
    "empty": scene("beige"),
}

CHANGED: Final = {
    "coffee, changed": ("coffee", (0.8, 0.1, 0.95, 0.3), (30, 60, 200)),
    "rocket, changed": ("rocket", (0.2, 0.05, 0.3, 0.2), (250, 250, 200)),
    "moon, changed": ("moon", (0.6, 0.3, 0.7, 0.4), (20, 20, 20)),
}
"""Photographs with a spot: of which, the box of the spot, and its colour."""

SIGNS: Final = {
    "coffee, sign": ("coffee", (0.6, 0.04, 0.98, 0.26), "OPEN 8-17", 28),
    "motorcycle, sign": ("motorcycle", (0.28, 0.02, 0.64, 0.2), "FOR SALE", 28),
    "rocket, sign": ("rocket", (0.03, 0.08, 0.45, 0.28), "GATE 39 A", 28),
    "cat, sign": ("cat", (0.45, 0.02, 0.99, 0.34), "OPEN DAILY\nCLOSED SUNDAY", 24),
    "moon, sign": ("moon", (0.45, 0.75, 0.98, 0.95), "NO ENTRY", 36),
}
"""Photographs with a white sign: of which, the box of the sign, its words, and the pixels of its letters."""


@lru_cache(maxsize=32)
def picture(name: str) -> Image.Image:
    """A photograph or a drawing by its name."""
    if name in SCENES:
        return render(SCENES[name])
    if name in CHANGED:
        original, box, color = CHANGED[name]
        image = picture(original).copy()
        across, down = image.size
        image.paste(color, (round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)))
        return image
    if name in SIGNS:
        return _with_sign(*SIGNS[name])
    if name.endswith(", mirrored"):
        return picture(name.removesuffix(", mirrored")).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = photograph(PHOTOGRAPHS[name])
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return image


def _with_sign(name: str, box: tuple[float, float, float, float], words: str, size: int) -> Image.Image:
    image = picture(name).copy()
    pen, (across, down) = ImageDraw.Draw(image), image.size
    left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    pen.rectangle((left, top, right, bottom), fill="white", outline="black", width=2)
    middle = (left + right) / 2, (top + bottom) / 2
    pen.multiline_text(
        middle, words, fill="black", font=ImageFont.load_default(size), anchor="mm", align="center", spacing=12
    )
    return image
