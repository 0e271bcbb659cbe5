"""A lineage drawn as SVG: a card for each picture, a row for each generation, lines from parents to children.

A line that passes a row gets a place of its own there, so that none runs behind a card.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from genllava_agent.pages.markup import data_uri, escaped, fitted, origin
from genllava_agent.records import ImageRecord

if TYPE_CHECKING:
    from PIL import Image

_THUMB: Final = 128
"""Side of the square that a picture is shown in."""
_PAD: Final = 12
_FONT: Final = 12
_LEADING: Final = 17
_LETTERS: Final = 32
"""In a line of text on a card: its letters are all as wide."""
_CARD_WIDTH: Final = _THUMB + round(_LETTERS * _FONT * 0.61) + 3 * _PAD
_PASSING: Final = 12
"""Width of the place of a line that passes a row."""
_GAP_X: Final = 28
_GAP_Y: Final = 44
_MARGIN: Final = 20
_PAPER, _CARD, _FRAME, _LINE = "#f6f5f1", "#ffffff", "#cfcdc6", "#7c8190"
_COLORS: Final = {"name": "#1c1e24", "ink": "#1c1e24", "soft": "#5c606a"}

Line = tuple[str, str]
"""A line of text, and whether it is a `name`, in `ink` or `soft`."""


def draw(records: Sequence[ImageRecord], image_of: Callable[[str], Image.Image]) -> str:
    """The pictures of a lineage, parents before children. Colours are attributes, so that a page's own style sheet can
    change them by class."""
    texts = {record.id: _lines(record) for record in records}
    heights = {name: max(_THUMB, len(lines) * _LEADING) + 2 * _PAD for name, lines in texts.items()}
    rows, edges = _rows(records)
    sizes = [[_CARD_WIDTH if slot in texts else _PASSING for slot in row] for row in rows]
    width = max(sum(row) + _GAP_X * (len(row) - 1) for row in sizes) + 2 * _MARGIN
    middles: dict[str, float] = {}
    tops: dict[str, int] = {}
    bottoms: dict[str, int] = {}  # of its row
    y = _MARGIN
    for row, widths in zip(rows, sizes, strict=True):
        x = (width - sum(widths) - _GAP_X * (len(row) - 1)) / 2
        bottom = y + max(heights.get(slot, 0) for slot in row)
        for slot, wide in zip(row, widths, strict=True):
            middles[slot], tops[slot], bottoms[slot] = x + wide / 2, y, bottom
            x += wide + _GAP_X
        y = bottom + _GAP_Y
    height = y - _GAP_Y + _MARGIN
    told = f"The lineage of {records[-1].id}: {len(records)} picture{'' if len(records) == 1 else 's'}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" width="{width}" height="{height}" role="img" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="{_FONT}"><title>{escaped(told)}</title>'
        f'<rect class="paper" width="{width}" height="{height}" rx="10" fill="{_PAPER}"/>'
    ]
    for edge in edges:
        path = f"M{middles[edge[0]]:g} {tops[edge[0]] + heights[edge[0]]}"
        for slot, after in pairwise(edge):
            low, high = bottoms[slot], tops[after]
            middle = (low + high) / 2
            path += f"V{low}C{middles[slot]:g} {middle:g} {middles[after]:g} {middle:g} {middles[after]:g} {high}"
        parts.append(f'<path class="line" d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
        tip = f"M{middles[edge[-1]]:g} {tops[edge[-1]]}l-4 -6h8z"
        parts.append(f'<path class="arrow" d="{tip}" fill="{_LINE}"/>')
    for record in records:
        name = record.id
        card = _card(texts[name], heights[name], image_of(name))
        place = f"translate({middles[name] - _CARD_WIDTH / 2:g} {tops[name]})"
        parts.append(f'<g transform="{place}"><title>{escaped(_whole(record))}</title>{card}</g>')
    return "\n".join([*parts, "</svg>"])


def _rows(records: Sequence[ImageRecord]) -> tuple[list[list[str]], list[list[str]]]:
    """Names by generation, in an order in which few lines cross, with a place wherever a line passes; and all lines, as
    the places they lead through."""
    depths: dict[str, int] = {}
    rows: list[list[str]] = []
    edges: list[list[str]] = []
    for record in records:
        parents = list(dict.fromkeys(record.parents))
        depth = depths[record.id] = max((depths[parent] + 1 for parent in parents), default=0)
        rows += [[] for _ in range(depth + 1 - len(rows))]
        rows[depth].append(record.id)
        for parent in parents:
            passed = range(depths[parent] + 1, depth)
            edges.append([parent, *(f"{parent} to {record.id} in {number}" for number in passed), record.id])
            for number, slot in zip(passed, edges[-1][1:-1], strict=True):
                rows[number].append(slot)
    above: dict[str, list[str]] = {}
    for edge in edges:
        for slot, after in pairwise(edge):
            above.setdefault(after, []).append(slot)
    places: dict[str, float] = {}
    for row in rows:  # each below the middle of those that it comes from
        row.sort(key=lambda slot: sum(places[each] for each in above.get(slot, ())) / max(1, len(above.get(slot, ()))))
        places.update({slot: (place + 0.5) / len(row) for place, slot in enumerate(row)})
    return rows, edges


def _card(lines: Sequence[Line], height: int, image: Image.Image) -> str:
    thumb = fitted(image.convert("RGB"), _THUMB)
    x, y = _PAD + (_THUMB - thumb.width) / 2, _PAD + (_THUMB - thumb.height) / 2
    size = f'x="{x:g}" y="{y:g}" width="{thumb.width}" height="{thumb.height}"'
    parts = [
        f'<rect class="card" width="{_CARD_WIDTH}" height="{height}" rx="10" fill="{_CARD}" stroke="{_FRAME}"/>'
        f'<image {size} href="{data_uri(thumb)}"/><rect class="frame" {size} fill="none" stroke="{_FRAME}"/>'
    ]
    for number, (text, tone) in enumerate(lines):
        bold = ' font-weight="bold"' if tone == "name" else ""
        place = f'x="{_THUMB + 2 * _PAD}" y="{_PAD + number * _LEADING + _FONT}"'
        parts.append(f'<text class="{tone}" {place} fill="{_COLORS[tone]}"{bold}>{escaped(text)}</text>')
    return "".join(parts)


def _lines(record: ImageRecord) -> list[Line]:
    """What a card says."""
    facts = [origin(record), f"turn {record.turn}", *([] if record.seed is None else [f"seed {record.seed}"])]
    asked = f"“{record.instruction}”" if record.instruction else ""
    shows = f"shows: {record.plan}" if record.plan else ""
    blocks = [(record.id, "name", 1), (", ".join(facts), "soft", 2), (record.label or "", "ink", 2)]
    blocks += [(asked, "ink", 4), (shows, "soft", 5)]
    return [(line, tone) for text, tone, most in blocks for line in wrapped(text, most)]


def wrapped(text: str, most: int) -> list[str]:
    """`text` in at most `most` lines of a card; what does not fit is cut off with an ellipsis."""
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return textwrap.wrap(text[:2000], _LETTERS // 2 if wide else _LETTERS, max_lines=most, placeholder="…")


def _whole(record: ImageRecord) -> str:
    """What a card says without its cuts."""
    made = f"made from {', '.join(record.parents)}" if record.parents else None
    return "\n".join(filter(None, [record.id, record.label, record.instruction, record.plan, made]))
