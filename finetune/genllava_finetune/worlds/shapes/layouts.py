"""Layouts: where the objects of a scene are, which shapes they have and how large they are, whatever their colours.

What the ControlNet is trained on: a layout in edges, beside words that give its objects colours. Edges say where and
how large, so the places in the words may be wrong, and often are: a plan is written by a language model that has not
seen them. What then belongs to what is always one thing: objects are told apart by shape; those of one shape by size
where the words have their sizes right; and those of one shape and size by their order, in lines from the top left.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from dataclasses import replace
from typing import Final

from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, CELLS, COLORS, RADIUS, SIZES, Scene, Thing
from genllava_finetune.worlds.stable_hash import stable_hash

HELD_OUT_SHARE: Final = 10
"""Percent of layouts that no training picture of the ControlNet has."""

FARTHEST: Final = 10
"""Largest offset of an object from the middle of its cell in a loosened scene, in pixels; in others it is 5 or 3."""
APART: Final = 3


def layout_signature(scene: Scene) -> str:
    """Canonical text of cells, sizes and shapes."""
    return ",".join(f"{thing.cell}:{thing.size} {thing.shape}" for thing in scene.things)


def is_held_out_layout(scene: Scene) -> bool:
    """Whether the layout of `scene` is kept from the training of the ControlNet."""
    return stable_hash("layout:" + layout_signature(scene)) % 100 < HELD_OUT_SHARE


def recoloured(rng: random.Random, scene: Scene) -> Scene:
    """The same layout, every object in another colour, on any background."""
    things = tuple(replace(t, color=rng.choice([c for c in COLORS if c != t.color])) for t in scene.things)
    return Scene(rng.choice(BACKGROUNDS), things)


def loosened(rng: random.Random, scene: Scene) -> Scene:
    """The same objects further from the middle of their cells; as they were if they would touch."""

    def loosen(thing: Thing) -> Thing:
        return replace(thing, dx=rng.randint(-FARTHEST, FARTHEST), dy=rng.randint(-FARTHEST, FARTHEST))

    for _ in range(10):
        things = tuple(map(loosen, scene.things))
        if all(_apart(one, other) for one, other in itertools.combinations(things, 2)):
            return replace(scene, things=things)
    return scene


def _apart(one: Thing, other: Thing) -> bool:
    (x, y), (u, v) = one.center, other.center
    return max(abs(x - u), abs(y - v)) >= RADIUS[one.size] + RADIUS[other.size] + APART


def misplaced(rng: random.Random, scene: Scene, wrong_sizes: bool = False) -> Scene:
    """The same objects in any cells: what a plan may say of a layout that its writer has not seen.

    Args:
        wrong_sizes: sizes are any, too; one size for all objects of a shape, which are then told apart by order alone.
    """
    sizes = {thing.shape: rng.choice(SIZES) for thing in scene.things}
    groups: dict[tuple[str, str], list[Thing]] = defaultdict(list)
    for thing in scene.things:
        groups[thing.shape, "" if wrong_sizes else thing.size].append(thing)
    cells = rng.sample(range(len(CELLS)), len(scene.things))
    placed: list[Thing] = []
    for group in groups.values():
        taken, cells = sorted(cells[: len(group)]), cells[len(group) :]
        for thing, cell in zip(group, taken, strict=True):
            size = sizes[thing.shape] if wrong_sizes else thing.size
            placed.append(Thing(cell, thing.shape, thing.color, size))
    return Scene(scene.background, tuple(placed))
