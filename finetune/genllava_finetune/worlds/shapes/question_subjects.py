"""What a question is about: objects, and descriptions that fit one, several or none of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from genllava_finetune.worlds.grammar import Forms, Intent
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.language.noun_phrases import the_thing
from genllava_finetune.worlds.shapes.language.words import PLURAL, say
from genllava_finetune.worlds.shapes.notes import look
from genllava_finetune.worlds.shapes.scene import CELLS, COLORS, SHAPES, SIZES, Scene, Thing
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld

RELATIONS: Final = ("left", "right", "above", "below")
TRIES: Final = 8

COUNTED: Final = {
    (): 15, ("shape",): 32, ("color",): 24, ("size",): 10, ("shape", "color"): 10, ("shape", "size"): 5,
    ("color", "size"): 4,
}  # fmt: skip
SOUGHT: Final = {
    ("shape",): 20, ("color",): 12, ("shape", "color"): 40, ("shape", "size"): 12, ("color", "size"): 8,
    ("shape", "color", "size"): 8,
}  # fmt: skip
NAMED: Final = {
    ("shape",): 60, ("color",): 22, ("shape", "color"): 36, ("shape", "size"): 20, ("cell",): 20, ("size",): 8,
    ("shape", "cell"): 6, ("color", "size"): 8, ("shape", "color", "size"): 8,
}  # fmt: skip
"""Which attributes a phrase names, and how often."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its slots filled, the true answer, and what there is to note down before it."""

    intent: Intent
    words: Mapping[str, str]
    answer: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is asked about, and within which bounds.

    Attributes:
        number: the picture's, if the question names it.
        heldout_relations: relations withheld from training, and only those.
        withhold: what training never asks for.
    """

    scene: Scene
    forms: Forms
    number: int | None = None
    heldout_relations: bool = False
    withhold: Withheld = NOTHING


Builder = Callable[[random.Random, Circumstances], Asked | None]


def subset_of(rng: random.Random, weights: Mapping[tuple[str, ...], int], without: str = "") -> tuple[str, ...]:
    options = [names for names in weights if without not in names]
    return rng.choices(options, [weights[names] for names in options])[0]


def described(thing: Thing, names: Sequence[str]) -> Description:
    return Description(**{name: getattr(thing, name) for name in names})


def anything(rng: random.Random) -> Thing:
    """Any object at all."""
    shape, color = rng.choice(SHAPES), rng.choice(COLORS)
    return Thing(rng.randrange(len(CELLS)), shape=shape, color=color, size=rng.choice(SIZES))


def absent(
    rng: random.Random, scene: Scene, names: Sequence[str], pairs: frozenset[tuple[str, str]]
) -> Description | None:
    """A description of these attributes, without `pairs`, that fits nothing; often it nearly fits something."""
    for _ in range(TRIES):
        thing = anything(rng)
        if scene.things and len(names) > 1 and rng.random() < 0.7:
            near, kept = rng.choice(scene.things), rng.choice(names)
            thing = replace(thing, **{kept: getattr(near, kept)})
        what = described(thing, names)
        if not what.select(scene) and (what.shape, what.color) not in pairs:
            return what
    return None


def uniquely(rng: random.Random, scene: Scene, thing: Thing, without: str = "") -> Description | None:
    """A description of `thing` alone that leaves the attribute `without` open."""
    for _ in range(TRIES):
        what = described(thing, subset_of(rng, NAMED, without))
        if len(what.select(scene)) == 1:
            return what
    return None


def noun(rng: random.Random, what: Description, plural: bool = False) -> str:
    """`large red star`, with synonyms."""
    shape = say(rng, "things" if plural else "thing") if what.shape is None else what.shape
    if plural and what.shape is not None:
        shape = PLURAL[what.shape]
    return " ".join(word for word in (what.size and say(rng, what.size), what.color, shape) if word)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two objects, what to call each, and what to note of them."""

    one: Thing
    other: Thing
    phrases: tuple[str, str]
    notes: tuple[str, str]


def two_things(rng: random.Random, scene: Scene, without: str = "") -> Pair | None:
    """Two objects, described without an attribute."""
    if len(scene.things) < 2:
        return None
    one, other = rng.sample(scene.things, 2)
    return called(rng, scene, one, other, "train", without)


def called(rng: random.Random, scene: Scene, one: Thing, other: Thing, forms: Forms, without: str = "") -> Pair | None:
    first, second = uniquely(rng, scene, one, without), uniquely(rng, scene, other, without)
    if first is None or second is None:
        return None
    phrases = the_thing(rng, first, forms), the_thing(rng, second, forms)
    return Pair(one, other, phrases, (look(scene, first), look(scene, second)))


def holds(relation: str, one: Thing, other: Thing) -> bool:
    """Whether `one` is left of, right of, above or below `other`: by columns and rows of the grid."""
    (row, column), (other_row, other_column) = divmod(one.cell, 3), divmod(other.cell, 3)
    return {
        "left": column < other_column,
        "right": column > other_column,
        "above": row < other_row,
        "below": row > other_row,
    }[relation]


def is_withheld(relation: str, one: Thing, other: Thing, withhold: Withheld) -> bool:
    return (relation, one.color, other.color) in withhold.relations


def withheld_pairs(scene: Scene, withhold: Withheld) -> list[tuple[str, Thing, Thing]]:
    pairs = itertools.permutations(scene.things, 2)
    return [(name, one, other) for one, other in pairs for name in RELATIONS if is_withheld(name, one, other, withhold)]
