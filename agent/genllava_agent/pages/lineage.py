"""The family tree of a picture: what it was made from, by which words, and what that was made from."""

from __future__ import annotations

import base64
import json
import textwrap
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.pages.markup import counted, data_uri, escaped, fitted, origin
from genllava_agent.records import ImageRecord

if TYPE_CHECKING:
    from PIL import Image

_THUMB, _PAD, _FONT, _LEADING, _LETTERS = 128, 12, 12, 17, 32
"""Of a card, in pixels; and letters in a line of its text, which are all as wide."""
_CARD: Final = _THUMB + round(_LETTERS * _FONT * 0.61) + 3 * _PAD
_GAP, _MARGIN = 44, 20
_PAPER, _WHITE, _FRAME, _LINE = "#f6f5f1", "#ffffff", "#cfcdc6", "#7c8190"
_INKS: Final = {"name": "#1c1e24", "ink": "#1c1e24", "soft": "#5c606a"}


@dataclass(frozen=True, slots=True)
class Edge:
    """`child` was made from `parent`, as `instruction` says."""

    parent: str
    child: str
    instruction: str | None


class Lineage:
    """A picture, the pictures it was made from, and so on back to those that were made from none; shown in notebooks.

    Attributes:
        name: of the picture.
        nodes: the records, parents before children; the last one is the picture's own.
        edges: from each parent to its child, in the order of the children.

    Raises:
        UnknownImage: no such picture.
        ThreadQuarantined: a parent has no record, or is no older than its child; or its pixels are damaged.
    """

    def __init__(self, name: str, records: Mapping[str, ImageRecord], image_of: Callable[[str], Image.Image]) -> None:
        if name not in records:
            raise UnknownImage.among(name, records)
        ordered, found = sorted(records.values(), key=lambda record: record.number), {name}
        for child in (record for record in reversed(ordered) if record.id in found):
            for parent in child.parents:
                if parent not in records or records[parent].number >= child.number:
                    raise ThreadQuarantined(
                        f"what is stored of this thread is damaged: {child.id} was made from {parent}, and that is no "
                        "older picture of it. Restore it from a backup, or delete the thread"
                    )
                found.add(parent)
        self.name = name
        self.nodes = tuple(record for record in ordered if record.id in found)
        self.edges = tuple(
            Edge(parent, node.id, node.instruction) for node in self.nodes for parent in dict.fromkeys(node.parents)
        )
        self._image_of = image_of

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold, without pixels."""
        nodes = [record.model_dump(mode="json") for record in self.nodes]
        return {"image": self.name, "nodes": nodes, "edges": [asdict(edge) for edge in self.edges]}

    def svg(self) -> str:
        """The tree as an SVG that needs nothing else: a card for each picture, older ones above, and lines from parents
        to children. Colours are attributes, so that a page's own style sheet can change them by class."""
        rows = {node.id: row for row, node in enumerate(self.nodes)}
        spans = [(rows[edge.parent], rows[edge.child]) for edge in self.edges]
        left = _MARGIN + max((_bulge(last - first) for first, last in spans), default=0)  # of the cards
        cards, tops, bottoms, y = [], [], [], _MARGIN
        for node in self.nodes:
            inside, high = _card(node, fitted(self._image_of(node.id).convert("RGB"), _THUMB))
            cards.append(f'<g transform="translate({left} {y})">{inside}</g>')
            tops.append(y)
            bottoms.append(y + high)
            y += high + _GAP
        lines, middle = [], left + _CARD // 2
        for first, last in spans:
            if last == first + 1:
                path, tip = f"M{middle} {bottoms[first]}V{tops[last]}", f"M{middle} {tops[last]}l-4 -6h8z"
            else:
                start, end = ((tops[row] + bottoms[row]) // 2 for row in (first, last))
                out = left - _bulge(last - first)
                path, tip = f"M{left} {start}C{out} {start} {out} {end} {left} {end}", f"M{left} {end}l-6 -4v8z"
            lines.append(f'<path class="line" d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>')
            lines.append(f'<path class="arrow" d="{tip}" fill="{_LINE}"/>')
        width, height = left + _CARD + _MARGIN, y - _GAP + _MARGIN
        told = f"The lineage of {self.name}: {counted(len(self.nodes), 'picture')}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="lineage" width="{width}" height="{height}" role="img" '
            f'viewBox="0 0 {width} {height}" font-family="monospace" font-size="{_FONT}"><title>{told}</title>'
            f'<rect class="paper" width="{width}" height="{height}" rx="10" fill="{_PAPER}"/>'
        )
        return "\n".join([head, *lines, *cards, "</svg>"])

    def save(self, path: str | Path) -> Path:
        """Write the tree to a .svg or .json file, whole or not at all (`InvalidRequest`), and return where it is."""
        from genllava_agent.files import check_output, write_bytes

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


def _bulge(rows: int) -> int:
    """How far a line leads around the cards between a parent and a child that is some rows below."""
    return 0 if rows == 1 else min(240, 24 + 16 * rows)


def _card(node: ImageRecord, thumb: Image.Image) -> tuple[str, int]:
    """A picture beside what is known of it, and the height of the card."""
    facts = [origin(node), f"turn {node.turn}", *([] if node.seed is None else [f"seed {node.seed}"])]
    asked = f"“{node.instruction}”" if node.instruction else ""
    shows = f"shows: {node.plan}" if node.plan else ""
    blocks = [(node.id, "name", 1), (", ".join(facts), "soft", 2), (node.label or "", "ink", 2)]
    blocks += [(asked, "ink", 4), (shows, "soft", 5)]
    lines = [(line, tone) for text, tone, most in blocks for line in wrapped(text, most)]
    height = max(_THUMB, len(lines) * _LEADING) + 2 * _PAD
    made = f"made from {', '.join(node.parents)}" if node.parents else None
    whole = "\n".join(filter(None, [node.id, node.label, node.instruction, node.plan, made]))
    x, y = _PAD + (_THUMB - thumb.width) / 2, _PAD + (_THUMB - thumb.height) / 2
    size = f'x="{x:g}" y="{y:g}" width="{thumb.width}" height="{thumb.height}"'
    parts = [
        f'<title>{escaped(whole)}</title><rect class="card" width="{_CARD}" height="{height}" rx="10" fill="{_WHITE}" '
        f'stroke="{_FRAME}"/><image {size} href="{data_uri(thumb)}"/>'
        f'<rect class="frame" {size} fill="none" stroke="{_FRAME}"/>'
    ]
    for number, (text, tone) in enumerate(lines):
        place = f'x="{_THUMB + 2 * _PAD}" y="{_PAD + number * _LEADING + _FONT}"'
        bold = ' font-weight="bold"' if tone == "name" else ""
        parts.append(f'<text class="{tone}" {place} fill="{_INKS[tone]}"{bold}>{escaped(text)}</text>')
    return "".join(parts), height


def wrapped(text: str, most: int) -> list[str]:
    """`text` in at most `most` lines of a card; what does not fit is cut off with an ellipsis."""
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return textwrap.wrap(text[:2000], _LETTERS // 2 if wide else _LETTERS, max_lines=most, placeholder="…")
