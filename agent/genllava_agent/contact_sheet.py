"""A contact sheet: pictures and answers with captions, in rows under headings, as one image."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

COLUMNS: Final = 5
SIDE: Final = 232
"""Width and height of a picture on the sheet, in pixels."""
_MARGIN, _GAP = 28, 22
_PAPER, _CARD, _FRAME, _INK, _SOFT = "#faf9f6", "#f0eee7", "#cdccc7", "#1c1e24", "#5c606a"

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Tile(NamedTuple):
    """A picture with what was asked (`title`) and what came of it (`text`) below; without a picture the text stands in
    its place."""

    title: str
    text: str = ""
    image: Image.Image | None = None


def contact_sheet(sections: Mapping[str, Sequence[Tile]]) -> Image.Image:
    """Tiles under their headings, `COLUMNS` to a row; the height follows from what they say."""
    rows = []
    for heading, tiles in sections.items():
        rows.append(_words(heading, 26, _INK, COLUMNS * (SIDE + _GAP) - _GAP))
        drawn = [_drawn(tile) for tile in tiles]
        rows += [_joined(drawn[first : first + COLUMNS]) for first in range(0, len(drawn), COLUMNS)]
    return ImageOps.expand(_joined(rows, down=True), _MARGIN, _PAPER)


def wrap(text: str, font: Font, width: float) -> list[str]:
    """`text` in lines of as many letters as are surely no wider than `width` pixels, or of one."""
    for letters in range(max(1, int(width / 3)), 0, -1):
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines


def _drawn(tile: Tile) -> Image.Image:
    """A tile, as high as its words ask for."""
    title, text = _words(tile.title, 17, _INK), _words(tile.text, 15, _SOFT)
    if tile.image is None:
        card, below = Image.new("RGB", (SIDE, SIDE), _CARD), [title]
        card.paste(_words(tile.text, 20, _INK, SIDE - 32, _CARD).crop((0, 0, SIDE - 32, SIDE - 20)), (16, 16))
    else:
        card, below = ImageOps.pad(tile.image.convert("RGB"), (SIDE, SIDE), color=_PAPER), [title, text]
    ImageDraw.Draw(card).rectangle((0, 0, SIDE - 1, SIDE - 1), outline=_FRAME)
    return _joined([card, *below], down=True, gap=6)


def _words(text: str, size: int, ink: str, width: int = SIDE, paper: str = _PAPER) -> Image.Image:
    font, leading = ImageFont.load_default(size), round(size * 1.3)
    lines = wrap(text, font, width)
    image = Image.new("RGB", (width, max(1, len(lines) * leading)), paper)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((0, number * leading), line, fill=ink, font=font)
    return image


def _joined(images: Sequence[Image.Image], down: bool = False, gap: int = _GAP) -> Image.Image:
    """Images beside each other, or under each other."""
    widths, heights = [image.width for image in images], [image.height for image in images]
    (along, across), at = (heights, widths) if down else (widths, heights), 0
    size = (sum(along) + gap * (len(images) - 1), max(across))
    whole = Image.new("RGB", size[::-1] if down else size, _PAPER)
    for image, length in zip(images, along, strict=True):
        whole.paste(image, (0, at) if down else (at, 0))
        at += length + gap
    return whole
