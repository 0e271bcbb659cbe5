"""The families of questions: each asks something of a scene, and knows the true answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from genllava_finetune.worlds.grammar import Intent
from genllava_finetune.worlds.shapes import answers
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.language import questions
from genllava_finetune.worlds.shapes.language.noun_phrases import the_thing
from genllava_finetune.worlds.shapes.language.words import NUMBER, say
from genllava_finetune.worlds.shapes.notes import listed, look, side_by_side, values
from genllava_finetune.worlds.shapes.question_subjects import (
    COUNTED,
    NAMED,
    RELATIONS,
    SOUGHT,
    TRIES,
    Asked,
    Builder,
    Circumstances,
    absent,
    anything,
    called,
    described,
    holds,
    is_withheld,
    noun,
    subset_of,
    two_things,
    uniquely,
    withheld_pairs,
)
from genllava_finetune.worlds.shapes.scene import COLORS, Scene, Thing


def _count(rng: random.Random, about: Circumstances) -> Asked | None:
    scene, names = about.scene, subset_of(rng, COUNTED)
    thing = rng.choice(scene.things) if scene.things else anything(rng)
    what: Description | None = described(thing, names)
    if not scene.things or (names and rng.random() < 0.14):
        what = absent(rng, scene, names, about.withhold.pairs) if names else Description()
    elif rng.random() < 0.75:
        what = _of_several(rng, scene) or what
    if what is None:
        return None
    names = tuple(name for name in ("shape", "color", "size") if getattr(what, name) is not None)
    answer = answers.count(what, len(what.select(scene)))
    if what.shape is None and names and rng.random() < 0.25:
        words = [word for word in (what.size and say(rng, what.size), what.color) if word]
        return Asked(questions.COUNT_LIKE, {"predicate": " and ".join(words)}, answer, (look(scene, what),))
    return Asked(questions.COUNT, {"nps": noun(rng, what, plural=True)}, answer, (look(scene, what),))


def _of_several(rng: random.Random, scene: Scene) -> Description | None:
    """A description that fits more than one object, if there is one; the larger numbers as often as the smaller."""
    found: dict[int, dict[Description, int]] = {}
    for names, weight in COUNTED.items():
        for thing in scene.things:
            what = described(thing, names)
            number = len(what.select(scene))
            if number > 1:
                found.setdefault(number, {})[what] = weight
    if not found:
        return None
    options = found[rng.choice(sorted(found))]
    return rng.choices(list(options), list(options.values()))[0]


def _exist(rng: random.Random, about: Circumstances) -> Asked | None:
    names = subset_of(rng, SOUGHT)
    what: Description | None
    if about.scene.things and rng.random() < 0.5:
        what = described(rng.choice(about.scene.things), names)
    else:
        what = absent(rng, about.scene, names, about.withhold.pairs)
    if what is None:
        return None
    words = {"np": noun(rng, what), "nps": noun(rng, what, plural=True)}
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
        what = uniquely(rng, about.scene, thing, without=name)
        if what is None:
            return None
        words = {"the": the_thing(rng, what, about.forms)}
        said = answers.attribute(what, thing, name)
        return Asked(_ATTRIBUTES[name], words, said, (look(about.scene, what),))

    return build


def _relation(rng: random.Random, about: Circumstances) -> Asked | None:
    if about.heldout_relations:
        options = withheld_pairs(about.scene, about.withhold)
        if not options:
            return None
        relation, one, other = rng.choice(options)
        pair = called(rng, about.scene, one, other, about.forms)
        if pair is None:
            return None
    else:
        pair = two_things(rng, about.scene)
        if pair is None:
            return None
        one, other = pair.one, pair.other
        truth = rng.random() < 0.5
        fitting = [name for name in RELATIONS if holds(name, one, other) == truth]
        relation = rng.choice(fitting)
        if is_withheld(relation, one, other, about.withhold):
            return None
    words = {"one": pair.phrases[0], "other": pair.phrases[1]}
    notes = *pair.notes, side_by_side(relation in ("left", "right"), one, other)
    return Asked(questions.RELATION[relation], words, answers.yes_no(holds(relation, one, other)), notes)


def _relation_what(rng: random.Random, about: Circumstances) -> Asked | None:
    if about.heldout_relations:
        return _withheld_beside(rng, about)
    thing = rng.choice(about.scene.things)
    what = uniquely(rng, about.scene, thing)
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
    if others and is_withheld(relation, others[0], thing, about.withhold):
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
        for name, one, other in withheld_pairs(about.scene, about.withhold)
        if [thing for thing in things if holds(name, thing, other)] == [one]
    ]
    if not options:
        return None
    relation, one, other = rng.choice(options)
    what = uniquely(rng, about.scene, other)
    if what is None:
        return None
    return _what_stands(rng, about, what, relation, [one])


def _compare(rng: random.Random, about: Circumstances) -> Asked | None:
    wanted = answers.yes_no(rng.random() < 0.5)
    kind = rng.choice(("numbers", "numbers", "same", "same", "larger"))
    intent = rng.choice(_BY_NUMBER)
    for _ in range(TRIES):
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
    what = described(rng.choice(about.scene.things), (name,))
    other = described(rng.choice((anything(rng), rng.choice(about.scene.things))), (name,))
    if what == other:
        return None
    if rng.random() < 0.5:
        what, other = other, what
    first, second = len(what.select(about.scene)), len(other.select(about.scene))
    if intent is questions.EQUALLY_MANY:
        truth = first == second
    else:
        truth = first > second if intent is questions.MORE else first < second
    words = {"nps": noun(rng, what, plural=True), "others": noun(rng, other, plural=True)}
    notes = look(about.scene, what), look(about.scene, other), values("number", NUMBER[first], NUMBER[second])
    return Asked(intent, words, answers.yes_no(truth), notes)


def _same(rng: random.Random, about: Circumstances) -> Asked | None:
    name = rng.choice(("color", "size", "shape"))
    pair = two_things(rng, about.scene, without=name)
    if pair is None:
        return None
    truth = getattr(pair.one, name) == getattr(pair.other, name)
    words = {"one": pair.phrases[0], "other": pair.phrases[1], "quality": say(rng, name)}
    notes = *pair.notes, values(name, getattr(pair.one, name), getattr(pair.other, name))
    return Asked(questions.SAME, words, answers.yes_no(truth), notes)


def _larger(rng: random.Random, about: Circumstances) -> Asked | None:
    pair = two_things(rng, about.scene, without="size")
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
        names = subset_of(rng, SOUGHT)
        missing = not (there and things)
        pairs = about.withhold.pairs
        what = absent(rng, about.scene, names, pairs) if missing else described(things.pop(), names)
        if what is None or what in found:
            return None
        found.append(what)
    first, second = (bool(what.select(about.scene)) for what in found)
    truth = first and second if both else first or second
    words = {"np": noun(rng, found[0]), "other": noun(rng, found[1])}
    notes = look(about.scene, found[0]), look(about.scene, found[1])
    return Asked(questions.BOTH if both else questions.EITHER, words, answers.yes_no(truth), notes)


def _other_than(rng: random.Random, about: Circumstances) -> Asked | None:
    """`a star that is not red`."""
    wanted = rng.random() < 0.5
    for _ in range(TRIES):
        thing = rng.choice(about.scene.things)
        what = Description(shape=thing.shape) if rng.random() < 0.8 else Description()
        color = thing.color if rng.random() < 0.7 else rng.choice(COLORS)
        truth = any(other.color != color for other in what.select(about.scene))
        if truth == wanted and (thing.shape, color) not in about.withhold.pairs:
            words = {"np": noun(rng, what), "nps": noun(rng, what, plural=True), "color": color}
            return Asked(questions.OTHER_THAN, words, answers.yes_no(truth), (look(about.scene, what),))
    return None


def _all_are(rng: random.Random, about: Circumstances) -> Asked | None:
    """`are all stars red?`, of things that are there."""
    wanted = rng.random() < 0.5
    for _ in range(TRIES):
        thing = rng.choice(about.scene.things)
        asked, given = rng.choice((("color", "shape"), ("size", "shape"), ("color", ""), ("size", "color")))
        what = described(thing, (given,) if given else ())
        value = getattr(rng.choice((thing, anything(rng))), asked)
        truth = all(getattr(other, asked) == value for other in what.select(about.scene))
        if truth == wanted and (what.shape, value) not in about.withhold.pairs:
            predicate = say(rng, value)
            words = {"np": noun(rng, what), "nps": noun(rng, what, plural=True), "predicate": predicate}
            return Asked(questions.ALL_ARE, words, answers.yes_no(truth), (look(about.scene, what),))
    return None


def _background(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.BACKGROUND, {}, answers.background(about.scene))


def _caption_short(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.CAPTION_SHORT, {}, answers.short_caption(about.scene))


def caption_full(rng: random.Random, about: Circumstances) -> Asked:
    return Asked(questions.CAPTION_FULL, {}, answers.full_caption(about.scene))


def _false_premise(rng: random.Random, about: Circumstances) -> Asked | None:
    """Asks for an attribute of what is not there."""
    name = rng.choice(("color", "size", "cell", "shape"))
    what = absent(rng, about.scene, subset_of(rng, NAMED, without=name), about.withhold.pairs)
    if what is None:
        return None
    words = {"the": the_thing(rng, what, about.forms)}
    return Asked(_ATTRIBUTES[name], words, answers.absence(what), (look(about.scene, what),))


def _ambiguous(rng: random.Random, about: Circumstances) -> Asked | None:
    """Asks for an attribute of `the star` where there are several."""
    for _ in range(TRIES):
        name = rng.choice(("color", "color", "size", "cell", "shape"))
        names = rng.choice([names for names in (("shape",), ("color",), ("size",)) if name not in names])
        what = described(rng.choice(about.scene.things), names)
        things = what.select(about.scene)
        if len(things) > 1:
            words = {"the": the_thing(rng, what, about.forms)}
            return Asked(_ATTRIBUTES[name], words, answers.several(what, things, name), (look(about.scene, what),))
    return None


BUILDERS: Final[dict[str, Builder]] = {
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
    "caption_full": caption_full,
    "false_premise": _false_premise,
    "ambiguous": _ambiguous,
}
