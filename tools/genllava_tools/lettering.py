"""Words on pictures, in fonts that are always there: Pillow's own, and for other letters the one of OpenCV 5."""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import BoxTuple, box_of_pixels

_SMALLEST: Final = 8
"""Pixels of letters, below which they cannot be read."""
_MARGIN: Final = 0.03
"""Space between words and the edge, as a part of the picture's shorter side."""
_LINE: Final = 1.3
"""Height of a line, in sizes of its letters."""
_LEFTWARD: Final = frozenset({"R", "AL", "AN"})
"""Unicode's classes of letters that are written from right to left, which neither font's drawing can order or join."""
_UNKNOWN: Final = "\U0010ffff"
"""A character that no font has; it shows what a font draws instead of letters that it lacks."""


def contrasting(color: tuple[int, ...]) -> tuple[int, int, int]:
    """Black or white, whichever can be read on this colour (red, green, blue in 0..255)."""
    return (0, 0, 0) if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else (255, 255, 255)


def put_text(
    image: Image.Image, text: str, corner: tuple[int, int], size: float, ground: tuple[int, ...], *, above: bool = False
) -> None:
    """Write a label of one line onto a picture, on a ground of its own, as near to `corner` as it fits.

    Args:
        corner: left and top of the label in pixels; left and bottom, with `above`.
        size: pixels of the letters.

    Raises:
        InvalidRequest: no font has a letter of it.
    """
    line = _line(" ".join(text.split()), max(_SMALLEST, round(size)), _font_for(text))
    space = max(1, line.height // 8)
    width, height = line.width + 2 * space, line.height
    x = max(0, min(corner[0], image.width - width))
    y = max(0, min(corner[1] - height if above else corner[1], image.height - height))
    ImageDraw.Draw(image).rectangle((x, y, x + width - 1, y + height - 1), fill=ground)
    image.paste(contrasting(ground), (x + space, y), line)


def write(
    image: Image.Image, text: str, position: str, size: float, color: tuple[int, ...]
) -> tuple[Image.Image, int, BoxTuple]:
    """A copy of a picture with words on it, outlined in black or white.

    Args:
        position: words such as "top left" or "center".
        size: pixels of the letters, made smaller until the words fit.

    Returns:
        The copy, the pixels of the letters, and the box of the words in fractions.

    Raises:
        InvalidRequest: no font has a letter of it, or it does not fit even with the smallest letters.
    """
    import cv2

    font = _font_for(text)
    margin = round(_MARGIN * min(image.size))
    room = image.width - 2 * margin, image.height - 2 * margin
    pixels = max(_SMALLEST, round(size))
    while True:
        outline = max(1, pixels // 14)
        lines = _broken(text, pixels, font, room[0] - 2 * outline)
        width = max(_width(line, pixels, font) for line in lines) + 2 * outline
        height = len(lines) * round(_LINE * pixels) + 2 * outline
        if width <= room[0] and height <= room[1]:
            break
        if pixels == _SMALLEST:
            raise InvalidRequest(
                f"the words do not fit into {image.width}x{image.height} pixels: give fewer, or upscale it first"
            )
        pixels = max(_SMALLEST, int(pixels * 0.9))
    across = {"left": 0.0, "center": 0.5, "right": 1.0}[_across(position)]
    block = Image.new("L", (width, height), 0)
    for place, words in enumerate(lines):
        line = _line(words, pixels, font)
        x = outline + round((width - 2 * outline - line.width) * across)
        block.paste(line, (x, outline + place * round(_LINE * pixels)))
    apart = np.asarray(cv2.distanceTransform(np.where(np.asarray(block) >= 128, 0, 1).astype(np.uint8), cv2.DIST_L2, 5))
    around = Image.fromarray((np.clip(outline + 0.5 - apart, 0, 1) * 255).astype(np.uint8))
    down = 0.0 if "top" in position else 1.0 if "bottom" in position else 0.5
    corner = margin + round((room[0] - width) * across), margin + round((room[1] - height) * down)
    made = image.copy()
    made.paste(contrasting(color), corner, around)
    made.paste(color, corner, block)
    left, top, right, bottom = around.getbbox() or (0, 0, width, height)
    box = box_of_pixels(corner[0] + left, corner[1] + top, corner[0] + right, corner[1] + bottom, image.size)
    return made, pixels, box


def _across(position: str) -> str:
    return "left" if "left" in position else "right" if "right" in position else "center"


def _broken(text: str, pixels: int, font: str, width: float) -> list[str]:
    """The words in lines that are no wider than `width`, where words allow it."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and _width(longer, pixels, font) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _font_for(text: str) -> str:
    """The font that has all letters of a text: "pillow", or "opencv".

    Raises:
        InvalidRequest: there is nothing to be seen of it, no font has one of its letters, or one of them belongs to
            words that run from right to left.
    """
    if not text.strip():
        raise InvalidRequest("there are no words to write: give some")
    letters = [each for each in dict.fromkeys(text) if not each.isspace()]
    if leftward := [each for each in letters if unicodedata.bidirectional(each) in _LEFTWARD]:
        raise InvalidRequest(
            f"{' '.join(leftward[:8])} would come out in the wrong order, as only words that run from left to right "
            "can be written here: give them in other letters"
        )
    unseen = {each for each in letters if unicodedata.category(each) == "Cc"}
    if not any(each in unseen or _lacks("pillow", each) for each in letters):
        return "pillow"
    missing = [each for each in letters if each in unseen or _lacks("opencv", each)]
    if not missing:
        return "opencv"
    import cv2

    more = "" if hasattr(cv2, "FontFace") else " (opencv-python-headless 5 has a font with many more)"
    shown = " ".join(each if each.isprintable() else ascii(each) for each in missing[:8])
    raise InvalidRequest(f"no font here has {shown}: write it without, or in other letters{more}")


@lru_cache(maxsize=4096)
def _lacks(font: str, letter: str) -> bool:
    if font == "pillow":
        letters = _pillow(24)
        return bytes(letters.getmask(letter)) == bytes(letters.getmask(_UNKNOWN))
    import cv2

    if not hasattr(cv2, "FontFace"):  # before OpenCV 5
        return True
    return letter != "?" and _line(letter, 24, font).tobytes() == _line(_UNKNOWN, 24, font).tobytes()


@lru_cache(maxsize=32)
def _pillow(pixels: int) -> ImageFont.FreeTypeFont:
    made = ImageFont.load_default(pixels)
    assert isinstance(made, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return made


def _width(text: str, pixels: int, font: str) -> int:
    """Of a line, in pixels."""
    if font == "pillow":
        return max(1, math.ceil(_pillow(pixels).getlength(text)) + 2)
    import cv2

    module: Any = cv2
    left, _, width, _ = module.getTextSize((0, 0), text, (0, 0), module.FontFace("uni"), pixels)
    return int(max(1, left + width + 2))


def _line(text: str, pixels: int, font: str) -> Image.Image:
    """A line of words, white on black, as an L picture."""
    size = (_width(text, pixels, font), round(_LINE * pixels))
    if font == "pillow":
        drawn = Image.new("L", size, 0)
        ImageDraw.Draw(drawn).text((1, round(1.0 * pixels)), text, font=_pillow(pixels), fill=255, anchor="ls")
        return drawn
    import cv2

    module: Any = cv2
    canvas = np.zeros((size[1], size[0]), np.uint8)
    module.putText(canvas, text, (1, pixels), 255, module.FontFace("uni"), pixels)
    return Image.fromarray(canvas)
