"""What fills the slots of the sentence frames: things, places, directions, relations, backgrounds, facts.

Every function picks one of the ways in which people say something (phrases.yaml) with the random numbers of `source`.
"""

from __future__ import annotations

import random
from typing import Final

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.language.agreement import is_plural
from genllava_finetune.worlds.things.language.describing import answers_to, colour_of, the
from genllava_finetune.worlds.things.language.nouns import Wanted, bare, new, new_list, plural, wanted_of
from genllava_finetune.worlds.things.language.wording import pick, pool, read_phrases, with_article

__all__ = [
    "ASKED_FACTS", "KINDS", "Wanted", "answers_to", "attribute", "background", "bare", "bare_place", "category",
    "colour", "colour_of", "direction", "does", "extreme", "fact_question", "fact_thing", "is_plural", "kinds",
    "new", "new_list", "number", "on", "picture", "place", "plural", "relation", "size", "style", "style_phrase",
    "the", "wanted_of", "with_article",
]  # fmt: skip

ASKED_FACTS: Final = tuple(read_phrases()["facts"])
"""The facts that people can ask about: those with words."""
KINDS: Final = tuple(read_phrases()["kinds"])
"""The facts that have a noun: "bird". `Wanted.name` may be one of them."""


def place(source: random.Random, value: str) -> str:
    """A place with its preposition: "at the top left"."""
    return pick(source, "places", value)


def bare_place(source: random.Random, value: str) -> str:
    """A place without preposition: "top left"."""
    return pick(source, "bare_places", value)


def direction(source: random.Random, value: str) -> str:
    """`left`, `right`, `up` or `down`, as where to move something: "to the left"."""
    return pick(source, "directions", value)


def relation(source: random.Random, value: str) -> str:
    """`left of`, `right of`, `above`, `below`, `next to` or `between`, as it stands before a thing."""
    return pick(source, "relations", value)


def style(source: random.Random, value: str) -> str:
    """A style as an adjective: "3D"."""
    return pick(source, "style_adjectives", value)


def style_phrase(source: random.Random, value: str) -> str:
    """A style as it stands after a thing: "in 3D", "as a cartoon"."""
    return pick(source, "style_phrases", value)


def size(source: random.Random, value: str) -> str:
    """A size as an adjective."""
    return pick(source, "sizes", value)


def colour(source: random.Random, value: str) -> str:
    """A colour."""
    return pick(source, "colours", value)


def background(source: random.Random, value: str) -> str:
    """A background by itself: "a meadow", "white"."""
    return pick(source, "backgrounds", value, "noun")


def on(source: random.Random, value: str) -> str:
    """A background with its preposition: "on a meadow", "at night"."""
    return pick(source, "backgrounds", value, "on")


def number(source: random.Random, value: int) -> str:
    """A number as word or digit."""
    words = pool("numbers")
    return words[value] if 0 <= value < len(words) and source.random() < 0.75 else str(value)


def picture(source: random.Random, number: int, count: int) -> str:
    """A picture of a chat, counted from 1, where the chat has `count` of them."""
    if number == count and count > 1 and source.random() < 0.4:
        return pick(source, "pictures", "last")
    if number == count - 1 and source.random() < 0.35:
        return pick(source, "pictures", "before")
    if number == 1 and source.random() < 0.3:
        return pick(source, "pictures", "first")
    ordinals = pool("ordinals")
    nth = ordinals[number - 1] if number <= len(ordinals) else f"{number}th"
    return pick(source, "pictures", "nth").format(nth=nth, n=number)


def category(source: random.Random, name: str) -> str:
    """A category or kind with its article: "an animal"."""
    return new(source, Wanted(name))


def kinds(source: random.Random, name: str, count: int | None = None) -> str:
    """Things of a category or a kind, which ones being left open: "two animals", "a fruit", "some vehicles".

    Args:
        count: how many; None is left open too, and is more than one.
    """
    if count is not None:
        return new(source, Wanted(name, count=count))
    return f"{pick(source, 'some')} {plural(source, Wanted(name))}"


def attribute(source: random.Random, value: str) -> str:
    """`style`, `size` or `colour`: the word for it."""
    return pick(source, "attributes", value)


def extreme(source: random.Random, value: str) -> str:
    """What lies furthest to the `left`, `right`, `up` or `down`: "leftmost"."""
    return pick(source, "extremes", value)


def fact_thing(source: random.Random, fact: str) -> str:
    """Something of which a fact is true: "something to eat".

    Raises:
        InvalidRequest: there are no words for the fact.
    """
    return _fact(source, fact, "thing")


def does(source: random.Random, fact: str) -> str:
    """A fact as what one thing does: "can fly", "has wheels".

    Raises:
        InvalidRequest: there are no words for the fact.
    """
    return _fact(source, fact, "does")


def fact_question(source: random.Random, fact: str, the: str, *, many: bool | None = None) -> str:
    """Whether a fact is true of a thing, as a question without its mark: "can the bird fly".

    Args:
        the: the words for the thing.
        many: whether they are a plural, "are the glasses ..."; None if the words are to tell.

    Raises:
        InvalidRequest: there are no words for the fact.
    """
    many = is_plural(the) if many is None else many
    words = {"be": "are", "do": "do", "have": "have"} if many else {"be": "is", "do": "does", "have": "has"}
    return _fact(source, fact, "question").format(the=the, **words)


def _fact(source: random.Random, fact: str, how: str) -> str:
    if fact not in ASKED_FACTS:
        raise InvalidRequest(f"there are no words for a fact {fact!r}: choose from {', '.join(ASKED_FACTS)}")
    return pick(source, "facts", fact, how)
