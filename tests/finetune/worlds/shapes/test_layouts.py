"""Layouts: held out by what they are without colours, and told in words whose places are wrong."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict

from genllava_finetune.worlds.shapes.layouts import (
    APART,
    FARTHEST,
    HELD_OUT_SHARE,
    is_held_out_layout,
    loosened,
    misplaced,
    recoloured,
)
from genllava_finetune.worlds.shapes.scene import RADIUS, Scene, random_scene


def scenes(n: int = 300) -> list[Scene]:
    rng = random.Random(0)
    return [random_scene(rng) for _ in range(n)]


def test_a_layout_is_held_out_in_any_colours() -> None:
    rng, chosen = random.Random(1), scenes(2000)
    held_out = [is_held_out_layout(scene) for scene in chosen]
    assert abs(100 * sum(held_out) / len(chosen) - HELD_OUT_SHARE) < 3
    assert [is_held_out_layout(recoloured(rng, scene)) for scene in chosen] == held_out


def test_other_colours_are_other_for_every_object() -> None:
    rng = random.Random(1)
    for scene in scenes():
        other = recoloured(rng, scene)
        for one, two in zip(scene.things, other.things, strict=True):
            assert one.color != two.color
            assert (one.center, one.shape, one.size) == (two.center, two.shape, two.size)


def test_misplaced_objects_can_be_told_by_shape_size_and_order() -> None:
    rng = random.Random(1)
    moved = 0
    for scene, wrong_sizes in itertools.product(scenes(), (False, True)):
        plan = misplaced(rng, scene, wrong_sizes)
        assert plan.background == scene.background
        told, shown = (defaultdict[tuple[str, ...], list[str]](list) for _ in range(2))
        for words, there in ((told, plan), (shown, scene)):
            for thing in there.things:  # in reading order
                words[(thing.shape,) if wrong_sizes else (thing.shape, thing.size)].append(thing.color)
        assert told == shown
        if wrong_sizes:
            assert all(len({t.size for t in plan.things if t.shape == shape}) == 1 for (shape,) in told)
        moved += [t.cell for t in plan.things] != [t.cell for t in scene.things]
    assert moved > 500


def test_loosened_objects_do_not_touch() -> None:
    rng = random.Random(1)
    farther = 0
    for scene in scenes():
        loose = loosened(rng, scene)
        farther += any(max(abs(t.dx), abs(t.dy)) > 5 for t in loose.things)
        assert all(max(abs(t.dx), abs(t.dy)) <= FARTHEST for t in loose.things)
        if loose == scene and [t.dx for t in loose.things] == [t.dx for t in scene.things]:
            continue
        for one, other in itertools.combinations(loose.things, 2):
            gap = max(abs(a - b) for a, b in zip(one.center, other.center, strict=True))
            assert gap >= RADIUS[one.size] + RADIUS[other.size] + APART
    assert farther > 200
