"""Flowcharts of Mermaid as drawings in the page.

Mermaid itself is a large script, which Material loads from elsewhere. Of its language only this is read: `a --> b`, and
`a -.-> b`, which is drawn dashed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Final, NamedTuple

FLOWCHART: Final = re.compile(r"^```mermaid\ngraph TD\n(.*?)^```$", re.M | re.S)
_EDGE: Final = re.compile(r"^ +(\w+) (-->|-\.->) (\w+)$")
_WIDE, _HIGH, _COLUMN, _ROW, _EDGE_OF_PICTURE = 104, 34, 150, 108, 40
_APART: Final = 9
"""Pixels between an arrow and the one that goes back, from the middle of a box."""
_STYLE: Final = (
    ".flowchart{overflow-x:auto}"
    ".flowchart rect{fill:var(--md-code-bg-color,#f5f5f5);stroke:currentColor}"
    ".flowchart text{fill:currentColor;text-anchor:middle;font-size:14px}"
    ".flowchart .arrow{fill:none;stroke:currentColor}.flowchart .dashed{stroke-dasharray:5 4}"
)


class Edge(NamedTuple):
    """An arrow, from a node to a node."""

    source: str
    dashed: bool
    target: str


class Place(NamedTuple):
    """The middle of a node's box, and its row from the top."""

    x: float
    y: float
    row: int


def edges_of(chart: str) -> list[Edge]:
    """The arrows of a chart.

    Raises:
        ValueError: a line that is none.
    """
    found = [(line, _EDGE.match(line)) for line in chart.splitlines() if line.strip()]
    if wrong := [line for line, edge in found if edge is None]:
        raise ValueError(f"this line of a flowchart is not understood: {wrong[0].strip()}")
    return [Edge(edge[1], edge[2] == "-.->", edge[3]) for _, edge in found if edge is not None]


def rows_of(edges: list[Edge]) -> dict[str, int]:
    """The row of each node: the number of arrows from a beginning, at least."""
    nodes = list(dict.fromkeys(node for edge in edges for node in (edge.source, edge.target)))
    reached = {edge.target for edge in edges}
    row = [node for node in nodes if node not in reached] or nodes[:1]
    rows: dict[str, int] = {}
    while row:
        rows |= dict.fromkeys(row, max(rows.values(), default=-1) + 1)
        row = list(dict.fromkeys(e.target for each in row for e in edges if e.source == each and e.target not in rows))
    return rows


def places_of(edges: list[Edge]) -> tuple[dict[str, Place], float]:
    """Where each node stands, and the width of the drawing.

    In a row those stand together that lead to the same nodes of the next one, and each below those that lead to it.
    """
    rows = rows_of(edges)
    by_row = [sorted(node for node in rows if rows[node] == row) for row in range(max(rows.values()) + 1)]
    width = _COLUMN * max(map(len, by_row)) + 2 * _EDGE_OF_PICTURE
    places: dict[str, Place] = {}
    for row, nodes in enumerate(by_row):
        next_nodes = {a: sorted(e.target for e in edges if e.source == a and rows[e.target] == row + 1) for a in nodes}
        nodes.sort(key=lambda node: (next_nodes[node], node))
        wanted = {}
        for node in nodes:
            above = [places[e.source].x for e in edges if e.target == node and e.source in places]
            wanted[node] = sum(above) / len(above) if above else width / 2
        if len(set(wanted.values())) < len(nodes):  # from one node: side by side below it
            wanted = {node: width / 2 + _COLUMN * (i - (len(nodes) - 1) / 2) for i, node in enumerate(nodes)}
        y = _EDGE_OF_PICTURE / 2 + _HIGH / 2 + _ROW * row
        places |= {node: Place(wanted[node], y, row) for node in nodes}
    return places, width


def path_of(edge: Edge, places: Mapping[str, Place]) -> str:
    """The line of an arrow, as the path of an SVG."""
    a, b = places[edge.source], places[edge.target]
    if edge.source == edge.target:
        x, y = a.x + _WIDE / 2, a.y
        return f"M{x:g} {y - 8:g}C{x + 34:g} {y - 26:g} {x + 34:g} {y + 26:g} {x + 2:g} {y + 8:g}"
    if b.row > a.row:  # down
        x, y, end, low = a.x - _APART, a.y + _HIGH / 2, b.x - _APART, b.y - _HIGH / 2 - 2
        bend = (low - y) / 2
        return f"M{x:g} {y:g}C{x:g} {y + bend:g} {end:g} {low - bend:g} {end:g} {low:g}"
    x, y = a.x + _APART, a.y - _HIGH / 2
    if a.row - b.row == 1:  # up to the next row
        end, low = b.x + _APART, b.y + _HIGH / 2 + 2
        bend = (y - low) / 2
        return f"M{x:g} {y:g}C{x:g} {y - bend:g} {end:g} {low + bend:g} {end:g} {low:g}"
    end = b.x + (_WIDE / 2 + 2) * (1 if x > b.x else -1)  # further up, to the side of the box
    return f"M{x:g} {y:g}C{x:g} {b.y + _ROW / 2:g} {x:g} {b.y:g} {end:g} {b.y:g}"


def drawn(chart: str) -> str:
    """A chart as a figure of HTML, in the colours of the page."""
    edges = edges_of(chart)
    places, width = places_of(edges)
    height = max(place.y for place in places.values()) + (_HIGH + _EDGE_OF_PICTURE) / 2
    kinds = {True: "arrow dashed", False: "arrow"}
    arrows = [
        f'<path class="{kinds[e.dashed]}" d="{path_of(e, places)}" marker-end="url(#tip)"><title>'
        f"{escape(e.source)} to {escape(e.target)}</title></path>"
        for e in edges
    ]
    boxes = [
        f'<rect x="{at.x - _WIDE / 2:g}" y="{at.y - _HIGH / 2:g}" width="{_WIDE}" height="{_HIGH}" rx="5"/>'
        f'<text x="{at.x:g}" y="{at.y + 5:g}">{escape(node)}</text>'
        for node, at in places.items()
    ]
    said = "; ".join(f"{e.source} to {e.target}" for e in edges)
    return "\n".join(
        [
            f'<figure class="flowchart"><svg width="{width:g}" viewBox="0 0 {width:g} {height:g}" role="img"',
            f'style="min-width:36rem;max-width:100%;height:auto" aria-label="Flowchart: {escape(said)}">',
            f"<style>{_STYLE}</style>",
            '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">',
            '<path d="M0 1L9 5L0 9z" fill="currentColor"/></marker>',
            *arrows,
            *boxes,
            "</svg></figure>",
        ]
    )
