"""Where everything stands in the drawing of a lineage: cards in layers, and the lines between them.

A layer holds the pictures that are as many steps from the oldest. A line that passes a layer gets a place of its own
there, so that no line runs through a card. Many layers are folded into columns, read from left to right.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from genllava_agent.records import ImageRecord

THUMB: Final = 128
"""Side of the square that a picture is shown in."""
PAD: Final = 12
FONT: Final = 13
LEADING: Final = 18
RADIUS: Final = 10
_TEXT_WIDTH: Final = 232
CARD_WIDTH: Final = THUMB + _TEXT_WIDTH + 3 * PAD
_GAP_X: Final = 28
_GAP_Y: Final = 44
_COLUMN_GAP: Final = 56
_MARGIN: Final = 20
_LANE: Final = 8
"""Between lines that go round from one column to the next."""
_PASSING: Final = 20
"""Width of the place of a line that passes a layer."""
_SLACK: Final = 1.18
"""How much wider than the measured font another one may be, which a browser takes in its place."""
_UNFOLDED: Final = 6
"""Layers that are never folded."""
_ORIGINS: Final = {"user": "from the user", "region": "a part", "generate": "drawn", "edit": "edited"}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text on a card; `tone` is `name`, `ink` or `soft`."""

    text: str
    tone: str


@dataclass(slots=True)
class Card:
    """A picture with what is known of it; x, y are its upper left corner."""

    record: ImageRecord
    lines: tuple[Line, ...]
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> int:
        return max(THUMB, len(self.lines) * LEADING) + 2 * PAD


@dataclass(slots=True)
class Layout:
    """The drawing.

    Attributes:
        width, height: of all of it, in pixels.
        cards: oldest first.
        curves: a list of points for each line: a start, then three for each cubic Bezier curve.
        arrows: the points where lines end at a card, from above.
    """

    width: int = 0
    height: int = 0
    cards: list[Card] = field(default_factory=list)
    curves: list[list[Point]] = field(default_factory=list)
    arrows: list[Point] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Slot:
    """A place in a layer: of a card, or of a line that passes."""

    layer: int
    card: Card | None
    above: list[_Slot] = field(default_factory=list)
    below: list[_Slot] = field(default_factory=list)
    place: float = 0.0
    x: float = 0.0
    """Of its middle."""

    @property
    def width(self) -> int:
        return _PASSING if self.card is None else CARD_WIDTH


def lay_out(records: Sequence[ImageRecord]) -> Layout:
    """Place the pictures of a lineage; `records` has parents before children."""
    layers = _layers(records)
    _untangle(layers)
    heights = [max(slot.card.height for slot in layer if slot.card) for layer in layers]
    per_column = _layers_per_column(layers, heights)
    firsts = range(0, len(layers), per_column)
    rounds = [sum(len(slot.above) for slot in layers[first]) for first in firsts[1:]]
    room = _LANE * max(rounds, default=0)

    layout = Layout(cards=[slot.card for slot in _slots_in_order(records, layers) if slot.card])
    tops, bottoms, left = [0.0] * len(layers), [0.0] * len(layers), float(_MARGIN)
    gutters: list[float] = []
    for column, first in enumerate(firsts):
        numbers = range(first, min(first + per_column, len(layers)))
        width, y = max(_layer_width(layers[number]) for number in numbers), float(_MARGIN + room)
        for number in numbers:
            tops[number], bottoms[number] = y, y + heights[number]
            y += heights[number] + _GAP_Y
            _place_layer(layers[number], left + width / 2)
            for slot in layers[number]:
                if slot.card is not None:
                    slot.card.x, slot.card.y = slot.x - CARD_WIDTH / 2, tops[number]
        layout.height = max(layout.height, round(y - _GAP_Y))
        gutters.append(left + width + _COLUMN_GAP / 2)
        left += width + _COLUMN_GAP + (_LANE * rounds[column] if column < len(rounds) else 0)
    layout.width = round(left - _COLUMN_GAP) + _MARGIN
    floor = layout.height + _MARGIN
    layout.height = floor + room

    for number, layer in enumerate(layers):
        for slot in layer:
            if slot.card is None:
                layout.curves.append(_straight((slot.x, tops[number]), (slot.x, bottoms[number])))
        if number + 1 == len(layers):
            break
        low, top = bottoms[number], tops[number + 1]
        pairs = sorted(((slot, child) for slot in layer for child in slot.below), key=lambda p: (p[0].x, p[1].x))
        for place, (slot, child) in enumerate(pairs):
            start = (slot.x, low if slot.card is None else slot.card.y + slot.card.height)
            end = (_port(slot, child), top)
            if (number + 1) % per_column:
                middle = (low + top) / 2
                points = [*_straight(start, (slot.x, low)), (slot.x, middle), (end[0], middle), end]
            else:  # the further left it begins, the further out it goes round: so they do not cross
                lane = _LANE * (len(pairs) - 1 - place)
                side, roof = gutters[number // per_column] + lane, top - _GAP_Y / 2 - _LANE * place
                under = floor - _MARGIN / 2 + lane
                points = _rounded([start, (slot.x, under), (side, under), (side, roof), (end[0], roof), end])
            layout.curves.append(points)
            if child.card is not None:
                layout.arrows.append(end)
    return layout


def wrapped(text: str, width: float, most: int) -> list[str]:
    """`text` in at most `most` lines of `width` pixels; what does not fit is cut off with an ellipsis."""
    words = text[: 40 * most * 4].split()
    if len(text) > 40 * most * 4 and words:
        words[-1] += "…"
    lines: list[str] = [""]
    for word in words:
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _length(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:  # a word that is too long by itself is broken
            if lines[-1] and _length(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    if len(lines) > most:
        last = lines[most - 1]
        while last and _length(last + "…") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], last.rstrip() + "…"]
    return [line for line in lines if line]


def _layers(records: Sequence[ImageRecord]) -> list[list[_Slot]]:
    """The pictures by layer, with a slot wherever a line passes."""
    depth: dict[str, int] = {}
    for record in records:
        depth[record.id] = 1 + max((depth[parent] for parent in record.parents), default=-1)
    for record in reversed(records):  # a picture that came from nothing stands right above what was made of it
        children = [depth[child.id] for child in records if record.id in child.parents]
        if children and not record.parents:
            depth[record.id] = min(children) - 1
    layers: list[list[_Slot]] = [[] for _ in range(1 + max(depth.values()))]
    slots: dict[str, _Slot] = {}
    for record in records:
        slot = _Slot(depth[record.id], Card(record, _lines(record)))
        slots[record.id] = slot
        layers[slot.layer].append(slot)
        for parent in dict.fromkeys(record.parents):
            above = slots[parent]
            for layer in range(above.layer + 1, slot.layer):
                passing = _Slot(layer, None, [above])
                above.below.append(passing)
                layers[layer].append(passing)
                above = passing
            above.below.append(slot)
            slot.above.append(above)
    return layers


def _slots_in_order(records: Sequence[ImageRecord], layers: list[list[_Slot]]) -> list[_Slot]:
    by_name = {slot.card.record.id: slot for layer in layers for slot in layer if slot.card is not None}
    return [by_name[record.id] for record in records]


def _untangle(layers: list[list[_Slot]]) -> None:
    """Order each layer by the middle of its neighbours, a few times down and up, so that few lines cross."""
    for layer in layers:
        for place, slot in enumerate(layer):
            slot.place = place / max(1, len(layer) - 1)
    for sweep in range(8):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            for slot in layer:
                near = slot.above if sweep % 2 == 0 else slot.below
                if near:
                    slot.place = sum(other.place for other in near) / len(near)
            layer.sort(key=lambda slot: slot.place)
            for place, slot in enumerate(layer):
                slot.place = (place + 0.5) / len(layer)


def _layers_per_column(layers: list[list[_Slot]], heights: list[int]) -> int:
    if len(layers) <= _UNFOLDED:
        return len(layers)
    width = max(_layer_width(layer) for layer in layers) + _COLUMN_GAP
    height = sum(heights) + _GAP_Y * len(layers)
    columns = max(1, round(math.sqrt(height / width)))  # about as wide as high
    return math.ceil(len(layers) / columns)


def _layer_width(layer: list[_Slot]) -> float:
    return sum(slot.width for slot in layer) + _GAP_X * (len(layer) - 1)


def _place_layer(layer: list[_Slot], middle: float) -> None:
    x = middle - _layer_width(layer) / 2
    for slot in layer:
        slot.x = x + slot.width / 2
        x += slot.width + _GAP_X


def _port(slot: _Slot, child: _Slot) -> float:
    """Where on the upper edge of a child the line from one of its parents ends: in the order of the parents."""
    if child.card is None:
        return child.x
    place = sorted(child.above, key=lambda above: above.x).index(slot)
    return child.x + (place - (len(child.above) - 1) / 2) * min(24, CARD_WIDTH / 2 / len(child.above))


def _straight(start: Point, end: Point) -> list[Point]:
    return [start, start, end, end]


def _rounded(corners: list[Point], radius: float = 8) -> list[Point]:
    """The line along `corners`, as curves."""
    points = [corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        enter, leave = _towards(corner, before, radius), _towards(corner, after, radius)
        points += [points[-1], enter, enter, corner, corner, leave]
    return [*points, points[-1], corners[-1], corners[-1]]


def _towards(start: Point, goal: Point, distance: float) -> Point:
    length = math.dist(start, goal)
    share = 0.0 if length == 0 else min(distance, length / 2) / length
    return start[0] + (goal[0] - start[0]) * share, start[1] + (goal[1] - start[1]) * share


def _lines(record: ImageRecord) -> tuple[Line, ...]:
    """What a card says."""
    origin = _ORIGINS.get(record.origin) or f"made by {record.params.get('tool', 'a tool')}"
    facts = [origin, f"turn {record.turn}"]
    if record.seed is not None:
        facts.append(f"seed {record.seed}")
    blocks = [(record.id, "name", 1), (", ".join(facts), "soft", 2)]
    if record.label:
        blocks.append((record.label, "ink", 2))
    if record.instruction:
        blocks.append((f"“{' '.join(record.instruction.split())}”", "ink", 4))
    if record.plan:
        blocks.append((f"shows: {record.plan}", "soft", 5))
    return tuple(Line(line, tone) for text, tone, most in blocks for line in wrapped(text, _TEXT_WIDTH, most))


def _length(text: str) -> float:
    """Width of a line of text in pixels, with some to spare."""
    return sum(_advance(character) for character in text)


@functools.cache
def _advance(character: str) -> float:
    from PIL import ImageFont

    if unicodedata.east_asian_width(character) in "WF":
        return FONT * 1.05
    if unicodedata.combining(character):
        return 0.0
    return float(ImageFont.load_default(FONT).getlength(character)) * _SLACK
