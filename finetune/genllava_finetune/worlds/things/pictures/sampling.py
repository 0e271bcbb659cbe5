"""Random scenes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import Thing
from genllava_finetune.worlds.things.pictures.scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    STYLES,
    Item,
    Scene,
    overlap,
)

_COUNTS: Final = {0: 3, 1: 22, 2: 27, 3: 24, 4: 14, 5: 10}
"""How often a scene has so many items, in a hundred."""
_CROWDED: Final = 10
"""How often, of the same, it has any number of items above those, where more are allowed."""
_SHAPE: Final = 0.15
_RECOLOURED: Final = 0.3
"""Of the things that can be."""
_ONE_STYLE: Final = 0.6
"""Share of the scenes all of whose things are of one style."""
_ALIKE: Final = 0.3
"""Share of the scenes in which some items have the name of another one, or are of its category."""
_REACH: Final = {"small": 0.09, "medium": 0.05, "large": 0.008}
"""How far from the middle of its cell an item may lie, as a share of the picture's side."""


def sample_scene(
    source: random.Random, known: Sequence[Thing], *, least: int = 0, most: int = 5, free: bool = False
) -> Scene:
    """A random scene.

    Args:
        known: the things that may occur.
        least, most: how many items; more than five are for learning to read pictures only.
        free: items lie a little beside the middle of their cells, as in the pictures of users.
    """
    counts = range(least, most + 1)
    count = source.choices(counts, [_COUNTS.get(each, _CROWDED) for each in counts])[0]
    styles = [source.choice(STYLES)] if source.random() < _ONE_STYLE else list(STYLES)
    alike = source.random() < _ALIKE
    items: list[Item] = []
    for place in source.sample(PLACES, count):
        pool: Sequence[Thing] = known
        if alike and items and source.random() < 0.6:
            pool = _like(source.choice(items), known, source) or known
        items.append(sample_item(source, pool, place, styles))
    scene = Scene(source.choice(BACKGROUNDS), tuple(items))
    return shifted(source, scene) if free else scene


def sample_item(source: random.Random, known: Sequence[Thing], place: str, styles: Sequence[str] = STYLES) -> Item:
    """A random thing or shape in a place."""
    size = source.choice(SIZES)
    if source.random() < _SHAPE:
        return Item(source.choice(SHAPES), size, place, None, source.choice(COLOURS))
    thing, style = source.choice(known), source.choice(styles)
    return Item(thing.name, size, place, style, sample_colour(source, thing, style))


def sample_colour(source: random.Random, thing: Thing, style: str) -> str | None:
    """Another colour for a thing that can be recoloured, now and then."""
    if not thing.recolour or source.random() >= _RECOLOURED:
        return None
    return source.choice([colour for colour in COLOURS if colour != thing.colour_in(style)])


def shifted(source: random.Random, scene: Scene) -> Scene:
    """The same with every item a little beside the middle of its cell, none over another."""
    items: list[Item] = []
    for item in scene.items:
        reach = _REACH[item.size]
        for _ in range(4):
            shift = (source.uniform(-reach, reach), source.uniform(-reach, reach))
            moved = Item(item.name, item.size, item.place, item.style, item.colour, shift)
            if not any(overlap(moved, other) for other in items):
                break
        else:
            moved = item
        items.append(moved)
    return Scene(scene.background, tuple(items))


def _like(item: Item, known: Sequence[Thing], source: random.Random) -> list[Thing]:
    """Things of the same name or category as an item."""
    same = [each for each in known if each.name == item.name]
    if not same or source.random() < 0.5:
        return same
    return [each for each in known if each.category == same[0].category]
