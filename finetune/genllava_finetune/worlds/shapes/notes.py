"""What the assistant notes down before it acts: what pictures show, and the objects that a request is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from genllava_finetune.worlds.shapes.answers import name_of
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.plan import place_first, write_plan
from genllava_finetune.worlds.shapes.scene import Scene, Thing

_COLUMNS: Final = ("left", "center", "right")
_ROWS: Final = ("top", "center", "bottom")


def caption(number: int, scene: Scene) -> str:
    """`image 2: at the top a small red star, at the left a large blue star, on white`."""
    return f"image {number}: {write_plan(scene)}"


def look(scene: Scene, what: Description) -> str:
    """`star: at the top a small red star`, `star: nothing`, or all that fit, joined by `and`."""
    return listed(name_of(what), what.select(scene))


def listed(name: str, things: Iterable[Thing]) -> str:
    """`NAME: at the top a small red star and at the left a large blue star`."""
    return f"{name}: {' and '.join(map(place_first, things)) or 'nothing'}"


def values(name: str, first: str, second: str) -> str:
    """`color: red, blue`: what a question compares."""
    return f"{name}: {first}, {second}"


def side_by_side(columns: bool, one: Thing, other: Thing) -> str:
    """`column: left, center` or `row: top, bottom`."""
    names = _COLUMNS if columns else _ROWS
    first, second = (names[thing.column if columns else thing.row] for thing in (one, other))
    return values("column" if columns else "row", first, second)


def then(plan: str) -> str:
    """`then: at the top a large red star, on white`: what a picture would show, which is not drawn."""
    return f"then: {plan}"


def lending(source: int, target: int) -> str:
    """`from image 3 to image 2`: which picture is changed, and which one it takes something from."""
    return f"from image {source} to image {target}"


def in_picture(number: int | None, notes: Iterable[str]) -> str:
    """`in image 2, star: at the top a small red star; circle: nothing`; empty if there is nothing to note."""
    written = "; ".join(notes)
    return written and f"in image {number}, {written}"
