"""The family tree of a picture: what it was made from, by which words, and what that was made from."""

from __future__ import annotations

import base64
import json
import textwrap
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.pages.markup import counted, data_uri, escaped, fitted, origin
from genllava_agent.records import ImageRecord

if TYPE_CHECKING:
    from PIL import Image

_THUMB, _PAD, _FONT, _LEADING, _LETTERS = 128, 12, 12, 17, 32
"""A card, in pixels, and letters in a line of its text, which are all as wide."""
_CARD: Final = _THUMB + round(_LETTERS * _FONT * 0.61) + 3 * _PAD
_PASSING: Final = 12
"""Width of a card, and of the place of a line that passes a row."""
_GAP_X, _GAP_Y, _MARGIN = 28, 44, 20
_PAPER, _WHITE, _FRAME, _LINE = "#f6f5f1", "#ffffff", "#cfcdc6", "#7c8190"
_INKS: Final = {"name": "#1c1e24", "ink": "#1c1e24", "soft": "#5c606a"}


@dataclass(frozen=True, slots=True)
class Edge:
    """`child` was made from `parent`, as `instruction` says."""

    parent: str
    child: str
    instruction: str | None


class Lineage:
    """A picture, the pictures it was made from, and so on back to those that were made from none.

    In a notebook it shows itself.

    Attributes:
        name: of the picture.
        nodes: the records, parents before children; the last one is the picture's own.
        edges: from each parent to its child, in the order of the children.

    Args:
        records: where each picture of the thread comes from, by name.
        image_of: gives the pixels of a picture, RGB; may raise `ThreadQuarantined`.

    Raises:
        UnknownImage: no such picture.
        ThreadQuarantined: a parent has no record, or is no older than its child.
    """

    def __init__(self, name: str, records: Mapping[str, ImageRecord], image_of: Callable[[str], Image.Image]) -> None:
        if name not in records:
            raise UnknownImage.among(name, records)
        self.name = name
        self._image_of = image_of
        self.nodes: tuple[ImageRecord, ...] = _ancestors(name, records)
        self.edges: tuple[Edge, ...] = tuple(
            Edge(parent, node.id, node.instruction) for node in self.nodes for parent in dict.fromkeys(node.parents)
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold, without pixels."""
        nodes = [record.model_dump(mode="json") for record in self.nodes]
        return {"image": self.name, "nodes": nodes, "edges": [asdict(edge) for edge in self.edges]}

    def svg(self) -> str:
        """The tree as an SVG that needs nothing else: the pictures are inside."""
        return _draw(self.nodes, self.edges, self._image_of)

    def save(self, path: str | Path) -> Path:
        """Write the tree to a file, whole or not at all, as the ending of its name says: .svg or .json.

        Returns:
            where it is.

        Raises:
            InvalidRequest: another ending, or a place that cannot be written to.
        """
        from genllava_agent.outputs import check_output, write_bytes

        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".svg", ".json"):
            raise InvalidRequest(f"cannot write {path}: the name must end in .svg, .json")
        target = check_output(path)
        write_bytes(target, (self.svg() if ending == ".svg" else json.dumps(self.to_dict(), indent=2)).encode())
        return target

    def __repr__(self) -> str:
        return f"<lineage of {self.name}: {counted(len(self.nodes) - 1, 'picture')} before it>"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.svg().encode()).decode()  # as a picture it meets no style of the notebook's own
        return f'<img src="data:image/svg+xml;base64,{data}" alt="The lineage of {self.name}" style="max-width:100%">'


def _ancestors(name: str, records: Mapping[str, ImageRecord]) -> tuple[ImageRecord, ...]:
    """The picture and all before it, oldest first."""
    ordered = sorted(records.values(), key=lambda record: record.number)
    found = {name}
    for child in (record for record in reversed(ordered) if record.id in found):
        for parent in child.parents:
            if parent not in records or records[parent].number >= child.number:
                raise ThreadQuarantined(
                    f"what is stored of this thread is damaged: {child.id} was made from {parent}, and that is no "
                    "older picture of it. Restore it from a backup, or delete the thread"
                )
            found.add(parent)
    return tuple(record for record in ordered if record.id in found)


# --- as a drawing: a card for each picture, a row for each generation, lines from parents to children ---


def _draw(nodes: Sequence[ImageRecord], edges: Sequence[Edge], image_of: Callable[[str], Image.Image]) -> str:
    """The SVG. Colours are attributes, so that a page's own style sheet can change them by class."""
    texts = {node.id: _lines(node) for node in nodes}
    rows, lines = _rows(nodes, edges)
    wide = max(sum(_CARD if slot in texts else _PASSING for slot in row) + _GAP_X * (len(row) - 1) for row in rows)
    width, bottom = wide + 2 * _MARGIN, _MARGIN - _GAP_Y
    places: dict[str, tuple[float, int, int]] = {}  # the middle, top and bottom of a slot
    for row in rows:
        sizes = [_CARD if slot in texts else _PASSING for slot in row]
        x, top = (width - sum(sizes) - _GAP_X * (len(row) - 1)) / 2, bottom + _GAP_Y
        bottom = top + 2 * _PAD + max(_THUMB, *(len(texts.get(slot, ())) * _LEADING for slot in row))
        for slot, size in zip(row, sizes, strict=True):
            places[slot] = (x + size / 2, top, bottom)
            x += size + _GAP_X
    height = bottom + _MARGIN
    told = f"The lineage of {nodes[-1].id}: {counted(len(nodes), 'picture')}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" width="{width}" height="{height}" role="img" '
        f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="{_FONT}"><title>{escaped(told)}</title>'
        f'<rect class="paper" width="{width}" height="{height}" rx="10" fill="{_PAPER}"/>'
    ]
    for line in lines:
        path = f"M{places[line[0]][0]:g} {places[line[0]][2]}"
        for (x, _, low), (to, high, _) in pairwise(places[slot] for slot in line):
            path += f"V{low}C{x:g} {(low + high) / 2:g} {to:g} {(low + high) / 2:g} {to:g} {high}"
        parts.append(f'<path class="line" d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
        tip = f"M{places[line[-1]][0]:g} {places[line[-1]][1]}l-4 -6h8z"
        parts.append(f'<path class="arrow" d="{tip}" fill="{_LINE}"/>')
    for node in nodes:
        middle, top, bottom = places[node.id]
        card = _card(node, texts[node.id], bottom - top, fitted(image_of(node.id).convert("RGB"), _THUMB))
        parts.append(f'<g transform="translate({middle - _CARD / 2:g} {top})">{card}</g>')
    return "\n".join([*parts, "</svg>"])


def _rows(nodes: Sequence[ImageRecord], edges: Sequence[Edge]) -> tuple[list[list[str]], list[list[str]]]:
    """The slots of each generation, in an order in which few lines cross, and the slots that each line leads through.

    A slot is a picture, or the place where a line passes a row, so that none runs behind a card.
    """
    depths: dict[str, int] = {}
    for node in nodes:
        depths[node.id] = max((depths[parent] + 1 for parent in node.parents), default=0)
    rows: list[list[str]] = [[] for _ in range(1 + max(depths.values()))]
    for name, depth in depths.items():
        rows[depth].append(name)
    lines = []
    above: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        passed = range(depths[edge.parent] + 1, depths[edge.child])
        line = [edge.parent, *(f"{edge.parent} to {edge.child} in {depth}" for depth in passed), edge.child]
        lines.append(line)
        for depth, slot in zip(passed, line[1:-1], strict=True):
            rows[depth].append(slot)
        for slot, after in pairwise(line):
            above[after].append(slot)
    places: dict[str, float] = {}
    for row in rows:  # each below the middle of those that it comes from
        row.sort(key=lambda slot: fmean(places[each] for each in above[slot]) if above[slot] else 0.0)
        places.update({slot: (place + 0.5) / len(row) for place, slot in enumerate(row)})
    return rows, lines


def _card(node: ImageRecord, lines: Sequence[tuple[str, str]], height: int, thumb: Image.Image) -> str:
    x, y = _PAD + (_THUMB - thumb.width) / 2, _PAD + (_THUMB - thumb.height) / 2
    size = f'x="{x:g}" y="{y:g}" width="{thumb.width}" height="{thumb.height}"'
    made = f"made from {', '.join(node.parents)}" if node.parents else None
    whole = "\n".join(filter(None, [node.id, node.label, node.instruction, node.plan, made]))
    parts = [
        f'<title>{escaped(whole)}</title><rect class="card" width="{_CARD}" height="{height}" rx="10" fill="{_WHITE}" '
        f'stroke="{_FRAME}"/><image {size} href="{data_uri(thumb)}"/>'
        f'<rect class="frame" {size} fill="none" stroke="{_FRAME}"/>'
    ]
    for number, (text, tone) in enumerate(lines):
        place = f'x="{_THUMB + 2 * _PAD}" y="{_PAD + number * _LEADING + _FONT}"'
        bold = ' font-weight="bold"' if tone == "name" else ""
        parts.append(f'<text class="{tone}" {place} fill="{_INKS[tone]}"{bold}>{escaped(text)}</text>')
    return "".join(parts)


def _lines(node: ImageRecord) -> list[tuple[str, str]]:
    """The lines of text on a card, each with its tone."""
    facts = [origin(node), f"turn {node.turn}", *([] if node.seed is None else [f"seed {node.seed}"])]
    asked = f"“{node.instruction}”" if node.instruction else ""
    shows = f"shows: {node.plan}" if node.plan else ""
    blocks = [(node.id, "name", 1), (", ".join(facts), "soft", 2), (node.label or "", "ink", 2)]
    blocks += [(asked, "ink", 4), (shows, "soft", 5)]
    return [(line, tone) for text, tone, most in blocks for line in wrapped(text, most)]


def wrapped(text: str, most: int) -> list[str]:
    """`text` in at most `most` lines of a card; what does not fit is cut off with an ellipsis."""
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return textwrap.wrap(text[:2000], _LETTERS // 2 if wide else _LETTERS, max_lines=most, placeholder="…")
