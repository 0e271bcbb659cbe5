"""Plans: a sentence that describes a whole scene, and its inverse."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from genllava_finetune.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES, Scene, Thing

_THING = re.compile(
    rf"an? ({'|'.join(SIZES)}) ({'|'.join(COLORS)}) ({'|'.join(SHAPES)})"
    rf" (?:at|in) the ({'|'.join(sorted(CELLS, key=len, reverse=True))})"
)


def thing_phrase(thing: Thing) -> str:
    """`a large green circle at the top left`."""
    return f"a {thing.size} {thing.color} {thing.shape} at the {thing.position}"


def write_plan(scene: Scene, cells: Iterable[int] | None = None) -> str:
    """`a large green circle at the top left, a small blue star at the bottom, on white`.

    A scene without objects is `nothing, on white`.

    Args:
        cells: where the objects lie, in the order in which the plan names them; in reading order if not given.
    """
    there = {thing.cell: thing for thing in scene.things}
    things = ", ".join(thing_phrase(there[cell]) for cell in (there if cells is None else cells)) or "nothing"
    return f"{things}, on {scene.background}"


def shuffled_plan(rng: random.Random, scene: Scene) -> str:
    """A plan that names the objects in any order."""
    return write_plan(scene, rng.sample([thing.cell for thing in scene.things], len(scene.things)))


def read_plan(text: str) -> Scene | None:
    """The scene a plan describes, centred in its cells; None if `text` is not a plan."""
    *phrases, last = text.strip().split(", ")
    if not last.startswith("on ") or last[3:] not in BACKGROUNDS or not phrases:
        return None
    if phrases == ["nothing"]:
        return Scene(last[3:], ())
    matches = [_THING.fullmatch(phrase) for phrase in phrases]
    if not all(matches):
        return None
    things = [Thing(CELLS.index(m[4]), shape=m[3], color=m[2], size=m[1]) for m in matches if m is not None]
    if len({thing.cell for thing in things}) != len(things):
        return None
    return Scene(last[3:], tuple(things))
