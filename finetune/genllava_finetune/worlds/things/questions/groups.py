"""Groups of items that are asked for together: all cats, small animals, red things, what has wheels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from genllava_finetune.worlds.things.knowledge.things import categories, thing
from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.language.nouns import forms
from genllava_finetune.worlds.things.language.wording import with_article
from genllava_finetune.worlds.things.pictures.scene import COLOURS, SHAPES, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.questions.parts import Asking, fact_of, may_mean, words

Kind = Literal["thing", "shape", "category", "fact", "shapes", "every"]
_SCENE_FIRST: Final = 0.6
"""Share of the groups that are made from an item of the scene."""
_COUNT_WEIGHTS: Final = (1.0, 1.0, 1.6, 2.6, 5.0, 8.0)
"""How eagerly a group of so many members is asked for: groups of many are rare."""


@dataclass(frozen=True, slots=True)
class Group:
    """All items of a kind, perhaps of one style, size or colour only.

    Attributes:
        kind: a thing or a shape by its name, a category, a fact that is true of it, any shape, or everything.
        name: of the thing, shape, category or fact.
        style, size, colour: what the items must have; None where any will do.
    """

    kind: Kind
    name: str = ""
    style: str | None = None
    size: str | None = None
    colour: str | None = None

    @property
    def bare(self) -> bool:
        """Whether no style, size or colour is asked for."""
        return self.style is None and self.size is None and self.colour is None

    def holds(self, item: Item) -> bool | None:
        """Whether an item is in the group; None where that is open to argument."""
        found = self._is_kind(item)
        if found is False or (self.size is not None and item.size != self.size):
            return False
        if self.style is not None and item.style != self.style:
            if item.style is not None or self.style != "flat":
                return False
            found = None  # shapes have no style, but look flat
        if self.colour is not None:
            colour = phrases.colour_of(item)
            if colour is not None and colour != self.colour:
                return False
            found = None if colour is None else found
        return found

    def _is_kind(self, item: Item) -> bool | None:
        if self.kind in ("thing", "shape"):
            return may_mean(self.name, self.kind == "shape", item)
        if self.kind in ("category", "fact"):
            return fact_of(item, self.name)
        return self.kind == "every" or item.style is None

    def members(self, scene: Scene) -> tuple[Item, ...] | None:
        """Its items in a scene; None where it is open to argument which they are."""
        found: list[Item] = []
        for item in scene.items:
            held = self.holds(item)
            if held is None:
                return None
            if held:
                found.append(item)
        return tuple(found)

    def wanted(self) -> phrases.Wanted:
        """The same for `phrases`, but for facts."""
        name = {"every": "thing", "shapes": "shape"}.get(self.kind, self.name)
        return phrases.Wanted(name, self.style, self.size, self.colour, shape=self.kind == "shape")

    @property
    def plainly(self) -> str:
        """The plainest words for all of the group: "cats"."""
        adjectives = filter(None, (self.size, self.colour, self.style and answers.say_style(self.style)))
        if self.kind == "fact":
            noun = words()["nouns"][self.name]["many"][0]
        elif self.kind == "thing":
            noun = thing(self.name).plural
        else:
            noun = forms(self.wanted().name, self.kind == "shape").several[0]
        return " ".join([*adjectives, noun])

    def many(self, asking: Asking) -> str:
        """Words for all of the group without an article: "small animals"."""
        if self.kind != "fact":
            return phrases.plural(asking.source, self.wanted())
        return " ".join([*self._adjectives(asking), asking.source.choice(words()["nouns"][self.name]["many"])])

    def one(self, asking: Asking) -> str:
        """Words for one of the group with an article: "a small animal"."""
        if self.kind != "fact":
            return phrases.new(asking.source, self.wanted())
        noun: str = asking.source.choice(words()["nouns"][self.name]["one"])
        adjectives = self._adjectives(asking)
        if not adjectives:
            return noun
        return with_article(" ".join([*adjectives, noun.split(" ", 1)[1]]))

    def _adjectives(self, asking: Asking) -> list[str]:
        found = []
        if self.size is not None:
            found.append(phrases.size(asking.source, self.size))
        if self.colour is not None:
            found.append(phrases.colour(asking.source, self.colour))
        if self.style is not None:
            found.append(phrases.style(asking.source, self.style))
        return found


def nouns() -> tuple[str, ...]:
    """The facts with a noun: mammals, fruits."""
    return tuple(words()["nouns"])


def asked_categories() -> tuple[str, ...]:
    """The categories with words."""
    return tuple(name for name, found in categories().items() if found)


def random_group(asking: Asking, *, countable: bool = True) -> Group:
    """A random group, of things of the scene or of others.

    Args:
        countable: things at large, and shapes at large, may be asked for.
    """
    source = asking.source
    model = asking.item() if asking.chance(_SCENE_FIRST) else None
    pick = source.random()
    if pick < 0.45:
        kind, name = named(asking, model)
    elif pick < 0.67:
        kind, name = "category", _category(asking, model)
    elif pick < 0.83:
        kind, name = "fact", _noun_fact(asking, model)
    elif not countable or pick < 0.88:
        kind, name = "shapes", ""
    else:
        kind, name = "every", ""
    if kind == "every" or asking.chance(0.3):
        return with_attributes(asking, kind, name, model)
    return Group(kind, name)


def named(asking: Asking, model: Item | None = None) -> tuple[Kind, str]:
    """A thing or a shape by its name: that of an item, or any other one, often of the same category as an item."""
    source = asking.source
    if model is not None:
        return ("shape" if model.style is None else "thing"), model.name
    if asking.chance(0.15):
        return "shape", source.choice(SHAPES)
    like = asking.item() if asking.chance(0.4) else None
    if like is None or like.style is None:
        return "thing", source.choice(asking.known).name
    category = thing(like.name).category
    found = source.choice(asking.known)
    for _ in range(6):
        if found.category == category and found.name != like.name:
            break
        found = source.choice(asking.known)
    return "thing", found.name


def with_attributes(asking: Asking, kind: Kind, name: str, model: Item | None) -> Group:
    """A group with one attribute or, now and then, two: those of an item, or any."""
    source = asking.source
    style = size = colour = None
    attributes = source.sample(("style", "size", "colour"), 2 if asking.chance(0.15) else 1)
    for attribute in attributes:
        like = model or (asking.item() if asking.chance(0.4) else None)
        if attribute == "style" and kind not in ("shape", "shapes"):
            style = (like.style if like else None) or source.choice(STYLES)
        elif attribute == "size":
            size = like.size if like else source.choice(SIZES)
        else:
            colour = (phrases.colour_of(like) if like else None) or source.choice(COLOURS)
    if colour is not None and kind == "thing" and not thing(name).colours:
        colour, size = None, source.choice(SIZES)
    return Group(kind, name, style, size, colour)


def _category(asking: Asking, model: Item | None) -> str:
    if model is not None and model.style is not None and (category := thing(model.name).category) in asked_categories():
        return category
    return asking.source.choice(asked_categories())


def _noun_fact(asking: Asking, model: Item | None) -> str:
    if model is not None and model.style is not None:
        held = [fact for fact in nouns() if fact in thing(model.name).facts]
        if held:
            return asking.source.choice(held)
    return asking.source.choice(nouns())


def group_with(asking: Asking, filled: bool, *, tries: int = 8, kinds: Sequence[Kind] | None = None) -> Group | None:
    """A random group that has members in the scene, or has none; None if no such group came up.

    Args:
        kinds: those that are allowed.
    """
    for _ in range(tries):
        group = random_group(asking, countable=False)
        if kinds is not None and group.kind not in kinds:
            kind, name = named(asking, asking.item() if filled or asking.chance(0.3) else None)
            group = with_attributes(asking, kind, name, asking.item()) if asking.chance(0.4) else Group(kind, name)
        members = group.members(asking.scene)
        if members is not None and bool(members) == filled:
            return group
    return None


def group_to_count(asking: Asking) -> tuple[Group, tuple[Item, ...]] | None:
    """A group and its members; how many they are is spread over what the scene allows."""
    found: dict[int, tuple[Group, tuple[Item, ...]]] = {}
    for _ in range(10):
        group = random_group(asking)
        members = group.members(asking.scene)
        if members is not None:
            found.setdefault(len(members), (group, members))
    if not found:
        return None
    counts = sorted(found)
    return found[asking.source.choices(counts, [_COUNT_WEIGHTS[count] for count in counts])[0]]


def held_facts(item: Item) -> frozenset[str]:
    """The facts that are true of an item."""
    return thing(item.name).facts if item.style is not None else frozenset[str]()
