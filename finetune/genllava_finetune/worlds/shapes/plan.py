"""Plans: a sentence that describes a whole scene, and its inverse.

Places come first, `at the top a small red star`: what is read one word after the other binds to what stood before it.
Where the place is known, what is there can be looked up; of `a small red star at the top`, a small language model has
to say what it is before it has said which it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import Final

from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES, Scene, Thing

_THING: Final = rf"an? (?P<size>{'|'.join(SIZES)}) (?P<color>{'|'.join(COLORS)}) (?P<shape>{'|'.join(SHAPES)})"
_PLACE: Final = rf"(?:at|in) the (?P<place>{'|'.join(sorted(CELLS, key=len, reverse=True))})"
_PHRASES: Final = (re.compile(f"{_PLACE} {_THING}"), re.compile(f"{_THING} {_PLACE}"))

WHAT_FIRST_SHARE: Final = 0.2
"""How many of the plans that the text encoder and the image decoder are trained on name the place last."""


def place_first(thing: Thing) -> str:
    """`at the top left a large green circle`."""
    return f"at the {thing.position} a {thing.size} {thing.color} {thing.shape}"


def place_last(thing: Thing) -> str:
    """`a large green circle at the top left`."""
    return f"a {thing.size} {thing.color} {thing.shape} at the {thing.position}"


def write_plan(scene: Scene, cells: Iterable[int] | None = None, phrase: Callable[[Thing], str] = place_first) -> str:
    """`at the top left a large green circle, at the bottom a small blue star, on white`.

    A scene without objects is `nothing, on white`.

    Args:
        cells: where the objects lie, in the order in which the plan names them; in reading order if not given.
        phrase: how it names them.
    """
    there = {thing.cell: thing for thing in scene.things}
    things = ", ".join(phrase(there[cell]) for cell in (there if cells is None else cells)) or "nothing"
    return f"{things}, on {scene.background}"


def any_plan(rng: random.Random, scene: Scene) -> str:
    """A plan that names the objects in any order; some, as people may write them, say what before where."""
    phrase = place_last if rng.random() < WHAT_FIRST_SHARE else place_first
    return write_plan(scene, rng.sample([thing.cell for thing in scene.things], len(scene.things)), phrase)


def read_plan(text: str) -> Scene | None:
    """The scene a plan describes, centred in its cells; None if `text` is not a plan."""
    *phrases, last = text.strip().split(", ")
    if not last.startswith("on ") or last[3:] not in BACKGROUNDS or not phrases:
        return None
    if phrases == ["nothing"]:
        return Scene(last[3:], ())
    things = [thing for thing in map(_read_phrase, phrases) if thing is not None]
    if len(things) != len(phrases):
        return None
    if len({thing.cell for thing in things}) != len(things):
        return None
    return Scene(last[3:], tuple(things))


def _read_phrase(text: str) -> Thing | None:
    for pattern in _PHRASES:
        match = pattern.fullmatch(text)
        if match is not None:
            return Thing(CELLS.index(match["place"]), shape=match["shape"], color=match["color"], size=match["size"])
    return None
