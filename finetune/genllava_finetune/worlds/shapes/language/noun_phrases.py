"""Noun phrases for objects: `a red circle`, `three large stars`, `the one at the top left`, `all circles`."""

from __future__ import annotations

import random
from typing import Final

from genllava_finetune.worlds.frames import load_frames
from genllava_finetune.worlds.grammar import Forms, fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.language.words import NUMBER, ORDINAL, PARTS, PLURAL, PREPOSITIONS, say
from genllava_finetune.worlds.shapes.scene import CELLS

_FRAMES: Final = load_frames("phrases", PARTS)
A_THING: Final = _FRAMES["phrase.a"]
A_PLAIN_THING: Final = _FRAMES["phrase.something"]
A_THING_SAID_AFTER: Final = _FRAMES["phrase.a_after"]
A_COLORED_THING: Final = _FRAMES["phrase.a_colored"]
AT_PLACE: Final = _FRAMES["phrase.at"]
PLACE_FIRST: Final = _FRAMES["phrase.place_first"]
BARE_AT_PLACE: Final = _FRAMES["phrase.bare_at"]
BARE_THING: Final = _FRAMES["phrase.bare"]
MANY: Final = _FRAMES["phrase.many"]
MANY_SAID_AFTER: Final = _FRAMES["phrase.many_after"]
THE_THING: Final = _FRAMES["phrase.the"]
THE_THING_SAID_AFTER: Final = _FRAMES["phrase.the_after"]
THE_THING_AT: Final = _FRAMES["phrase.the_at"]
THE_CORNER_THING: Final = _FRAMES["phrase.the_corner"]
IT: Final = _FRAMES["phrase.it"]
ALL_THINGS: Final = _FRAMES["phrase.all"]
EVERYTHING: Final = _FRAMES["phrase.everything"]

_CORNERS: Final = frozenset({0, 2, 4, 6, 8})


def inner(forms: Forms) -> Forms:
    """Forms of the phrases inside a sentence: those in a withheld sentence are ordinary."""
    return "train" if forms == "held_out" else forms


def place_words(rng: random.Random, cell: int) -> dict[str, str]:
    """Words for the slots `{at}` and `{position}`."""
    return {"at": rng.choice(PREPOSITIONS.get(CELLS[cell], ("at", "in"))), "position": say(rng, CELLS[cell])}


def the_picture(rng: random.Random, number: int) -> str:
    """A picture by its number: `image 2`, `the second picture`."""
    noun = say(rng, "picture")
    draw = rng.random()
    if draw < 0.4:
        return f"{noun} {number}"
    if draw < 0.5:
        return f"{noun} {rng.choice(('number ', 'no. '))}{number}"
    if draw < 0.6:
        return f"{noun} {NUMBER[number]}"
    return f"the {ORDINAL[number]} {noun}"


def _adjectives(rng: random.Random, what: Description) -> str:
    return " ".join(word for word in (what.size and say(rng, what.size), what.color) if word)


def _predicate(rng: random.Random, what: Description) -> str:
    words = [word for word in (what.size and say(rng, what.size), what.color) if word]
    if len(words) > 1 and rng.random() < 0.3:
        words.reverse()
    return " and ".join(words)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def a_thing(
    rng: random.Random,
    what: Description,
    forms: Forms,
    *,
    bare: bool = False,
    alone: bool = True,
    lead: bool = False,
) -> str:
    """One new object: `a large red circle at the top`.

    Args:
        bare: without articles.
        alone: no list of objects follows, so that commas cannot mislead.
        lead: the position comes first.
    """
    forms = inner(forms)
    adjectives = _adjectives(rng, what)
    noun = what.shape or say(rng, "thing")
    words = {"noun": noun, "np": _join(adjectives, noun), "predicate": _predicate(rng, what)}
    words |= {"sized": _join(what.size or "", noun), "color": what.color or ""}
    if bare:
        text = fill(BARE_THING.draw(rng, forms), words) if adjectives and alone else words["np"]
    elif what.shape is None and not adjectives:
        text = fill(A_PLAIN_THING.draw(rng, forms), words)
    elif what.shape is None and rng.random() < 0.5:
        text = f"something {adjectives}"
    elif adjectives and alone and rng.random() < 0.15:
        text = fill((A_THING_SAID_AFTER if what.color is None else A_COLORED_THING).draw(rng, forms), words)
    else:
        text = fill(A_THING.draw(rng, forms), words)
    if what.cell is None:
        return text
    intent = PLACE_FIRST if lead else BARE_AT_PLACE if bare else AT_PLACE
    return fill(intent.draw(rng, forms), {"thing": text} | place_words(rng, what.cell))


def some_things(
    rng: random.Random,
    what: Description,
    count: int,
    forms: Forms,
    *,
    bare: bool = False,
    alone: bool = True,
    lead: bool = False,
) -> str:
    """`count` new objects that look alike in what is named: `three red circles`. Arguments as `a_thing`'s."""
    if count == 1:
        return a_thing(rng, what, forms, bare=bare, alone=alone, lead=lead)
    adjectives = _adjectives(rng, what)
    nouns = PLURAL[what.shape] if what.shape else say(rng, "things")
    words = {"number": NUMBER[count], "digit": str(count), "nouns": nouns, "nps": _join(adjectives, nouns)}
    if adjectives and rng.random() < 0.12:
        return fill(MANY_SAID_AFTER.draw(rng, inner(forms)), words | {"predicate": _predicate(rng, what)})
    return fill(MANY.draw(rng, inner(forms)), words)


def the_thing(rng: random.Random, what: Description, forms: Forms) -> str:
    """An object that is there: `the red circle at the top`, `the one in the middle`, `it`."""
    forms = inner(forms)
    if what.empty:
        return IT.draw(rng, forms)
    adjectives = _adjectives(rng, what)
    noun = what.shape or rng.choice(("one", "one", "thing", "shape", "object"))
    words = {"noun": noun, "np": _join(adjectives, noun), "predicate": _predicate(rng, what)}
    if what.cell is not None:
        place = CELLS[what.cell] if CELLS[what.cell] != "center" else say(rng, "center")
        words |= {"place": place} | place_words(rng, what.cell)
        intent = THE_CORNER_THING if what.cell in _CORNERS else THE_THING_AT
        return fill(intent.draw(rng, forms), words)
    if adjectives and rng.random() < 0.1:
        return fill(THE_THING_SAID_AFTER.draw(rng, forms), words)
    return fill(THE_THING.draw(rng, forms), words)


def all_things(rng: random.Random, what: Description, forms: Forms) -> str:
    """All objects that fit: `all red circles`, `everything` if nothing is named."""
    adjectives = _adjectives(rng, what)
    noun, nouns = what.shape or "thing", PLURAL[what.shape] if what.shape else say(rng, "things")
    words = {"noun": noun, "nouns": nouns, "np": _join(adjectives, noun), "nps": _join(adjectives, nouns)}
    return fill((EVERYTHING if what.empty else ALL_THINGS).draw(rng, inner(forms)), words)
