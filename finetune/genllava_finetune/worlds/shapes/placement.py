"""Where in their cells the objects of drawn pictures go."""

from __future__ import annotations

from dataclasses import replace

from genllava_finetune.worlds.shapes.scene import JITTER, Scene, Thing


def centred(scene: Scene) -> Scene:
    """The scene with every object in the middle of its cell, as we draw: a plan then has exactly one picture."""
    return Scene(scene.background, tuple(replace(thing, dx=0, dy=0) for thing in scene.things))


def settled(source: Scene, target: Scene) -> Scene:
    """The target of an edit with every newcomer in the middle of its cell; what stays in place keeps its jitter.

    Where in a cell a new object goes cannot be known: asked for a random place, the decoder draws a blur.
    """
    there = {thing.cell: thing for thing in source.things}

    def settle(thing: Thing) -> Thing:
        old, reach = there.get(thing.cell), JITTER[thing.size]
        if old is not None:
            dx, dy = (max(-reach, min(reach, offset)) for offset in (old.dx, old.dy))
            if (dx, dy) == (thing.dx, thing.dy) or (old.shape, old.color) == (thing.shape, thing.color):
                return replace(thing, dx=dx, dy=dy)
        return replace(thing, dx=0, dy=0)

    return Scene(target.background, tuple(settle(thing) for thing in target.things))
