"""Scenes: what a picture of the shapes domain shows, before any pixel is drawn."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

CANVAS: Final = 128
"""Side of the canvas, in pixels."""

SHAPES: Final = ("circle", "square", "triangle", "star", "diamond", "cross")
COLORS: Final = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
SIZES: Final = ("small", "large")
BACKGROUNDS: Final = ("white", "black", "gray", "beige")
CELLS: Final = (
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)
"""The nine positions in reading order; a cell is an index into this tuple."""

MAX_OBJECTS: Final = 4
RADIUS: Final = {"small": 9, "large": 16}
"""Half of an object's extent in pixels, by size."""

JITTER: Final = {"small": 5, "large": 3}
"""Largest offset of an object's centre from its cell's centre, in pixels. Chosen so that two objects in
neighbouring cells keep at least 3 pixels between them: 128/3/2 - radius - jitter >= 1.5."""


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """One object of a scene. `cell` indexes `CELLS`; `dx`, `dy` are its offset from the cell's centre in pixels."""

    cell: int
    shape: str
    color: str
    size: str
    dx: int = field(default=0, compare=False)
    dy: int = field(default=0, compare=False)

    @property
    def position(self) -> str:
        return CELLS[self.cell]

    @property
    def row(self) -> int:
        return self.cell // 3

    @property
    def column(self) -> int:
        return self.cell % 3

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the object's centre on the canvas, in pixels."""
        side = CANVAS / 3
        return (self.column + 0.5) * side + self.dx, (self.row + 0.5) * side + self.dy


@dataclass(frozen=True, slots=True)
class Scene:
    """A background and up to four objects in reading order, at most one per cell.

    Equality and hashing ignore the jitter, so two scenes are equal exactly when their signatures are.

    Raises:
        ValueError: two objects share a cell.
    """

    background: str
    things: tuple[Thing, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.things, key=lambda thing: thing.cell))
        if len({thing.cell for thing in ordered}) != len(ordered):
            raise ValueError("two objects share a cell")
        object.__setattr__(self, "things", ordered)

    @property
    def signature(self) -> str:
        """Canonical text of everything but the jitter."""
        parts = [f"{t.cell}:{t.size} {t.color} {t.shape}" for t in self.things]
        return f"{self.background}|" + ",".join(parts)

    @property
    def free_cells(self) -> tuple[int, ...]:
        taken = {thing.cell for thing in self.things}
        return tuple(cell for cell in range(len(CELLS)) if cell not in taken)

    def select(
        self,
        *,
        shape: str | None = None,
        color: str | None = None,
        size: str | None = None,
        cell: int | None = None,
    ) -> tuple[Thing, ...]:
        """The objects that match every attribute given."""
        return tuple(
            t
            for t in self.things
            if (shape is None or t.shape == shape)
            and (color is None or t.color == color)
            and (size is None or t.size == size)
            and (cell is None or t.cell == cell)
        )

    def without(self, things: Iterable[Thing]) -> Scene:
        gone = {thing.cell for thing in things}
        return replace(self, things=tuple(t for t in self.things if t.cell not in gone))

    def with_thing(self, thing: Thing) -> Scene:
        return replace(self, things=(*self.things, thing))

    def replacing(self, old: Thing, new: Thing) -> Scene:
        return self.without([old]).with_thing(new)


def place(rng: random.Random, cell: int, shape: str, color: str, size: str) -> Thing:
    """An object in `cell` with random jitter."""
    reach = JITTER[size]
    return Thing(cell, shape, color, size, rng.randint(-reach, reach), rng.randint(-reach, reach))


def random_thing(rng: random.Random, cells: Sequence[int]) -> Thing:
    """A random object in one of `cells`; the pair of shape and colour is unrestricted (see `splits`)."""
    return place(rng, rng.choice(list(cells)), rng.choice(SHAPES), rng.choice(COLORS), rng.choice(SIZES))


def random_scene(rng: random.Random, count: int | None = None) -> Scene:
    """A uniformly random scene of `count` objects (1 to 4 if not given); ignores the splits."""
    count = rng.randint(1, MAX_OBJECTS) if count is None else count
    cells = rng.sample(range(len(CELLS)), count)
    return Scene(rng.choice(BACKGROUNDS), tuple(random_thing(rng, [cell]) for cell in cells))
