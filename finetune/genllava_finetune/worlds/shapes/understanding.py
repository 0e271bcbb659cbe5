"""Questions about a picture, by family, with the answer that is true of its scene."""

from __future__ import annotations

import itertools
import random
import re
from typing import Final

from genllava_finetune.worlds.grammar import Forms, add_noise, fill
from genllava_finetune.worlds.shapes import answers
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import AnswerCheck, Look, Turn, answer
from genllava_finetune.worlds.shapes.language.back_references import FOLLOW_UP, IT
from genllava_finetune.worlds.shapes.language.noun_phrases import the_picture, the_thing
from genllava_finetune.worlds.shapes.language.words import say
from genllava_finetune.worlds.shapes.notes import look
from genllava_finetune.worlds.shapes.question_families import BUILDERS, caption_full
from genllava_finetune.worlds.shapes.question_subjects import (
    NAMED,
    TRIES,
    Asked,
    Circumstances,
    absent,
    described,
    subset_of,
    uniquely,
    withheld_pairs,
)
from genllava_finetune.worlds.shapes.scene import SHAPES, Scene
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
        heldout_relations = bool(withheld_pairs(scene, withhold))
        family = "relation" if heldout_relations else None
    about = Circumstances(scene, forms, number, heldout_relations, withhold)
    for _ in range(TRIES):
        kind = family or rng.choices(FAMILIES, cum_weights=_FAMILY_WEIGHTS)[0]
        if not scene.things and kind not in ANYWHERE:
            continue
        asked = BUILDERS[kind](rng, about)
        if asked is not None:
            return _turn(rng, about, kind, asked)
    if family is not None:
        raise ValueError(f"no question of the family {family} about {scene.signature}")
    return _turn(rng, about, "caption_full", caption_full(rng, about))


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
        names = subset_of(rng, NAMED)
        there = scene.things and rng.random() < 0.7
        what = described(rng.choice(scene.things), names) if there else absent(rng, scene, names, withhold.pairs)
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
    names = subset_of(rng, NAMED, without=name) if thing is None else ()
    what = absent(rng, scene, names, withhold.pairs) if thing is None else uniquely(rng, scene, thing, without=name)
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
