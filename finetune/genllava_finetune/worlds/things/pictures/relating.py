"""Where one place of a picture is as seen from others: what "left of", "next to" or "between" mean here."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.pictures.scene import PLACES

RELATIONS: Final = ("left of", "right of", "above", "below", "next to")
"""Between two items; a sixth, `between`, is between three."""
CONVERSE: Final = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "next to": "next to",
}
"""What holds of the other item and the first one."""
DIRECTIONS: Final = ("left", "right", "up", "down")
_STEPS: Final = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_SIDES: Final = {"left of": "left", "right of": "right", "above": "up", "below": "down"}


@lru_cache(maxsize=4096)
def related(place: str, relation: str, others: tuple[str, ...]) -> bool:
    """Whether a place lies as a relation says as seen from one other place, or from two for `between`.

    "Left of" is any place further left that is not further away up or down than it is to the left, and so on; "next
    to" is the neighbour at the left, right, top or bottom; "between" lies within the corners that two places make, and
    strictly between them from left to right or from top to bottom.
    """
    row, column = _cell(place)
    if relation == "between":
        (row_1, column_1), (row_2, column_2) = (_cell(other) for other in others)
        rows, columns = sorted((row_1, row_2)), sorted((column_1, column_2))
        within = rows[0] <= row <= rows[1] and columns[0] <= column <= columns[1]
        return within and (rows[0] < row < rows[1] or columns[0] < column < columns[1])
    down, right = row - _cell(others[0])[0], column - _cell(others[0])[1]
    if relation == "next to":
        return abs(down) + abs(right) == 1
    step_down, step_right = _STEPS[_SIDES[relation]]
    along = down * step_down + right * step_right
    aside = abs(down * step_right) + abs(right * step_down)
    return along > 0 and aside <= along


@lru_cache(maxsize=4096)
def places_by(relation: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """All places that lie so, the nearest and straightest first; at one distance the right comes before the left."""
    found = [place for place in PLACES if place not in others and related(place, relation, others)]
    return tuple(sorted(found, key=lambda place: (_far(place, others), *_turned(place, others[0]))))


@lru_cache(maxsize=64)
def places_towards(place: str, direction: str) -> tuple[str, ...]:
    """All places further in a direction: first those straight on, the nearest first, then those aside."""
    row, column = _cell(place)
    step_down, step_right = _STEPS[direction]
    found = []
    for each in PLACES:
        down, right = _cell(each)[0] - row, _cell(each)[1] - column
        along, aside = down * step_down + right * step_right, abs(down * step_right) + abs(right * step_down)
        if along > 0:
            found.append((aside, along, each))
    return tuple(each for _, _, each in sorted(found, key=lambda found: found[:2]))


def _cell(place: str) -> tuple[int, int]:
    return divmod(PLACES.index(place), 3)


def _far(place: str, others: tuple[str, ...]) -> float:
    row, column = _cell(place)
    return round(sum(math.hypot(row - r, column - c) for r, c in map(_cell, others)), 6)


def _turned(place: str, other: str) -> tuple[int, int]:
    (row, column), (row_2, column_2) = _cell(place), _cell(other)
    return abs(row - row_2), column_2 - column
