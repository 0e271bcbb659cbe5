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
    blocks = []
    for heading, tiles in sections.items():
        blocks.append((0, [_words(heading, 26, _INK, COLUMNS * SIDE)]))
        blocks += [(_GAP, [_drawn(t) for t in tiles[n : n + COLUMNS]]) for n in range(0, len(tiles), COLUMNS)]
    height = sum(below + max(image.height for image in row) for below, row in blocks)
    sheet = Image.new("RGB", (2 * _MARGIN + COLUMNS * (SIDE + _GAP) - _GAP, 2 * _MARGIN + height), _PAPER)
    y = _MARGIN
    for below, row in blocks:
        for column, image in enumerate(row):
            sheet.paste(image, (_MARGIN + column * (SIDE + _GAP), y))
        y += below + max(image.height for image in row)
    return sheet


def wrap(text: str, font: Font, width: float) -> list[str]:
    """`text` in lines of as many letters as are surely no wider than `width` pixels, or of one."""
    for letters in range(max(1, int(width / 3)), 0, -1):
        lines = textwrap.wrap(text, letters)
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines


def _words(text: str, size: int, ink: str, width: int = SIDE, most: int = 99) -> Image.Image:
    """`text` wrapped at `width`, at most `most` lines of it, with some space below."""
    font, leading = ImageFont.load_default(size), round(size * 1.3)
    lines = wrap(text, font, width)[:most]
    image = Image.new("RGB", (width, len(lines) * leading + 8), _PAPER)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((0, number * leading), line, fill=ink, font=font)
    return image


def _drawn(tile: Tile) -> Image.Image:
    card = Image.new("RGB", (SIDE, SIDE), _CARD)
    said = [_words(tile.title, 17, _INK)]
    if tile.image is not None:
        card = ImageOps.pad(tile.image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS, color=_PAPER)
        said.append(_words(tile.text, 15, _SOFT))
    whole = Image.new("RGB", (SIDE, SIDE + 8 + sum(words.height for words in said)), _PAPER)
    if tile.image is None:
    ...
