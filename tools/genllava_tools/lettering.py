"""Words on pictures, in the font that comes with Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from PIL import Image, ImageDraw, ImageFont

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import BoxTuple, box_of_pixels

_SMALLEST: Final = 8
"""Pixels of letters, below which they cannot be read."""
_MARGIN: Final = 0.03
"""Space between words and the edge, as a part of the picture's shorter side."""


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    made = ImageFont.load_default(size)
    assert isinstance(made, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return made


def font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which is always there; `size` in pixels, at least what can be read."""
    return _font(max(_SMALLEST, round(size)))


def contrasting(color: tuple[int, ...]) -> tuple[int, int, int]:
    """Black or white, whichever can be read on this colour (red, green, blue in 0..255)."""
    return (0, 0, 0) if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140 else (255, 255, 255)


def put_text(
    image: Image.Image,
    text: str,
    corner: tuple[int, int],
    letters: ImageFont.FreeTypeFont,
    color: tuple[int, ...],
    ground: tuple[int, ...],
    *,
    above: bool = False,
) -> None:
    """Write a label onto a picture, on a ground of its own, as near to `corner` as it fits into the picture.

    Args:
        corner: left and top of the label in pixels; left and bottom, with `above`.

    Raises:
        InvalidRequest: the font lacks a letter of it.
    """
    _check_letters(text)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = (round(each) for each in pen.textbbox((0, 0), text, font=letters))
    space = max(1, round(letters.size) // 6)
    width, height = right - left + 2 * space, bottom - top + 2 * space
    x = max(0, min(corner[0], image.width - width))
    y = max(0, min(corner[1] - height if above else corner[1], image.height - height))
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=ground)
    pen.text((x + space - left, y + space - top), text, font=letters, fill=color)


def write(
    image: Image.Image, text: str, position: str, size: float, color: tuple[int, ...]
) -> tuple[Image.Image, int, BoxTuple]:
    """A copy of a picture with words on it.

    Args:
        position: words such as "top left" or "center".
        size: pixels of the letters, made smaller until the words fit.

    Returns:
        The copy, the pixels of the letters, and the box of the words in fractions.

    Raises:
        InvalidRequest: the font lacks a letter of it, or it does not fit even with the smallest letters.
    """
    _check_letters(text)
    made = image.copy()
    pen = ImageDraw.Draw(made)
    margin = round(_MARGIN * min(image.size))
    room = image.width - 2 * margin, image.height - 2 * margin
    pixels = max(_SMALLEST, round(size))
    while True:
        letters, outline = font(pixels), max(1, pixels // 14)
        lines = "\n".join(_lines(pen, text, letters, room[0] - 2 * outline))
        style: dict[str, Any] = {"font": letters, "stroke_width": outline, "align": _across(position)}
        left, top, right, bottom = pen.multiline_textbbox((0, 0), lines, **style)
        if right - left <= room[0] and bottom - top <= room[1]:
            break
        if pixels == _SMALLEST:
            raise InvalidRequest(
                f"the words do not fit into {image.width}x{image.height} pixels: give fewer, or upscale it first"
            )
        pixels = max(_SMALLEST, int(pixels * 0.9))
    free = image.width - 2 * margin - (right - left), image.height - 2 * margin - (bottom - top)
    x = margin + free[0] * {"left": 0.0, "center": 0.5, "right": 1.0}[_across(position)]
    y = margin + free[1] * (0.0 if "top" in position else 1.0 if "bottom" in position else 0.5)
    pen.multiline_text((x - left, y - top), lines, fill=color, stroke_fill=contrasting(color), **style)
    edges = [round(x), round(y), round(x + right - left), round(y + bottom - top)]
    return made, pixels, box_of_pixels(edges[0], edges[1], edges[2], edges[3], image.size)


def _across(position: str) -> str:
    return "left" if "left" in position else "right" if "right" in position else "center"


def _lines(pen: ImageDraw.ImageDraw, text: str, letters: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The words in lines that are no wider than `width`, where words allow it."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [text]:
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and pen.textlength(longer, font=letters) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _check_letters(text: str) -> None:
    """See that there is something to be seen of a text, and that the font has all of its letters.

    Raises:
        InvalidRequest: there is not, or it has not.
    """
    if not text.strip():
        raise InvalidRequest("there are no words to write: give some")
    letters = _font(24)
    unknown = bytes(letters.getmask("\U0010ffff"))
    missing = [each for each in dict.fromkeys(text) if not each.isspace() and bytes(letters.getmask(each)) == unknown]
    if missing:
        shown = " ".join(missing[:8])
        raise InvalidRequest(f"the font has no {shown}: write it in letters that it has, such as Latin ones")
