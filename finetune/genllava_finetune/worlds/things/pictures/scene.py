"""Scenes of the things world: what a picture shows, without pixels and without words.

A picture is square. It has a background and up to five items, each of them in a cell of its own of a grid of three by
three: the nine named places. An item may lie a little beside the middle of its cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from genllava.layout_decoder.layout import PLACES as PLACES
from genllava_finetune.worlds.things.knowledge.things import STYLES as STYLES

SHAPES: Final = ("circle", "square", "triangle", "star", "diamond", "cross")
COLOURS: Final = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan")
"""Of shapes, and of things that can be recoloured."""
SIZES: Final = ("small", "medium", "large")
SIDES: Final = {"small": 1 / 6, "medium": 29 / 120, "large": 39 / 120}
"""Side of the square that an item is drawn in, as a share of the picture's side."""
PLAIN: Final = ("white", "black", "gray", "beige", "pink", "mint", "sky blue", "sand")
DRAWN: Final = ("meadow", "beach", "night", "snow", "room", "sea")
BACKGROUNDS: Final = PLAIN + DRAWN
MOST: Final = 5
"""Items in a picture at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """A thing or a shape in a scene.

    Attributes:
        name: of a thing in `things.yaml`, or one of `SHAPES`.
        style: one of `STYLES`; None for a shape.
        colour: one of `COLOURS`; None for a thing in its own colours. A shape always has one.
        size: one of `SIZES`.
        place: one of `PLACES`, the cell.
        shift: how far its middle is from that of the cell, to the right and down, as shares of the picture's side.
    """

    name: str
    size: str
    place: str
    style: str | None = None
    colour: str | None = None
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle, x and y, as shares of the picture's side."""
        row, column = divmod(PLACES.index(self.place), 3)
        return (column + 0.5) / 3 + self.shift[0], (row + 0.5) / 3 + self.shift[1]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the square it is drawn in, as shares of the picture's side."""
        x, y = self.middle
        half = SIDES[self.size] / 2
        return x - half, y - half, x + half, y + half

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What is compared: everything but the shift."""
        return self.place, self.name, self.style or "", self.colour or "", self.size

    @property
    def kind(self) -> tuple[str, bool]:
        """Its name and whether it is a shape: the star in the sky is a thing, the star with five points a shape."""
        return self.name, self.style is None


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows.

    Attributes:
        background: one of `BACKGROUNDS`.
        items: in the order of their places; no two in the same one.
    """

    background: str
    items: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.items, key=lambda item: PLACES.index(item.place)))
        if len({item.place for item in ordered}) < len(ordered):
            raise ValueError("two items in one place")
        object.__setattr__(self, "items", ordered)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def at(self, place: str) -> Item | None:
        """The item in a place."""
        return next((item for item in self.items if item.place == place), None)

    @property
    def free(self) -> tuple[str, ...]:
        """The places where nothing is."""
        taken = {item.place for item in self.items}
        return tuple(place for place in PLACES if place not in taken)

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str, str, str, str], ...]]:
        """What is compared: the background and the items without their shifts."""
        return self.background, tuple(item.key for item in self.items)

    def centred(self) -> Scene:
        """The same with every item in the middle of its cell."""
        items = (Item(i.name, i.size, i.place, i.style, i.colour) for i in self.items)
        return Scene(self.background, tuple(items))


def overlap(first: Item, second: Item) -> float:
    """How much of the smaller of two items' squares lies in the other, 0 to 1."""
    a, b = first.box, second.box
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min(SIDES[first.size], SIDES[second.size]) ** 2
    return max(width, 0.0) * max(height, 0.0) / smaller
