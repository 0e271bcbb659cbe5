"""Which scenes, words and combinations belong to training, and which are only ever met in tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from genllava_finetune.worlds.base import Split as Split
from genllava_finetune.worlds.shapes.scene import MAX_OBJECTS, Scene, random_scene
from genllava_finetune.worlds.stable_hash import stable_hash

SPLITS: Final[tuple[Split, ...]] = ("train", "dev", "test")

HELD_OUT_PAIRS: Final = frozenset(
    {
        ("circle", "purple"),
        ("square", "cyan"),
        ("triangle", "orange"),
        ("star", "pink"),
        ("diamond", "red"),
        ("cross", "green"),
        ("star", "blue"),
        ("square", "yellow"),
    }
)
"""Pairs of shape and colour that no training picture shows (split `attr_combo`)."""

HELD_OUT_COUNT: Final = (MAX_OBJECTS, "beige")
"""(number of objects, background) that no training picture shows (split `count`)."""

HELD_OUT_RELATIONS: Final = frozenset(
    {("left", "red", "green"), ("right", "yellow", "blue"), ("above", "orange", "cyan"), ("below", "pink", "purple")}
)
"""(relation, colour of the first, colour of the second) withheld from training texts (split `relation`)."""

HELD_OUT_EDITS: Final = frozenset(
    {
        ("recolor", "purple"),
        ("add", "cross"),
        ("replace", "star"),
        ("move", "bottom left"),
        ("background", "beige"),
        ("remove", "cyan"),
    }
)
"""(operation, attribute asked for) withheld from training edits (split `edit_combo`)."""

HELD_OUT_EDIT_PAIRS: Final = frozenset({("recolor", "move"), ("add", "background"), ("remove", "resize")})
"""Pairs of operations never joined in one training instruction (split `edit_combo`)."""

MAX_TRAIN_TURNS: Final = 3
"""Longest training conversation (split `turns`: tests go to five)."""


def split_of(scene: Scene) -> Split:
    """Training, dev or test, by hash of the signature: 90, 4 and 6 percent."""
    bucket = stable_hash("scene:" + scene.signature) % 100
    return "train" if bucket < 90 else "dev" if bucket < 94 else "test"


def has_held_out_pair(scene: Scene) -> bool:
    return any((thing.shape, thing.color) in HELD_OUT_PAIRS for thing in scene.things)


def has_held_out_count(scene: Scene) -> bool:
    return (len(scene.things), scene.background) == HELD_OUT_COUNT


def in_distribution(scene: Scene) -> bool:
    """Whether training could have drawn this scene, its split aside."""
    return not has_held_out_pair(scene) and not has_held_out_count(scene)


def allowed(scene: Scene, split: Split) -> bool:
    """Whether `scene` is an ordinary (iid) member of `split`."""
    return split_of(scene) == split and in_distribution(scene)


def sample_scene(
    rng: random.Random, split: Split, count: int | None = None, want: Callable[[Scene], bool] = in_distribution
) -> Scene:
    """A random scene of `split` for which `want` holds (by default: nothing in it is held out)."""
    while True:
        scene = random_scene(rng, count)
        if want(scene) and split_of(scene) == split:
            return scene
