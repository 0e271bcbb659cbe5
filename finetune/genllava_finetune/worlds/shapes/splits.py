"""Which scenes, words and combinations belong to training, and which are only ever met in tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from genllava_finetune.worlds.base import Split as Split
from genllava_finetune.worlds.grammar import Forms
from genllava_finetune.worlds.shapes.scene import COLORS, MAX_OBJECTS, SHAPES, Scene, random_scene
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
"""Pairs of shape and colour that no training picture of the research setting shows (suites `attr_combo`)."""

HELD_OUT_COUNT: Final = (MAX_OBJECTS, "beige")
"""(number of objects, background) that none of them shows (suites `count`)."""

HELD_OUT_RELATIONS: Final = frozenset(
    {("left", "red", "green"), ("right", "yellow", "blue"), ("above", "orange", "cyan"), ("below", "pink", "purple")}
)
"""(relation, colour of the first, colour of the second) withheld from its texts (suites `relation`)."""

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
"""(operation, attribute asked for) withheld from its edits (suites `edit_combo`)."""

HELD_OUT_EDIT_PAIRS: Final = frozenset({("recolor", "move"), ("add", "background"), ("remove", "resize")})
"""Pairs of operations never joined in one of its instructions (suites `edit_combo`)."""

MAX_TRAIN_TURNS: Final = 3
"""Longest training conversation of any setting: longer ones cost more (suite `conversation/turns` goes to five)."""


def split_of(scene: Scene) -> Split:
    """Training, dev or test, by hash of the signature: 90, 4 and 6 percent."""
    bucket = stable_hash("scene:" + scene.signature) % 100
    return "train" if bucket < 90 else "dev" if bucket < 94 else "test"


def has_held_out_pair(scene: Scene) -> bool:
    return any((thing.shape, thing.color) in HELD_OUT_PAIRS for thing in scene.things)


def has_held_out_count(scene: Scene) -> bool:
    return (len(scene.things), scene.background) == HELD_OUT_COUNT


@dataclass(frozen=True, slots=True)
class Withheld:
    """What training never shows or asks for, beside the scenes of the other splits.

    Attributes:
        pairs: of shape and colour, in pictures and texts.
        count: a number of objects on a background.
        relations: (relation, colour of the first, colour of the second), in texts.
        edits: (operation, attribute asked for).
        edit_pairs: operations that are not joined in one instruction.
        forms: `train`: a part of the sentence forms and of the words for what is outside the world is withheld;
            `all`: none is.
    """

    pairs: frozenset[tuple[str, str]] = frozenset()
    count: tuple[int, str] | None = None
    relations: frozenset[tuple[str, str, str]] = frozenset()
    edits: frozenset[tuple[str, str]] = frozenset()
    edit_pairs: frozenset[tuple[str, str]] = frozenset()
    forms: Forms = "all"

    def attribute(self, operation: str) -> str | None:
        """What is not asked for with an operation."""
        return dict(self.edits).get(operation)

    def colors(self, shape: str) -> tuple[str, ...]:
        """The colours that training shows a shape in."""
        return tuple(color for color in COLORS if (shape, color) not in self.pairs)

    def shapes(self, color: str) -> tuple[str, ...]:
        """The shapes that training shows in a colour."""
        return tuple(shape for shape in SHAPES if (shape, color) not in self.pairs)


NOTHING: Final = Withheld()
"""What the training of a model that ships withholds: test scenes, by their split, and nothing else."""
RESEARCH: Final = Withheld(
    HELD_OUT_PAIRS, HELD_OUT_COUNT, HELD_OUT_RELATIONS, HELD_OUT_EDITS, HELD_OUT_EDIT_PAIRS, forms="train"
)
"""What is withheld to measure whether a model goes beyond what it was shown. The frozen suites were made with it."""
SETTINGS: Final[dict[str, Withheld]] = {"nothing": NOTHING, "research": RESEARCH}
"""By the name that recipes use."""


def in_distribution(scene: Scene, withhold: Withheld = RESEARCH) -> bool:
    """Whether training can have drawn this scene, its split aside."""
    if (len(scene.things), scene.background) == withhold.count:
        return False
    return not any((thing.shape, thing.color) in withhold.pairs for thing in scene.things)


def allowed(scene: Scene, split: Split, withhold: Withheld = RESEARCH) -> bool:
    """Whether `scene` is an ordinary (iid) member of `split`."""
    return split_of(scene) == split and in_distribution(scene, withhold)


def sample_scene(
    rng: random.Random,
    split: Split,
    count: int | None = None,
    want: Callable[[Scene], bool] | None = None,
    withhold: Withheld = NOTHING,
) -> Scene:
    """A random scene of `split` for which `want` holds (by default: nothing in it is withheld)."""
    while True:
        scene = random_scene(rng, count)
        wanted = in_distribution(scene, withhold) if want is None else want(scene)
        if wanted and split_of(scene) == split:
            return scene
