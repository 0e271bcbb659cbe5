"""What new things are called: "a small 3D cat at the top left", "two red circles", "some jeans"."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import categories, thing, words
from genllava_finetune.worlds.things.language.wording import article, many_of, pick, pool, read_phrases
from genllava_finetune.worlds.things.pictures.scene import SHAPES, Item

_SYNONYM: Final = 0.25
"""How often another word than the plain one is used."""
_WRITTEN: Final = 0.5
"""How often a name is written with its capitals."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a new thing; None is left open.

    Attributes:
        name: of a thing or a shape, or a general word: a category, one of `KINDS`, "thing", "shape".
        style, size, colour, place: as in a scene.
        shape: whether it is a shape: the star in the sky is a thing, the star with five points a shape.
        count: how many.
    """

    name: str
    style: str | None = None
    size: str | None = None
    colour: str | None = None
    place: str | None = None
    shape: bool = False
    count: int = 1


def wanted_of(item: Item, *said: str) -> Wanted:
    """What is asked of an item, where only some of `style`, `size`, `colour` and `place` are said."""
    kept = {name: getattr(item, name) for name in ("style", "size", "colour", "place") if name in said}
    return Wanted(item.name, shape=item.style is None, **kept)


@dataclass(frozen=True, slots=True)
class Forms:
    """The words for a thing. In each tuple the plainest stands first.

    Attributes:
        one: after `a`: cat, kitten; pair of glasses, loaf of bread.
        several: after `two`: cats, pairs of glasses.
        some: after `some` or nothing, of one thing: glasses, bread.
        the: after `the`, of one thing.
        any: plurals without a number: cats, glasses.
        definite: whether even a new one is `the`: the sun.
    """

    one: tuple[str, ...]
    several: tuple[str, ...]
    some: tuple[str, ...]
    the: tuple[str, ...]
    any: tuple[str, ...]
    definite: bool = False


@lru_cache(maxsize=2048)
def forms(name: str, shape: bool = False) -> Forms:
    """The words for a thing, a shape or what a general word stands for.

    Raises:
        InvalidRequest: there is nothing of that name.
    """
    if shape and name in SHAPES:
        one = pool("shapes", name)
        return _plain(one, tuple(many_of(word) for word in one))
    if name in words() and words()[name].name == name:
        return _thing_forms(name)
    pairs = general_words(name)
    if not pairs:
        raise InvalidRequest(f"there is nothing called {name!r}")
    return _plain(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


@lru_cache(maxsize=256)
def general_words(name: str) -> tuple[tuple[str, str], ...]:
    """The words, one and many, for a category, a fact or another general word; empty where there are none."""
    phrases = read_phrases()
    found = [tuple(pair) for pair in phrases["general"].get(name, ())]
    if categories().get(name):
        found += [categories()[name]] * 3 + [tuple(pair) for pair in phrases["more_categories"].get(name, ())]
    if name in phrases["kinds"]:
        found.append(tuple(phrases["kinds"][name]))
    return tuple((pair[0], pair[1]) for pair in found)


def _plain(one: tuple[str, ...], several: tuple[str, ...]) -> Forms:
    return Forms(one, several, (), one, several)


def _thing_forms(name: str) -> Forms:
    known, phrases = thing(name), read_phrases()
    plurals, mass, odd = (frozenset(phrases[key]) for key in ("plural_words", "mass_words", "odd_words"))
    named = [word for word in known.synonyms if word not in odd]
    countable = tuple(word for word in named if word not in plurals | mass)
    more = tuple(word for word in named if word in plurals)
    massive = tuple(word for word in named if word in mass)
    held = known.article.endswith(" of")  # a pair of glasses, a loaf of bread
    if not held:
        one = (known.name, *countable)
        several = (known.plural, *(many_of(word) for word in countable), *more)
        return Forms(one, several, (), (*one, *massive), several, known.article == "the")
    container = f"{known.article.split(' ', 1)[1]} {known.name}"
    one = (container, *(word for word in countable if word != container))
    some = (known.name, *(more if known.many else massive))
    several = (known.plural,)
    return Forms(one, several, some, (*some, *one), (*some, *several) if known.many else several)


def _one_of(source: random.Random, words_of: Sequence[str]) -> str:
    word = words_of[0]
    if len(words_of) > 1 and source.random() < _SYNONYM:
        word = words_of[int(source.random() * len(words_of))]
    return _cased(source, word)


def _cased(source: random.Random, word: str) -> str:
    written = read_phrases()["written"].get(word)
    return written if written and source.random() < _WRITTEN else word


def _attributes(source: random.Random, wanted: Wanted, last: float = 0.3) -> tuple[list[str], str]:
    """The words before the name, and those after it; `last` is how often the style is said last."""
    before, after = list[str](), ""
    if wanted.size:
        before.append(pick(source, "sizes", wanted.size))
    if wanted.colour:
        before.append(pick(source, "colours", wanted.colour))
    if wanted.style:
        if source.random() < last:
            after = f" {pick(source, 'style_phrases', wanted.style)}"
        else:
            before.append(pick(source, "style_adjectives", wanted.style))
    if len(before) > 1 and source.random() < 0.12:
        before.reverse()
    return before, after


def _placed(source: random.Random, words_of: str, place: str | None) -> str:
    return f"{words_of} {pick(source, 'places', place)}" if place else words_of


def _found(wanted: Wanted) -> Forms:
    found = forms(wanted.name, wanted.shape)
    if wanted.shape and wanted.name == "star" and wanted.colour:
        return _plain(("star", *found.one), ("stars", *found.several))  # with a colour it can only be the shape
    return found


def new(source: random.Random, wanted: Wanted) -> str:
    """A new thing, with its article: "a small 3D cat at the top left", "two red circles", "some jeans"."""
    found, (before, after) = _found(wanted), _attributes(source, wanted)
    if wanted.count != 1:
        first = _several(source, wanted.count, found)
        body = " ".join([first, *before, _one_of(source, found.several)])
    elif found.some and source.random() < 0.5:
        body = " ".join([*before, _one_of(source, found.some)])
        if source.random() < 0.6:
            body = f"some {body}"
    else:
        body = " ".join([*before, _one_of(source, found.one)])
        first = "the" if found.definite and not before and source.random() < 0.85 else article(body)
        body = f"{first} {body}"
    return _placed(source, body + after, wanted.place)


def _several(source: random.Random, count: int, found: Forms) -> str:
    if count == 2 and source.random() < 0.08 and not found.some:
        return "a couple of"
    return str(count) if source.random() < 0.25 else pool("numbers")[count] if count <= 10 else str(count)


def bare(source: random.Random, wanted: Wanted) -> str:
    """The same without article: "small 3D cat at the top left"."""
    found, (before, after) = _found(wanted), _attributes(source, wanted)
    listed = found.several if wanted.count != 1 else found.the
    return _placed(source, " ".join([*before, _one_of(source, listed)]) + after, wanted.place)


def plural(source: random.Random, wanted: Wanted) -> str:
    """All of a kind, without article: "cats", "red things", "3D animals"."""
    found, (before, after) = _found(wanted), _attributes(source, wanted, last=0.12)
    return _placed(source, " ".join([*before, _one_of(source, found.any)]) + after, wanted.place)


def _in_list(source: random.Random, wanted: Wanted) -> str:
    if wanted.place is None or source.random() >= 0.12:
        return new(source, wanted)
    placeless = new(source, replace(wanted, place=None))
    if source.random() < 0.5:
        return f"{pick(source, 'places', wanted.place)} {placeless}"
    return f"{placeless} ({pick(source, 'bare_places', wanted.place)})"


def new_list(source: random.Random, wanteds: Sequence[Wanted]) -> str:
    """Several new things, joined as people do: "a cat, a dog and two red circles"."""
    listed = [_in_list(source, each) for each in wanteds]
    if len(listed) < 2:
        return "".join(listed)
    how = source.random()
    if how < 0.06:
        return " + ".join(listed)
    if how < 0.14:
        return ", ".join(listed)
    if how < 0.22 and len(listed) == 2:
        return f"{listed[0]} {'with' if source.random() < 0.5 else 'together with'} {listed[1]}"
    if how < 0.27:
        return f"{', '.join(listed[:-1])} plus {listed[-1]}"
    if how < 0.33:
        return " and ".join(listed)
    if how < 0.37 and len(listed) == 2:
        return f"both {listed[0]} and {listed[1]}"
    if how < 0.42:
        return f"{', '.join(listed[:-1])} & {listed[-1]}"
    if how < 0.52 and len(listed) > 2:
        return f"{', '.join(listed[:-1])}, and {listed[-1]}"
    if how < 0.58:
        return f"{', '.join(listed[:-1])} and also {listed[-1]}"
    return f"{', '.join(listed[:-1])} and {listed[-1]}"
