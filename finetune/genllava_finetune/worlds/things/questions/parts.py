"""What all kinds of questions share: what a question is, how it refers to items, and how answers name them.

The makers of questions (`questions_*.py`) take an `Asking` and give a `Draft`, or None where the scene does not lend
itself to the question; `asking.py` has the corpus say it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from genllava_finetune.worlds.things.knowledge.things import Thing, categories, thing, things
from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.language.nouns import forms, general_words
from genllava_finetune.worlds.things.language.wording import joined, read_phrases
from genllava_finetune.worlds.things.pictures.scene import SHAPES, Item, Scene

DENIALS: Final = ("no", "not", "none", "nothing", "isn't", "aren't", "don't")
"""One of these words is in every answer to a question about what is not there."""
FALSE_PREMISE: Final = 0.052
"""So many tries at a question that names a thing name one that is not there: some 8% of what comes of them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a picture, with what is right.

    Attributes:
        text: as a person types it.
        answer: what the assistant says.
        intent: of the corpus.
        subject: the one item it is about, where there is one: what "it" means afterwards.
        expected: what a grader wants to find in an answer, as in the test file: `{"number": 2}`, `{"yes": True}`,
            `{"names": ["cat"]}`, `{"place": "top left"}`, `{"any_of": ["animal"]}` and so on.
        slots: what the frame of the corpus was filled with.
    """

    text: str
    answer: str
    intent: str
    subject: Item | None
    expected: Mapping[str, object]
    slots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that is not yet put into words; see `Question`."""

    slots: Mapping[str, str]
    answer: str
    expected: Mapping[str, object]
    subject: Item | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What a question is made from: a source of chance, the scene, and the things that may be asked for."""

    source: random.Random
    scene: Scene
    known: Sequence[Thing]

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return self.source.random() < share

    def false_premise(self) -> bool:
        """Whether to ask about a thing that is not there."""
        return self.chance(FALSE_PREMISE)

    def item(self, items: Sequence[Item] | None = None) -> Item | None:
        """Any item of the scene, or of these; None if there is none."""
        found = self.scene.items if items is None else items
        return self.source.choice(found) if found else None

    def pair(self) -> tuple[Item, Item] | None:
        """Two items in random order; None if there are fewer."""
        if len(self.scene.items) < 2:
            return None
        first, second = self.source.sample(self.scene.items, 2)
        return first, second


@lru_cache(maxsize=1)
def words() -> Mapping[str, Any]:
    """The words of words.yaml."""
    import yaml

    text = Path(__file__).with_name("words.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def may_mean(name: str, shape: bool, item: Item) -> bool | None:
    """Whether an item goes by the name of a thing or a shape; None where some people would say so: a poodle, a dog."""
    if item.kind == (name, shape):
        return True
    return None if item.kind in _confused(name, shape) else False


@lru_cache(maxsize=512)
def _confused(name: str, shape: bool) -> frozenset[tuple[str, bool]]:
    """What the words for a thing or a shape could also be said of."""
    found = {(other, False) for other in words()["close"].get(name, ())} if not shape else set[tuple[str, bool]]()
    said = forms(name, shape)
    named = frozenset((*said.one, *said.the, name))
    possible = [(each.name, False) for each in things()] + [(each, True) for each in SHAPES]
    for kind in possible:
        item = Item(kind[0], "small", "top", None if kind[1] else "flat")
        if any(phrases.answers_to(item, word) for word in named):
            found.add(kind)
    return frozenset(found)


def fact_of(item: Item, what: str) -> bool | None:
    """Whether a fact or a category is true of an item; None where people would argue."""
    if item.style is not None:
        return thing(item.name).holds(what)
    return None if item.name == "star" and what in ("seen_in_sky", "gives_light", "sky") else False


def refer(asking: Asking, item: Item, hidden: str = "") -> str | None:
    """Words that mean this item alone; None if none were found that keep quiet about what is asked.

    Args:
        hidden: place, style, size, colour or category: what the words must not tell.
    """
    for _ in range(3):
        text = phrases.the(asking.source, item, asking.scene)
        if not hidden or _telling(hidden).isdisjoint(text.lower().replace("-", " ").split()):
            return text
    return None


@lru_cache(maxsize=8)
def _telling(hidden: str) -> frozenset[str]:
    """Words that say something of a place, style, size, colour or category."""
    if hidden == "category":
        names = (*categories(), *phrases.KINDS, "thing", "shape")
        told = [pair[0] for name in names for pair in general_words(name)]
    elif hidden in ("size", "colour"):
        groups = ("sizes",) if hidden == "size" else ("colours",)
        told = [word for group in groups for found in read_phrases()[group].values() for word in found]
        told += [word for group in ("bigger", "smaller", "biggest", "smallest") for word in read_phrases()[group]]
    else:
        told = words()["telling"][hidden]
    return frozenset(word for phrase in told for word in phrase.lower().replace("-", " ").split())


def absent(asking: Asking) -> tuple[str, str] | None:
    """A thing that is not there, "the cat", and the answer that says so; None if none was found."""
    source, scene = asking.source, asking.scene
    for _ in range(4):
        found = source.choice(asking.known)
        if any(may_mean(found.name, False, item) is not False for item in scene.items):
            continue
        wanted = phrases.Wanted(found.name)
        return f"the {phrases.bare(source, wanted)}", f"There {'are' if found.many else 'is'} no {found.name}."
    return None


def listed(items: Iterable[Item]) -> str:
    """Items as answers name them: "a cat, a red circle and two dogs"; "nothing" if there are none."""
    return answers.say_list(items)


def counted(items: Sequence[Item]) -> str:
    """Items named, then counted: "a cat and a dog: two"."""
    return f"{listed(items)}: {answers.say_number(len(items))}" if items else "none"


def the_items(items: Sequence[Item], scene: Scene) -> str:
    """Items as answers name known ones: "the cat and the dog"."""
    return joined(answers.say_the(item, scene) for item in items)


def are(item: Item) -> str:
    """What stands after it: "is", or "are" for glasses and the like."""
    return "are" if answers.is_many(item) else "is"


def names(items: Iterable[Item]) -> dict[str, object]:
    """What a grader expects where these items are to be named."""
    return {"names": list(dict.fromkeys(item.name for item in items))}


def only(items: Sequence[Item]) -> Item | None:
    """The item of a list of one."""
    return items[0] if len(items) == 1 else None
