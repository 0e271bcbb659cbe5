"""Questions about a picture, by family, with the answer that is true of its scene."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from genllava_finetune.worlds.grammar import Forms, Intent, add_noise, fill
from genllava_finetune.worlds.shapes import answers
from genllava_finetune.worlds.shapes.answers import is_right as is_right
from genllava_finetune.worlds.shapes.answers import normalize_answer as normalize_answer
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import AnswerCheck, Look, Turn, answer
from genllava_finetune.worlds.shapes.language import questions
from genllava_finetune.worlds.shapes.language.back_references import FOLLOW_UP, IT
from genllava_finetune.worlds.shapes.language.noun_phrases import the_picture, the_thing
from genllava_finetune.worlds.shapes.language.words import NUMBER, PLURAL, say
from genllava_finetune.worlds.shapes.notes import listed, look, side_by_side, values
from genllava_finetune.worlds.shapes.scene import CELLS, COLORS, SHAPES, SIZES, Scene, Thing
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld

WEIGHTS: Final = {
    "count": 15, "exist": 8, "color_of": 8, "shape_of": 7, "size_of": 7, "where_is": 9, "relation": 8,
    "relation_what": 6, "compare": 8, "logic": 9, "background": 4, "caption_short": 3, "caption_full": 12,
    "false_premise": 5, "ambiguous": 5,
}  # fmt: skip
FAMILIES: Final = tuple(WEIGHTS)
_FAMILY_WEIGHTS: Final = tuple(itertools.accumulate(WEIGHTS.values()))
ANYWHERE: Final = ("count", "exist", "background", "caption_short", "caption_full", "false_premise")
"""Families that can be asked of a picture without objects."""
RELATIONS: Final = ("left", "right", "above", "below")
_TRIES: Final = 8

_COUNTED: Final = {
    (): 15, ("shape",): 32, ("color",): 24, ("size",): 10, ("shape", "color"): 10, ("shape", "size"): 5,
    ("color", "size"): 4,
}  # fmt: skip
_SOUGHT: Final = {
    ("shape",): 20, ("color",): 12, ("shape", "color"): 40, ("shape", "size"): 12, ("color", "size"): 8,
    ("shape", "color", "size"): 8,
}  # fmt: skip
_NAMED: Final = {
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


def sample_question(
    rng: random.Random,
    scene: Scene,
    forms: Forms,
    family: str | None = None,
    heldout_relations: bool = False,
    number: int | None = None,
    *,
    withhold: Withheld = NOTHING,
) -> Turn:
    """A question about `scene`.

    Args:
        family: one of `FAMILIES`; drawn by `WEIGHTS` if None.
        heldout_relations: ask for a relation withheld from training, and with a `family` for nothing else; without
            one, a scene that has no such relation is asked about as usual.
        number: the picture's, if the question is to name it.
        withhold: what training never asks for.

    Raises:
        ValueError: the scene gives no question of this family.
    """
    if heldout_relations and family is None:
        heldout_relations = bool(_withheld_pairs(scene, withhold))
        family = "relation" if heldout_relations else None
    about = Circumstances(scene, forms, number, heldout_relations, withhold)
    for _ in range(_TRIES):
        kind = family or rng.choices(FAMILIES, cum_weights=_FAMILY_WEIGHTS)[0]
        if not scene.things and kind not in ANYWHERE:
            continue
        asked = _BUILDERS[kind](rng, about)
        if asked is not None:
            return _turn(rng, about, kind, asked)
    if family is not None:
        raise ValueError(f"no question of the family {family} about {scene.signature}")
    return _turn(rng, about, "caption_full", _caption_full(rng, about))


def sample_lookups(
    rng: random.Random, scene: Scene, count: int, by_shape: bool = False, *, withhold: Withheld = NOTHING
) -> Turn:
    """Objects to look for, one after the other; they are noted down, and nothing is said.

    Nobody talks like this. It is how the model learns to find what a request is about: many times in a sentence.

    Args:
        count: how many; with `by_shape` one for each shape.
        by_shape: name only shapes.
        withhold: what training never asks for.
    """
    whats = [Description(shape=shape) for shape in rng.sample(SHAPES, len(SHAPES))] if by_shape else []
    while not by_shape and len(whats) < count:
        names = _subset(rng, _NAMED)
        there = scene.things and rng.random() < 0.7
        what = _of(rng.choice(scene.things), names) if there else _absent(rng, scene, names, withhold.pairs)
        if what is not None and what not in whats:
            whats.append(what)
    user = ", ".join(the_thing(rng, what, withhold.forms) for what in whats)
    notes = tuple(look(scene, what) for what in whats)
    return Turn(add_noise(rng, user), (), AnswerCheck(()), "lookups", "", images=(scene,), looks=(Look(1, notes),))


FOLLOWED: Final = {"color_of": "color", "shape_of": "shape", "size_of": "size", "where_is": "cell"}
"""Families after which `and the star?` asks the same of something else, and the attribute they ask for."""


def sample_follow_up(
    rng: random.Random, scene: Scene, forms: Forms, family: str, *, withhold: Withheld = NOTHING
) -> Turn | None:
    """`and the star?`, after a question of one of the `FOLLOWED` families; None if nothing fitted."""
    name = FOLLOWED[family]
    if not scene.things:
        return None
    thing = rng.choice(scene.things) if rng.random() < 0.88 else None
    absent = _subset(rng, _NAMED, without=name) if thing is None else ()
    what = _absent(rng, scene, absent, withhold.pairs) if thing is None else _unique(rng, scene, thing, without=name)
    if what is None:
        return None
    said = answers.absence(what) if thing is None else answers.attribute(what, thing, name)
    asked = Asked(FOLLOW_UP, {"the": the_thing(rng, what, forms)}, said, (look(scene, what),))
    return _turn(rng, Circumstances(scene, forms), family, asked)


def sample_question_about_it(rng: random.Random, scene: Scene, forms: Forms) -> Turn:
    """`what colour is it?` of a picture with something in it; where there is more than one thing, of each of them."""
    name, what, things = rng.choice(tuple(IT)), Description(), scene.things
    said = answers.several(what, things, name) if things[1:] else answers.attribute(what, things[0], name)
    about = Circumstances(scene, forms)
    return _turn(rng, about, "it", Asked(IT[name], {}, said, (look(scene, what),)))


def _turn(rng: random.Random, about: Circumstances, family: str, asked: Asked) -> Turn:
    form = asked.intent.draw(rng, about.forms)
    text = fill(form, {**_places(rng, about, family), **asked.words})
    text = re.sub(r"\s+([,:])", r"\1", " ".join(text.split())).lstrip(" ,:").rstrip(" ,:")
    ending = "" if asked.intent.name.startswith("ask.caption") and rng.random() < 0.6 else "?"
    check = AnswerCheck((asked.answer,))
    user = add_noise(rng, text + ending)
    return Turn(user, (answer(asked.answer),), check, family, form, looks=(Look(1, asked.notes),))


def _places(rng: random.Random, about: Circumstances, family: str) -> dict[str, str]:
    """Words for `{here}` and `{picture}`, and single words every form may use."""
    if about.number is not None:
        picture = the_picture(rng, about.number)
    else:
        picture = f"{rng.choice(('the', 'the', 'this'))} {say(rng, 'picture')}"
    often = 1.0 if about.number is not None or family.startswith("caption") else 0.3
    here = f"{rng.choice(('in', 'in', 'on'))} {picture}" if rng.random() < often else ""
    return {
        "picture": picture,
        "here": here,
        "color": say(rng, "color"),
        "thing": say(rng, "thing"),
        "things": say(rng, "things"),
        "ground": rng.choice(("background", "background", "backdrop")),
    }


# --- what can be talked about ---


def _subset(rng: random.Random, weights: Mapping[tuple[str, ...], int], without: str = "") -> tuple[str, ...]:
    options = [names for names in weights if without not in names]
    return rng.choices(options, [weights[names] for names in options])[0]


def _of(thing: Thing, names: Sequence[str]) -> Description:
    return Description(**{name: getattr(thing, name) for name in names})


def _somewhere(rng: random.Random) -> Thing:
    """Any object at all."""
    shape, color = rng.choice(SHAPES), rng.choice(COLORS)
    return Thing(rng.randrange(len(CELLS)), shape=shape, color=color, size=rng.choice(SIZES))


def _absent(
    rng: random.Random, scene: Scene, names: Sequence[str], pairs: frozenset[tuple[str, str]]
) -> Description | None:
    """A description of these attributes, without `pairs`, that fits nothing; often it nearly fits something."""
    for _ in range(_TRIES):
        thing = _somewhere(rng)
        if scene.things and len(names) > 1 and rng.random() < 0.7:
            near, kept = rng.choice(scene.things), rng.choice(names)
            thing = replace(thing, **{kept: getattr(near, kept)})
        what = _of(thing, names)
        if not what.select(scene) and (what.shape, what.color) not in pairs:
            return what
    return None


def _unique(rng: random.Random, scene: Scene, thing: Thing, without: str = "") -> Description | None:
    """A description of `thing` alone that leaves the attribute `without` open."""
    for _ in range(_TRIES):
        what = _of(thing, _subset(rng, _NAMED, without))
        if len(what.select(scene)) == 1:
            return what
    return None


def _noun(rng: random.Random, what: Description, plural: bool = False) -> str:
    """`large red star`, with synonyms."""
    shape = say(rng, "things" if plural else "thing") if what.shape is None else what.shape
    if plural and what.shape is not None:
        shape = PLURAL[what.shape]
    return " ".join(word for word in (what.size and say(rng, what.size), what.color, shape) if word)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two objects, what to call each, and what to note of them."""

    one: Thing
    other: Thing
    phrases: tuple[str, str]
    notes: tuple[str, str]


def _two(rng: random.Random, scene: Scene, without: str = "") -> _Pair | None:
    """Two objects, described without an attribute."""
    if len(scene.things) < 2:
        return None
    one, other = rng.sample(scene.things, 2)
    return _called(rng, scene, one, other, "train", without)


def _called(
    rng: random.Random, scene: Scene, one: Thing, other: Thing, forms: Forms, without: str = ""
) -> _Pair | None:
    first, second = _unique(rng, scene, one, without), _unique(rng, scene, other, without)
    if first is None or second is None:
        return None
    phrases = the_thing(rng, first, forms), the_thing(rng, second, forms)
    return _Pair(one, other, phrases, (look(scene, first), look(scene, second)))


def holds(relation: str, one: Thing, other: Thing) -> bool:
    """Whether `one` is left of, right of, above or below `other`: by columns and rows of the grid."""
    (row, column), (other_row, other_column) = divmod(one.cell, 3), divmod(other.cell, 3)
    return {
        "left": column < other_column,
        "right": column > other_column,
        "above": row < other_row,
        "below": row > other_row,
    }[relation]


def _withheld(relation: str, one: Thing, other: Thing, withhold: Withheld) -> bool:
    return (relation, one.color, other.color) in withhold.relations


def _withheld_pairs(scene: Scene, withhold: Withheld) -> list[tuple[str, Thing, Thing]]:
    pairs = itertools.permutations(scene.things, 2)
    return [(name, one, other) for one, other in pairs for name in RELATIONS if _withheld(name, one, other, withhold)]


# --- families ---


def _count(rng: random.Random, about: Circumstances) -> Asked | None:
    scene, names = about.scene, _subset(rng, _COUNTED)
    thing = rng.choice(scene.things) if scene.things else _somewhere(rng)
    what: Description | None = _of(thing, names)
    if not scene.things or (names and rng.random() < 0.14):
        what = _absent(rng, scene, names, about.withhold.pairs) if names else Description()
    elif rng.random() < 0.75:
        what = _of_several(rng, scene) or what
    if what is None:
        return None
    names = tuple(name for name in ("shape", "color", "size") if getattr(what, name) is not None)
    answer = answers.count(what, len(what.select(scene)))
    if what.shape is None and names and rng.random() < 0.25:
        words = [word for word in (what.size and say(rng, what.size), what.color) if word]
        return Asked(questions.COUNT_LIKE, {"predicate": " and ".join(words)}, answer, (look(scene, what),))
    return Asked(questions.COUNT, {"nps": _noun(rng, what, plural=True)}, answer, (look(scene, what),))


def _of_several(rng: random.Random, scene: Scene) -> Description | None:
    """A description that fits more than one object, if there is one; the larger numbers as often as the smaller."""
    found: dict[int, dict[Description, int]] = {}
    for names, weight in _COUNTED.items():
        for thing in scene.things:
            what = _of(thing, names)
            number = len(what.select(scene))
            if number > 1:
                found.setdefault(number, {})[what] = weight
    if not found:
        return None
    options = found[rng.choice(sorted(found))]
    return rng.choices(list(options), list(options.values()))[0]


def _exist(rng: random.Random, about: Circumstances) -> Asked | None:
    names = _subset(rng, _SOUGHT)
    what: Description | None
    if about.scene.things and rng.random() < 0.5:
        what = _of(rng.choice(about.scene.things), names)
    else:
        what = _absent(rng, about.scene, names, about.withhold.pairs)
    if what is None:
        return None
    words = {"np": _noun(rng, what), "nps": _noun(rng, what, plural=True)}
    said = answers.existence(what, bool(what.select(about.scene)))
    return Asked(questions.EXIST, words, said, (look(about.scene, what),))


_ATTRIBUTES: Final = {
    "color": questions.COLOR_OF,
    "shape": questions.SHAPE_OF,
    "size": questions.SIZE_OF,
    "cell": questions.WHERE_IS,
}


def _attribute(name: str) -> Builder:
    def build(rng: random.Random, about: Circumstances) -> Asked | None:
        thing = rng.choice(about.scene.things)
        what = _unique(rng, about.scene, thing, without=name)
        if what is None:
            return None
        words = {"the": the_thing(rng, what, about.forms)}
        said = answers.attribute(what, thing, name)
        return Asked(_ATTRIBUTES[name], words, said, (look(about.scene, what),))

    return build


def _relation(rng: random.Random, about: Circumstances) -> Asked | None:
    if about.heldout_relations:
        options = _withheld_pairs(about.scene, about.withhold)
        if not options:
            return None
        relation, one, other = rng.choice(options)
        pair = _called(rng, about.scene, one, other, about.forms)
        if pair is None:
            return None
    else:
        pair = _two(rng, about.scene)
        if pair is None:
            return None
        one, other = pair.one, pair.other
        truth = rng.random() < 0.5
        fitting = [name for name in RELATIONS if holds(name, one, other) == truth]
        relation = rng.choice(fitting)
        if _withheld(relation, one, other, about.withhold):
            return None
    words = {"one": pair.phrases[0], "other": pair.phrases[1]}
    notes = *pair.notes, side_by_side(relation in ("left", "right"), one, other)
    return Asked(questions.RELATION[relation], words, answers.yes_no(holds(relation, one, other)), notes)


def _relation_what(rng: random.Random, about: Circumstances) -> Asked | None:
    if about.heldout_relations:
        return _withheld_beside(rng, about)
    thing = rng.choice(about.scene.things)
    what = _unique(rng, about.scene, thing)
    if what is None:
        return None
    found = {name: [other for other in about.scene.things if holds(name, other, thing)] for name in RELATIONS}
    options = [name for name in RELATIONS if len(found[name]) == 1]
    if not options or rng.random() < 0.12:
        if rng.random() < 0.6:
            return None
        options = [name for name in RELATIONS if not found[name]]
    if not options:
        return None
    relation = rng.choice(options)
    others = found[relation]
    if others and _withheld(relation, others[0], thing, about.withhold):
        return None
    return _what_stands(rng, about, what, relation, others)


def _what_stands(
    rng: random.Random, about: Circumstances, what: Description, relation: str, others: Sequence[Thing]
) -> Asked:
    answer = answers.appearance(others[0]) if others else answers.NOTHING
    notes = look(about.scene, what), listed(relation, others)
    return Asked(questions.RELATION_WHAT[relation], {"the": the_thing(rng, what, about.forms)}, answer, notes)


def _withheld_beside(rng: random.Random, about: Circumstances) -> Asked | None:
    """`what is left of the green star?` where the one thing there makes a withheld relation of it."""
    things = about.scene.things
    options = [
        (name, one, other)
        for name, one, other in _withheld_pairs(about.scene, about.withhold)
        if [thing for thing in things if holds(name, thing, other)] == [one]
    ]
    if not options:
        return None
    relation, one, other = rng.choice(options)
    what = _unique(rng, about.scene, other)
    if what is None:
        return None
    return _what_stands(rng, about, what, relation, [one])


def _compare(rng: random.Random, about: Circumstances) -> Asked | None:
    wanted = answers.yes_no(rng.random() < 0.5)
    kind = rng.choice(("numbers", "numbers", "same", "same", "larger"))
    intent = rng.choice(_BY_NUMBER)
    for _ in range(_TRIES):
        if kind == "numbers":
            asked = _numbers(rng, about, intent)
        else:
            asked = _same(rng, about) if kind == "same" else _larger(rng, about)
        if asked is not None and asked.answer == wanted:
            return asked
    return None


_BY_NUMBER: Final = (questions.MORE, questions.FEWER, questions.EQUALLY_MANY)


def _numbers(rng: random.Random, about: Circumstances, intent: Intent) -> Asked | None:
    name = rng.choice(("shape", "shape", "color", "size"))
    what = _of(rng.choice(about.scene.things), (name,))
    other = _of(rng.choice((_somewhere(rng), rng.choice(about.scene.things))), (name,))
    if what == other:
        return None
    if rng.random() < 0.5:
        what, other = other, what
    first, second = len(what.select(about.scene)), len(other.select(about.scene))
    if intent is questions.EQUALLY_MANY:
        truth = first == second
    else:
        truth = first > second if intent is questions.MORE else first < second
    words = {"nps": _noun(rng, what, plural=True), "others": _noun(rng, other, plural=True)}
    notes = look(about.scene, what), look(about.scene, other), values("number", NUMBER[first], NUMBER[second])
    return Asked(intent, words, answers.yes_no(truth), notes)


def _same(rng: random.Random, about: Circumstances) -> Asked | None:
    name = rng.choice(("color", "size", "shape"))
    pair = _two(rng, about.scene, without=name)
    if pair is None:
        return None
    truth = getattr(pair.one, name) == getattr(pair.other, name)
    words = {"one": pair.phrases[0], "other": pair.phrases[1], "quality": say(rng, name)}
    notes = *pair.notes, values(name, getattr(pair.one, name), getattr(pair.other, name))
    return Asked(questions.SAME, words, answers.yes_no(truth), notes)


def _larger(rng: random.Random, about: Circumstances) -> Asked | None:
    pair = _two(rng, about.scene, without="size")
    if pair is None:
        return None
    one, other = pair.one, pair.other
    larger = rng.random() < 0.5
    if one.size != other.size and rng.random() < 0.5:  # half yes where there is a difference
        larger = one.size == "large"
    truth = one.size != other.size and (one.size == "large") == larger
    word = say(rng, "larger") if larger else "smaller"
    words = {"one": pair.phrases[0], "other": pair.phrases[1], "larger": word}
    notes = *pair.notes, values("size", one.size, other.size)
    return Asked(questions.LARGER, words, answers.yes_no(truth), notes)


def _logic(rng: random.Random, about: Circumstances) -> Asked | None:
    return rng.choice((_joined, _joined, _other_than, _all_are))(rng, about)


def _joined(rng: random.Random, about: Circumstances) -> Asked | None:
    """`a red circle and a blue star`, `a red circle or a blue star`."""
    both = len(about.scene.things) > 1 and rng.random() < 0.5
    wanted = rng.random() < 0.5
    if both:
        present = [True, True] if wanted else rng.choice(([True, False], [False, True], [False, False]))
    else:
        present = rng.choice(([True, True], [True, False], [False, True])) if wanted else [False, False]
    things = list(about.scene.things)
    rng.shuffle(things)
    found: list[Description] = []
    for there in present:
        names = _subset(rng, _SOUGHT)
        absent = not (there and things)
        pairs = about.withhold.pairs
        what = _absent(rng, about.scene, names, pairs) if absent else _of(things.pop(), names)
        if what is None or what in found:
            return None
        found.append(what)
    first, second = (bool(what.select(about.scene)) for what in found)
    truth = first and second if both else first or second
    words = {"np": _noun(rng, found[0]), "other": _noun(rng, found[1])}
    notes = look(about.scene, found[0]), look(about.scene, found[1])
    return Asked(questions.BOTH if both else questions.EITHER, words, answers.yes_no(truth), notes)


def _other_than(rng: random.Random, about: Circumstances) -> Asked | None:
    """`a star that is not red`."""
    wanted = rng.random() < 0.5
    for _ in range(_TRIES):
        thing = rng.choice(about.scene.things)
        what = Description(shape=thing.shape) if rng.random() < 0.8 else Description()
        color = thing.color if rng.random() < 0.7 else rng.choice(COLORS)
        truth = any(other.color != color for other in what.select(about.scene))
        if truth == wanted and (thing.shape, color) not in about.withhold.pairs:
            words = {"np": _noun(rng, what), "nps": _noun(rng, what, plural=True), "color": color}
            return Asked(questions.OTHER_THAN, words, answers.yes_no(truth), (look(about.scene, what),))
    return None


def _all_are(rng: random.Random, about: Circumstances) -> Asked | None:
    """`are all stars red?`, of things that are there."""
    wanted = rng.random() < 0.5
    for _ in range(_TRIES):
        thing = rng.choice(about.scene.things)
        asked, given = rng.choice((("color", "shape"), ("size", "shape"), ("color", ""), ("size", "color")))
        what = _of(thing, (given,) if given else ())
        value = getattr(rng.choice((thing, _somewhere(rng))), asked)
        truth = all(getattr(other, asked) == value for other in what.select(about.scene))
        if truth == wanted and (what.shape, value) not in about.withhold.pairs:
            predicate = say(rng, value)
            words = {"np": _noun(rng, what), "nps": _noun(rng, what, plural=True), "predicate": predicate}
            return Asked(questions.ALL_ARE, words, answers.yes_no(truth), (look(about.scene, what),))
    return None


def _background(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.BACKGROUND, {}, answers.background(about.scene))


def _caption_short(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.CAPTION_SHORT, {}, answers.short_caption(about.scene))


def _caption_full(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.CAPTION_FULL, {}, answers.full_caption(about.scene))


def _false_premise(rng: random.Random, about: Circumstances) -> Asked | None:
    """Asks for an attribute of what is not there."""
    name = rng.choice(("color", "size", "cell", "shape"))
    what = _absent(rng, about.scene, _subset(rng, _NAMED, without=name), about.withhold.pairs)
    if what is None:
        return None
    words = {"the": the_thing(rng, what, about.forms)}
    return Asked(_ATTRIBUTES[name], words, answers.absence(what), (look(about.scene, what),))


def _ambiguous(rng: random.Random, about: Circumstances) -> Asked | None:
    """Asks for an attribute of `the star` where there are several."""
    for _ in range(_TRIES):
        name = rng.choice(("color", "color", "size", "cell", "shape"))
        names = rng.choice([names for names in (("shape",), ("color",), ("size",)) if name not in names])
        what = _of(rng.choice(about.scene.things), names)
        things = what.select(about.scene)
        if len(things) > 1:
            words = {"the": the_thing(rng, what, about.forms)}
            return Asked(_ATTRIBUTES[name], words, answers.several(what, things, name), (look(about.scene, what),))
    return None


_BUILDERS: Final[dict[str, Builder]] = {
    "count": _count,
    "exist": _exist,
    "color_of": _attribute("color"),
    "shape_of": _attribute("shape"),
    "size_of": _attribute("size"),
    "where_is": _attribute("cell"),
    "relation": _relation,
    "relation_what": _relation_what,
    "compare": _compare,
    "logic": _logic,
    "background": _background,
    "caption_short": _caption_short,
    "caption_full": _caption_full,
    "false_premise": _false_premise,
    "ambiguous": _ambiguous,
}
