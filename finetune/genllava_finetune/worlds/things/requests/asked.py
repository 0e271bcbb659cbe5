"""What a request is, and what all kinds of requests share: how the corpus says them, what is wanted of new items."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import Thing, categories, thing
from genllava_finetune.worlds.things.language import corpus
from genllava_finetune.worlds.things.language.nouns import Wanted, forms
from genllava_finetune.worlds.things.language.phrases import answers_to
from genllava_finetune.worlds.things.pictures.scene import COLOURS, PLACES, SHAPES, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.requests.arranging import Relation
from genllava_finetune.worlds.things.requests.edits import Change

_SHAPE: Final = 0.16
"""Share of the new items that are shapes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks to be drawn or changed, with what is right.

    Attributes:
        text: as a person types it.
        intent: of the corpus; of what is impossible, `impossible_` and why.
        scene: the one picture that is to come of it; of what is impossible, the scene as it was.
        change: of the scene before; None for a new picture and for what is impossible. Where the assistant asks which
            of several items is meant, these are its `items`, and the change is to be of one of them.
        wanted: the new items that are asked for, in the order in which they are named.
        relations: of a new picture: how those lie to each other.
        focus: the one item of `scene` that "it" means afterwards, if there is one.
        expected: what a grader wants to find, in the form of the test file: `{"draws": ...}`, `{"edits": [...]}`, and
            of what is impossible `{"declines": True}` or `{"asks": True}`.
        answer: what the assistant says where it draws nothing.
        background, style: of a new picture: what of these is asked for of the whole.
    """

    text: str
    intent: str
    scene: Scene
    change: Change | None = None
    wanted: tuple[Wanted, ...] = ()
    relations: tuple[Relation, ...] = ()
    focus: Item | None = None
    expected: Mapping[str, object] = field(default_factory=dict)
    answer: str = ""
    background: str | None = None
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """With what requests are made.

    Attributes:
        source: of chance.
        known: the things that may be asked for.
        scene: the picture in view; empty where there is none.
        focus: what "it" means.
        called: how `focus` is always referred to, and that requests be about it; empty: in any way.
        withhold, only_withheld: which families of sentences, as in `corpus.say`.
    """

    source: random.Random
    known: Sequence[Thing]
    scene: Scene | None = None
    focus: Item | None = None
    called: str = ""
    withhold: bool = False
    only_withheld: bool = False

    def say(self, intent: str, slots: Mapping[str, str]) -> str:
        """A sentence of the corpus."""
        return corpus.say(self.source, intent, slots, withhold=self.withhold, only_withheld=self.only_withheld)

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return self.source.random() < share

    def thing(self, but: Sequence[str] = ()) -> Thing:
        """Any known thing whose name is not among these."""
        for _ in range(20):
            found = self.known[int(self.source.random() * len(self.known))]
            if found.name not in but:
                break
        return found

    def wanted(self, but: Sequence[str] = (), *, plain: bool = False, shape: float = _SHAPE) -> Wanted:
        """Any new thing or shape, with some attributes said or none.

        Args:
            but: names that it must not have.
            plain: say as little as possible of it.
            shape: how often it is a shape; a shape always has a colour.
        """
        source, size = self.source, None
        if not plain and self.chance(0.2):
            size = source.choice(SIZES)
        shapes = [each for each in SHAPES if each not in but]
        if shapes and self.chance(shape):
            return Wanted(source.choice(shapes), size=size, colour=source.choice(COLOURS), shape=True)
        found = self.thing(but)
        style = source.choice(STYLES) if not plain and self.chance(0.18) else None
        colour = None
        if found.recolour and found.name != "star" and not plain and self.chance(0.4):  # "a red star" is the shape
            colour = source.choice([each for each in COLOURS if each != found.name])  # no "orange orange"
        return Wanted(found.name, style=style, size=size, colour=colour)

    def place(self, free: Sequence[str] = PLACES) -> str:
        """Any of these places."""
        return self.source.choice(free)


def object_of(wanted: Wanted) -> dict[str, object]:
    """A wanted item in the form of the test file: only what was asked."""
    said: dict[str, object] = {"shape" if wanted.shape else "thing": wanted.name}
    for key in ("style", "size", "colour", "place"):
        if value := getattr(wanted, key):
            said[key] = value
    if wanted.count > 1:
        said["count"] = wanted.count
    return said


def selection(item: Item) -> dict[str, object]:
    """What selects one item of a scene, in the form of the test file."""
    return {"shape" if item.style is None else "thing": item.name, "place": item.place}


def is_a(item: Item, what: str) -> bool | None:
    """Whether a category or a fact is true of an item; None where people would argue."""
    return False if item.style is None else _holds(item.name, what)


@lru_cache(maxsize=65536)
def _holds(name: str, what: str) -> bool | None:
    return thing(name).holds(what)


def single(what: str) -> str | None:
    """The word for one of a category; None where there is none."""
    said = categories().get(what, ())
    return said[0] if said else None


def confusable(wanted: Wanted, item: Item) -> bool:
    """Whether an item could be meant by one of the words for what is wanted: a poodle is a dog, a taxi a car."""
    return _confusable(wanted.name, wanted.shape, *item.kind)


@lru_cache(maxsize=65536)
def _confusable(name: str, shape: bool, other: str, other_shape: bool) -> bool:
    item = Item(other, "medium", "center", None if other_shape else "3d")
    return any(answers_to(item, word) for word in forms(name, shape).the)
