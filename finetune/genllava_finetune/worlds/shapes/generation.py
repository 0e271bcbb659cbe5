"""Requests for new pictures: what is asked, a scene that keeps to it, and the sentence that asks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal

from genllava_finetune.worlds.grammar import Forms, Intent, add_noise, fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import Look, SceneCheck, Turn, generation
from genllava_finetune.worlds.shapes.language.noun_phrases import inner, some_things
from genllava_finetune.worlds.shapes.language.requests import (
    DRAW,
    NO_SHAPES,
    NONE_OF_THEM,
    NOT,
    ON_BACKGROUND,
    RELATED,
)
from genllava_finetune.worlds.shapes.language.task_sentences import DRAW_SHORT
from genllava_finetune.worlds.shapes.language.words import PLURAL, say
from genllava_finetune.worlds.shapes.scene import (
    BACKGROUNDS,
    CELLS,
    COLORS,
    MAX_OBJECTS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    place,
)
from genllava_finetune.worlds.shapes.specification import RELATIONS, Ask, Relation, RelationName, Specification
from genllava_finetune.worlds.shapes.splits import (
    NOTHING,
    Split,
    Withheld,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    split_of,
)

HeldOut = Literal["attr_combo", "count", "relation"]
Kind = Literal["full", "placed", "partial", "count", "relation", "negation"]

_KINDS: Final[tuple[Kind, ...]] = ("full", "partial", "count", "relation", "negation")
_KIND_WEIGHTS: Final = (34, 72, 87, 97, 106)
"""Cumulative: how often each kind of request is drawn."""

_CELL_PAIRS: Final[dict[RelationName, list[tuple[int, int]]]] = {
    "left": [(0, 2), (3, 5), (6, 8)],
    "right": [(2, 0), (5, 3), (8, 6)],
    "above": [(0, 6), (1, 7), (2, 8)],
    "below": [(6, 0), (7, 1), (8, 2)],
}
"""Cells of the first and the second object, by relation: on opposite edges, so that nobody takes them for another."""


def sample_specification(rng: random.Random, kind: Kind | None = None, withhold: Withheld = NOTHING) -> Specification:
    """A random thing to ask for. Nothing in it is withheld, except perhaps its number of objects."""
    kind = kind or rng.choices(_KINDS, cum_weights=_KIND_WEIGHTS)[0]
    if kind == "placed":
        return replace(sample_specification(rng, "full", withhold), background=None)
    if kind == "relation":
        return _relation(rng, withhold)
    if kind == "negation":
        return _negation(rng, withhold)
    background = rng.choice(BACKGROUNDS) if kind == "full" or rng.random() < 0.35 else None
    if kind == "count":
        return Specification(_counted(rng, withhold), background)
    if kind == "full":
        cells = rng.sample(range(len(CELLS)), rng.choices((1, 2, 3, 4), (3, 3, 2, 2))[0])
        return Specification(tuple(Ask(_what(rng, withhold, 1, 1, 1, cell)) for cell in cells), background)
    count = rng.choices((1, 2, 3, 4), (10, 6, 2, 1))[0]
    placed = rng.random() < 0.4
    cells = rng.sample(range(len(CELLS)), count)
    asks = tuple(Ask(_what(rng, withhold, 0.85, 0.7, 0.35, cell if placed else None)) for cell in cells)
    return Specification(asks, background)


def _what(
    rng: random.Random, withhold: Withheld, shape: float, color: float, size: float, cell: int | None = None
) -> Description:
    """A description that names shape, colour and size with the given probabilities."""
    form = rng.choice(SHAPES) if rng.random() < shape else None
    shade = None
    if rng.random() < color:
        shade = rng.choice(withhold.colors(form) if form else COLORS)
    return Description(form, shade, rng.choice(SIZES) if rng.random() < size else None, cell)


def _counted(rng: random.Random, withhold: Withheld) -> tuple[Ask, ...]:
    first = rng.choices((2, 3, 4), (4, 3, 2))[0]
    asks = [Ask(_what(rng, withhold, 0.75, 0.5, 0.25), first)]
    if first < MAX_OBJECTS and rng.random() < 0.4:
        other = _what(rng, withhold, 1, 0.5, 0.2)
        if other.shape != asks[0].what.shape:
            asks.append(Ask(other, rng.randint(1, MAX_OBJECTS - first)))
            rng.shuffle(asks)
    return tuple(asks)


def _relation(rng: random.Random, withhold: Withheld, heldout: bool = False) -> Specification:
    """Two objects, one beside or above the other. In training no withheld pair of colours is named."""
    name: RelationName = rng.choice(RELATIONS)
    if heldout:
        relation, one, other = rng.choice(sorted(withhold.relations))
        name = next(known for known in RELATIONS if known == relation)
        size = 0.15
        whats = [
            replace(_what(rng, withhold, 0, 0, size), color=color, shape=rng.choice(withhold.shapes(color)))
            for color in (one, other)
        ]
    else:
        color = 0.85 if rng.random() < 0.8 else 0
        whats = [_what(rng, withhold, 1, color, 0.15), _what(rng, withhold, 1, color, 0.15)]
        if (name, whats[0].color, whats[1].color) in withhold.relations:
            whats.reverse()
    background = rng.choice(BACKGROUNDS) if rng.random() < 0.25 else None
    return Specification((Ask(whats[0]), Ask(whats[1])), background, Relation(name, 0, 1))


def _negation(rng: random.Random, withhold: Withheld) -> Specification:
    count = rng.choices((1, 2, 3, 4), (3, 3, 2, 1))[0]
    background = rng.choice(BACKGROUNDS) if rng.random() < 0.2 else None
    draw = rng.random()
    if draw < 0.7:
        what, without = _what(rng, withhold, 0.7, 0, 0.2), Description(color=rng.choice(COLORS))
    elif draw < 0.85:
        what, without = _what(rng, withhold, 0.8, 0.4, 0), Description(size=rng.choice(SIZES))
    else:
        what, without = _what(rng, withhold, 0, 0.8, 0.2), Description(shape=rng.choice(SHAPES))
        count = max(count, 2)
    return Specification((Ask(what, count),), background, without=without)


def complete(
    rng: random.Random, spec: Specification, pairs: frozenset[tuple[str, str]] = frozenset()
) -> tuple[Scene, list[int]]:
    """(A random scene that keeps to `spec`, the cells of its objects in the order in which `spec` asks for them).

    What is not named is free, without the pairs in `pairs`.
    """
    whats = [ask.what for ask in spec.asks for _ in range(ask.count)]
    taken = {what.cell for what in whats if what.cell is not None}
    free = [cell for cell in range(len(CELLS)) if cell not in taken]
    cells = rng.sample(free, len(whats))
    if spec.relation is not None:
        cells = list(rng.choice(_CELL_PAIRS[spec.relation.name]))
    cells = [cell if what.cell is None else what.cell for what, cell in zip(whats, cells, strict=True)]
    things = [_thing(rng, what, cell, spec.without, pairs) for what, cell in zip(whats, cells, strict=True)]
    return Scene(spec.background or rng.choice(BACKGROUNDS), tuple(things)), cells


def _thing(
    rng: random.Random,
    what: Description,
    cell: int,
    without: Description | None,
    pairs: frozenset[tuple[str, str]],
) -> Thing:
    for _ in range(100):
        shape = what.shape or rng.choice(SHAPES)
        color = what.color or rng.choice(COLORS)
        thing = place(rng, cell, shape, color, what.size or rng.choice(SIZES))
        if (shape, color) not in pairs and not (without is not None and without.matches(thing)):
            return thing
    raise ValueError(f"no object fits {what}")


def _wanted(heldout: HeldOut | None, withhold: Withheld) -> Callable[[Scene], bool]:
    if heldout == "attr_combo":
        return lambda scene: has_held_out_pair(scene) and not has_held_out_count(scene)
    if heldout == "count":
        return lambda scene: has_held_out_count(scene) and not has_held_out_pair(scene)
    return lambda scene: in_distribution(scene, withhold)


def _asked(
    rng: random.Random, heldout: HeldOut | None, kind: Kind | None, withhold: Withheld
) -> Specification:
    """A specification that asks for what `heldout` names."""
    if heldout == "relation":
        return _relation(rng, withhold, heldout=True)
    spec = sample_specification(rng, kind, withhold)
    if heldout == "count" and withhold.count is not None:
        count, background = withhold.count
        while spec.total != count:
            spec = sample_specification(rng, kind, withhold)
        return replace(spec, background=background)
    if heldout == "attr_combo":
        shape, color = rng.choice(sorted(withhold.pairs))
        at = rng.randrange(len(spec.asks))
        what = replace(spec.asks[at].what, shape=shape, color=color)
        asks = (*spec.asks[:at], Ask(what, spec.asks[at].count), *spec.asks[at + 1 :])
        return replace(spec, asks=asks, without=None)
    return spec


def sample_generation(
    rng: random.Random,
    split: Split,
    forms: Forms,
    heldout: HeldOut | None = None,
    kind: Kind | None = None,
    *,
    short: bool = False,
    withhold: Withheld = NOTHING,
) -> Turn:
    """A request for a new picture and a scene of `split` that keeps to it.

    Args:
        heldout: what the request must hold that training never has; None for an ordinary request.
        kind: `full` names everything, so that only one scene is right, and `placed` all but the background; random
            if None.
        short: a bare imperative, to be strung together with others.
        withhold: what training never asks for or draws; `heldout` is of it.
    """
    wanted = _wanted(heldout, withhold)
    while True:
        spec = _asked(rng, heldout, kind, withhold)
        if heldout != "count" and (spec.total, spec.background) == withhold.count:
            continue
        tries = 1 if spec.complete else 6
        pairs = frozenset[tuple[str, str]]() if heldout == "attr_combo" else withhold.pairs
        for _ in range(tries):
            target, cells = complete(rng, spec, pairs)
            if wanted(target) and split_of(target) == split:
                user, form = say_request(rng, spec, forms, short)
                check = SceneCheck(spec.holds, spec.tags)
                return Turn(user, (generation(target, cells),), check, "generate", form, looks=(Look(),))


def say_request(rng: random.Random, spec: Specification, forms: Forms, short: bool = False) -> tuple[str, str]:
    """(what a user might type to ask for `spec`, the sentence form it was built from)."""
    form = (DRAW_SHORT if short else DRAW).draw(rng, forms)
    bare = form.startswith("{") and rng.random() < 0.6
    things = _say_things(rng, spec, forms, bare)
    if spec.background is not None:
        background = say(rng, spec.background)
        if bare and rng.random() < 0.3:
            things = f"{things}, {background} background"
        else:
            things = fill(ON_BACKGROUND.draw(rng, inner(forms)), {"things": things, "background": background})
    text = fill(form, {"things": things, "picture": say(rng, "picture")})
    return (text if short else add_noise(rng, text)), form


def _say_things(rng: random.Random, spec: Specification, forms: Forms, bare: bool) -> str:
    bare = bare and spec.without is None and spec.relation is None
    alone = len(spec.asks) == 1
    lead = not bare and rng.random() < 0.15
    phrases = [some_things(rng, ask.what, ask.count, forms, bare=bare, alone=alone, lead=lead) for ask in spec.asks]
    if spec.relation is not None:
        words = {"first": phrases[0], "second": phrases[1]}
        return fill(RELATED[spec.relation.name].draw(rng, inner(forms)), words)
    if spec.without is not None:
        return _say_without(rng, spec, phrases[0], forms)
    return list_phrases(rng, phrases)


def _say_without(rng: random.Random, spec: Specification, things: str, forms: Forms) -> str:
    without = spec.without or Description()
    intent: Intent = NONE_OF_THEM if spec.total > 1 else NOT
    word = without.color or (without.size and say(rng, without.size)) or ""
    if without.shape:
        intent, word = NO_SHAPES, PLURAL[without.shape]
    return fill(intent.draw(rng, inner(forms)), {"things": things, "word": word})


def list_phrases(rng: random.Random, phrases: list[str]) -> str:
    """The phrases as one list: commas, `and`, `with`, `plus`."""
    if len(phrases) == 1:
        return phrases[0]
    draw = rng.random()
    if draw < 0.25:
        return ", ".join(phrases)
    if draw < 0.4:
        return " and ".join(phrases)
    last = rng.choice((" and ", " and ", ", and ", " plus ", " with ", " as well as ", " and also "))
    return ", ".join(phrases[:-1]) + last + phrases[-1]
