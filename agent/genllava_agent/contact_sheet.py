"""A contact sheet: labelled pictures and answers in rows under headings, as one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont, ImageOps

COLUMNS: Final = 5
SIDE: Final = 232
"""Width and height of a picture on the sheet, in pixels."""

_MARGIN, _GAP, _LEADING = 28, 22, 1.3
_PAPER, _CARD, _FRAME = (250, 249, 246), (240, 238, 231), (205, 204, 199)
_INK, _SOFT = (28, 30, 36), (92, 96, 106)
_HEADING_SIZE, _TITLE_SIZE, _TEXT_SIZE, _SPOKEN_SIZE = 26, 17, 15, 20

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Color = tuple[int, int, int]


@dataclass(frozen=True)
class Tile:
    """A picture with what was asked (`title`) and what came of it (`text`) below; without a picture the text stands in
    its place."""

    title: str
    text: str = ""
    image: Image.Image | None = None


@dataclass(frozen=True)
class ListTile:
    """Questions with their answers, as wide as the rest of the row."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """Tiles under one heading, `COLUMNS` to a row."""

    heading: str
    tiles: tuple[Tile | ListTile, ...]


def contact_sheet(sections: Sequence[Section]) -> Image.Image:
    """All of `sections` on one sheet, whose height follows from what the tiles say."""
    width = 2 * _MARGIN + COLUMNS * SIDE + (COLUMNS - 1) * _GAP
    height = _Layout(Image.new("RGB", (1, 1))).place(sections)
    sheet = Image.new("RGB", (width, height), _PAPER)
    _Layout(sheet).place(sections)
    return sheet


def wrap(text: str, font: Font, width: float) -> list[str]:
    """`text` in lines no wider than `width` pixels; a word that is wider by itself is cut into pieces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            cut = next(n for n in range(len(line) - 1, 0, -1) if n == 1 or font.getlength(line[:n]) <= width)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines


class _Layout:
    """Places tiles on a canvas. What falls outside is not drawn: a 1x1 canvas serves to measure."""

    def __init__(self, canvas: Image.Image) -> None:
        self._canvas = canvas
        self._draw = ImageDraw.Draw(canvas)

    def place(self, sections: Sequence[Section]) -> int:
        """Draw all sections; returns the height they take."""
        y = _MARGIN
        for section in sections:
            y = self._write(section.heading, _MARGIN, y, _HEADING_SIZE, _INK, COLUMNS * SIDE) + 8
            for first in range(0, len(section.tiles), COLUMNS):
                row = section.tiles[first : first + COLUMNS]
                y = _GAP + max(self._tile(tile, column, y) for column, tile in enumerate(row))
            y += 8
        return y + _MARGIN - _GAP

    def _tile(self, tile: Tile | ListTile, column: int, y: int) -> int:
        x = _MARGIN + column * (SIDE + _GAP)
        if isinstance(tile, ListTile):
            width = (COLUMNS - column) * (SIDE + _GAP) - _GAP
            for question, answer in tile.pairs:
                y = self._write(question, x, y, _TITLE_SIZE, _INK, width)
                y = self._write(answer, x, y, _TITLE_SIZE, _SOFT, width) + 8
            return y
        self._draw.rectangle((x - 1, y - 1, x + SIDE, y + SIDE), fill=_CARD, outline=_FRAME)
        below = y + SIDE + 8
        if tile.image is None:
            self._write(tile.text, x + 16, y + 16, _SPOKEN_SIZE, _INK, SIDE - 32, most=9)
            return self._write(tile.title, x, below, _TITLE_SIZE, _INK, SIDE)
        padded = ImageOps.pad(tile.image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS, color=_PAPER)
        self._canvas.paste(padded, (x, y))
        below = self._write(tile.title, x, below, _TITLE_SIZE, _INK, SIDE)
        return self._write(tile.text, x, below + 2, _TEXT_SIZE, _SOFT, SIDE)

    def _write(self, text: str, x: int, y: int, size: int, ink: Color, width: int, most: int = 99) -> int:
        """Write `text` wrapped at `width`, at most `most` lines of it; returns the y below the last line."""
        font = ImageFont.load_default(size)
        for line in wrap(text, font, width)[:most]:
            self._draw.text((x, y), line, fill=ink, font=font)
            y += round(size * _LEADING)
        return y
