"""Plans: the one canonical sentence that describes a whole scene, and its inverse."""

from __future__ import annotations

import re

from genllava_finetune.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES, Scene, Thing

_THING = re.compile(
    rf"an? ({'|'.join(SIZES)}) ({'|'.join(COLORS)}) ({'|'.join(SHAPES)})"
    rf" (?:at|in) the ({'|'.join(sorted(CELLS, key=len, reverse=True))})"
)


def thing_phrase(thing: Thing) -> str:
    """`a large green circle at the top left`."""
    return f"a {thing.size} {thing.color} {thing.shape} at the {thing.position}"


def write_plan(scene: Scene) -> str:
    """`a large green circle at the top left, a small blue star at the bottom, on white`.

    Objects come in reading order, so every scene has exactly one plan. A scene without objects is `nothing, on white`.
    """
    things = ", ".join(thing_phrase(thing) for thing in scene.things) or "nothing"
    return f"{things}, on {scene.background}"


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
