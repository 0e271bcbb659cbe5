"""References: words that name one item of a scene and no other, "the cat", "the small one at the top left", "it"."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import categories, thing, things
from genllava_finetune.worlds.things.language.nouns import forms, general_words
from genllava_finetune.worlds.things.language.wording import pick, pool, read_phrases
from genllava_finetune.worlds.things.pictures.scene import PLACES, Item, Scene

_FOCUS: Final = ("it", "it", "it", "it", "it", "that", "that one", "this one")
_PLACED_SIDES: Final = {"top": "top", "bottom": "bottom", "left": "left", "right": "right"}
_GENERAL: Final = 0.12
"""How often an item is called by its category, or only "the thing"."""


def the(source: random.Random, item: Item, scene: Scene, *, focus: Item | None = None) -> str:
    """A reference to an item that no other item of the scene answers to.

    Args:
        focus: the item that was spoken of last: it may be called "it".
    """
    if focus is not None and focus == item and source.random() < 0.5:
        return _FOCUS[int(source.random() * len(_FOCUS))]
    others = [other for other in scene.items if other.place != item.place]
    if item.kind == ("star", True) and source.random() < 0.4:
        star = _by_colour(source, item, "star", [other for other in others if answers_to(other, "star")])
        if star:
            return star  # "the red star": with its colour it can only be the shape
    noun, called = _general(source, item) if source.random() < _GENERAL else _named(source, item)
    alike = [other for other in others if called(other)]
    if not alike and noun != "one" and source.random() < (0.6 if item.style is None else 0.87):
        return f"the {noun}"
    ways = list(_WAYS)
    while ways:
        told = ways.pop(int(source.random() * len(ways)))(source, item, noun, alike)
        if told:
            return told
    return f"the {noun} {_exactly(source, item.place)}"


def colour_of(item: Item) -> str | None:
    """The colour that people see in an item, where all would say the same."""
    if item.colour or item.style is None:
        return item.colour
    return thing(item.name).colour_in(item.style)


def answers_to(item: Item, word: str) -> bool:
    """Whether somebody could mean an item with a word for a thing, a shape or a kind; in doubt they could."""
    return item.kind in _covered(word)


def _named(source: random.Random, item: Item) -> tuple[str, Callable[[Item], bool]]:
    """A name of an item, and whether another could be called the same."""
    listed = forms(item.name, item.style is None).the
    noun = listed[0] if len(listed) < 2 or source.random() < 0.75 else listed[int(source.random() * len(listed))]
    covered = _covered(noun)
    written = read_phrases()["written"].get(noun)
    return (written if written and source.random() < 0.5 else noun), lambda other: other.kind in covered


def _general(source: random.Random, item: Item) -> tuple[str, Callable[[Item], bool]]:
    """A general word for an item, and whether another could be called the same."""
    names = _general_names(item.name, item.style is None)
    name = names[int(source.random() * len(names))]
    if name == "thing" and source.random() < 0.4:
        return "one", lambda other: True
    pairs = general_words(name)
    return pairs[int(source.random() * len(pairs))][0], lambda other: _could_be(other.kind, name)


@lru_cache(maxsize=1024)
def _general_names(name: str, shape: bool) -> tuple[str, ...]:
    if shape:
        return ("shape", "shape", "thing")
    known = thing(name)
    kinds = [each for each in (*read_phrases()["kinds"], *categories()) if general_words(each) and known.holds(each)]
    return ("thing", *kinds, *kinds)


@lru_cache(maxsize=65536)
def _could_be(kind: tuple[str, bool], general: str) -> bool:
    """Whether a general word could be used of an item; where people would argue, it could."""
    name, shape = kind
    if general == "thing":
        return True
    if shape or general == "shape":
        return shape and general == "shape"
    return thing(name).holds(general) is not False


@lru_cache(maxsize=4096)
def _covered(word: str) -> frozenset[tuple[str, bool]]:
    """What a word for a thing could also mean: "car" a police car, "star" the star of the sky and the shape."""
    extra = read_phrases()["covers"].get(word, ())
    kinds = read_phrases()["kinds"]
    found = {(name, False) for name in extra}
    for each in things():
        all_words = {each.name, *each.synonyms, *forms(each.name).the}
        if word in all_words or any(other.endswith((f" {word}", f"-{word}")) for other in all_words):
            found.add((each.name, False))
        if word in kinds and each.holds(word) is not False:
            found.add((each.name, False))
    for shape in read_phrases()["shapes"]:
        if word in {shape, *pool("shapes", shape)}:
            found.add((shape, True))
    return frozenset(found)


def _by_size(source: random.Random, item: Item, noun: str, alike: list[Item]) -> str | None:
    sizes = ("small", "medium", "large")
    ranks = [sizes.index(other.size) for other in alike]
    own = sizes.index(item.size)
    if alike and source.random() < 0.3:  # "the bigger cat"
        if all(own > rank for rank in ranks):
            return f"the {pick(source, 'bigger' if len(alike) == 1 else 'biggest')} {noun}"
        if all(own < rank for rank in ranks):
            return f"the {pick(source, 'smaller' if len(alike) == 1 else 'smallest')} {noun}"
    return None if own in ranks else f"the {pick(source, 'sizes', item.size)} {noun}"


def _by_colour(source: random.Random, item: Item, noun: str, alike: list[Item]) -> str | None:
    colour = colour_of(item)
    if colour is None or (item.name == "star" and item.style is not None):  # "the yellow star" would be the shape
        return None
    if any(colour_of(other) in (None, colour) for other in alike):
        return None
    return f"the {pick(source, 'colours', colour)} {noun}"


def _by_style(source: random.Random, item: Item, noun: str, alike: list[Item]) -> str | None:
    if item.style is None or any(other.style == item.style for other in alike):
        return None
    if source.random() < 0.2:
        return f"the {noun} {pick(source, 'style_phrases', item.style)}"
    return f"the {pick(source, 'style_adjectives', item.style)} {noun}"


def _by_place(source: random.Random, item: Item, noun: str, alike: list[Item]) -> str | None:
    """ "the cat at the top": said of the top row or of its middle, so no other may be in either."""
    row, column = divmod(PLACES.index(item.place), 3)
    rows, columns = zip(*(divmod(PLACES.index(other.place), 3) for other in alike), strict=True) if alike else ((), ())
    if item.place in _PLACED_SIDES:
        taken = row in rows if item.place in ("top", "bottom") else column in columns
        if taken:
            return f"the {noun} {_exactly(source, item.place)}"
    if source.random() < 0.5:
        return f"the {noun} {pick(source, 'places', item.place)}"
    side = _side(source, row, column, list(rows), list(columns))
    return f"the {side} {noun}" if side else f"the {noun} {pick(source, 'places', item.place)}"


def _side(source: random.Random, row: int, column: int, rows: list[int], columns: list[int]) -> str | None:
    """ "left", "upper": what tells an item from others by the side on which it is."""
    possible = list[str]()
    if rows:
        possible += ["left"] if column < min(columns) else ["right"] if column > max(columns) else []
        possible += ["up"] if row < min(rows) else ["down"] if row > max(rows) else []
    if not possible:
        return None
    side = possible[int(source.random() * len(possible))]
    return pick(source, "sides", side, "two" if len(rows) == 1 and source.random() < 0.8 else "any")


def _exactly(source: random.Random, place: str) -> str:
    return pick(source, "exact" if place in _PLACED_SIDES else "places", place)


_WAYS: Final = (_by_size, _by_colour, _by_style, _by_place)
