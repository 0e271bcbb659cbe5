"""Edits that cannot be done as asked: nothing such is there, several are, or there is no room."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Literal

from genllava_finetune.worlds.grammar import Forms, Instruction, add_noise, fill
from genllava_finetune.worlds.shapes.answers import name_of
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import DeclineCheck, Look, Turn, answer
from genllava_finetune.worlds.shapes.language import instructions
from genllava_finetune.worlds.shapes.language.noun_phrases import a_thing, all_things, place_words, the_thing
from genllava_finetune.worlds.shapes.language.words import NUMBER, PLURAL
from genllava_finetune.worlds.shapes.notes import look
from genllava_finetune.worlds.shapes.proposals import (
    Context,
    common_words,
    describe_uniquely,
    object_words,
    subset,
)
from genllava_finetune.worlds.shapes.scene import CELLS, COLORS, MAX_OBJECTS, SHAPES, SIZES, Scene
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld, split_of

Reason = Literal["missing", "ambiguous", "taken", "full"]

FULL: Final = f"There is no room: a picture holds at most {NUMBER[MAX_OBJECTS]} shapes."
_SUBSETS: Final = (
    ("shape",),
    ("shape", "color"),
    ("shape", "size"),
    ("color",),
    ("shape", "cell"),
    ("size", "color"),
)
_MISSING_WEIGHTS: Final = (30, 40, 12, 10, 6, 4)
_SHARED: Final = (("shape",), ("color",), ("size",), ("shape", "color"), ("shape", "size"), ())
_SHARED_WEIGHTS: Final = (40, 14, 12, 12, 8, 14)
_KINDS: Final = ("recolor", "resize", "replace", "remove", "move", "swap")


def sample_impossible_edit(
    rng: random.Random,
    scene: Scene,
    number: int,
    forms: Forms,
    *,
    pronoun: bool = True,
    withhold: Withheld = NOTHING,
) -> Turn | None:
    """A request to change `scene` that should be answered in words; None if none of the kind drawn was found.

    Args:
        number: the picture's; such requests always concern the latest picture and do not name it.
        pronoun: whether `it` may be used for any of several objects (not if it has a meaning from before).
        withhold: what is not asked for.
    """
    context = Context(forms, pairs=withhold.pairs, withhold=withhold)
    reason: Reason = rng.choices(("missing", "ambiguous", "taken", "full"), (55, 30, 10, 5))[0]
    if reason == "missing":
        return _missing(rng, scene, context)
    if reason == "ambiguous":
        return _ambiguous(rng, scene, context, pronoun)
    if reason == "taken":
        return _taken(rng, scene, context)
    return _full(rng, scene, context)


def _turn(
    rng: random.Random,
    instruction: Instruction,
    words: Mapping[str, str],
    forms: Forms,
    said: str,
    reason: Literal["false_premise", "ambiguous"],
    *notes: str,
) -> Turn:
    form = instruction.all.draw(rng, forms)
    user = add_noise(rng, fill(form, words))
    return Turn(user, (answer(said),), DeclineCheck(reason), f"edit.{reason}", form, looks=(Look(1, notes),))


def _sentence(
    rng: random.Random, scene: Scene, what: Description, phrase: str, context: Context, several: bool
) -> tuple[Instruction, dict[str, str]]:
    """An operation on `what`, called `phrase`, with its words; nothing it asks for is withheld from training."""
    kinds: tuple[str, ...] = _KINDS[:4] if several else _KINDS
    if what.color is not None and what.color == context.withhold.attribute("remove") and split_of(scene) == "train":
        kinds = _KINDS[:3]  # in training alone: the other suites are frozen
    kind = rng.choice(kinds)
    words = object_words(rng, phrase)
    if kind == "recolor":
        return instructions.RECOLOR, words | {"color": rng.choice(context.choices("recolor", COLORS))}
    if kind == "resize":
        return instructions.RESIZE[rng.choice(SIZES)], words
    if kind == "replace":
        shape = rng.choice(context.choices("replace", SHAPES))
        if several:
            return instructions.REPLACE_ALL, words | {"new": PLURAL[shape]}
        return instructions.REPLACE, words | {"new": a_thing(rng, Description(shape), context.forms)}
    if kind == "remove" or not scene.things:
        return instructions.REMOVE, words
    if kind == "move":
        cell = CELLS.index(rng.choice(context.choices("move", [CELLS[cell] for cell in scene.free_cells])))
        return instructions.MOVE, words | place_words(rng, cell)
    other = describe_uniquely(rng, scene, rng.choice(scene.things))
    pair = [phrase, the_thing(rng, other, context.forms)]
    rng.shuffle(pair)
    return instructions.SWAP, words | {"one": pair[0], "other": pair[1]}


def _missing(rng: random.Random, scene: Scene, context: Context) -> Turn | None:
    forms = context.forms
    names = rng.choices(_SUBSETS, _MISSING_WEIGHTS)[0]
    for _ in range(6):
        near = rng.choice(scene.things) if scene.things and rng.random() < 0.7 else None
        values: dict[str, str | int] = {"shape": rng.choice(SHAPES), "color": rng.choice(COLORS)}
        values |= {"size": rng.choice(SIZES), "cell": rng.randrange(len(CELLS))}
        if near is not None and len(names) > 1:
            kept = rng.choice(names)
            values[kept] = getattr(near, kept)
        what = Description(**{name: values[name] for name in names})  # type: ignore[arg-type]
        if what.select(scene) or (what.shape, what.color) in context.pairs:
            continue
        if what.cell is None and rng.random() < 0.1:
            noun = " ".join(w for w in (what.size, what.color, PLURAL[what.shape] if what.shape else "shapes") if w)
            instruction, words = _sentence(rng, scene, what, all_things(rng, what, forms), context, several=True)
            return _turn(rng, instruction, words, forms, f"There are no {noun}.", "false_premise", look(scene, what))
        instruction, words = _sentence(rng, scene, what, the_thing(rng, what, forms), context, several=False)
        said = f"There is no {name_of(what)}."
        return _turn(rng, instruction, words, forms, said, "false_premise", look(scene, what))
    return None


def _ambiguous(rng: random.Random, scene: Scene, context: Context, pronoun: bool) -> Turn | None:
    forms = context.forms
    for _ in range(6):
        if not scene.things:
            return None
        what = subset(rng.choice(scene.things), rng.choices(_SHARED, _SHARED_WEIGHTS)[0])
        count = len(what.select(scene))
        if count < 2:
            continue
        phrase = the_thing(rng, what, forms)
        if phrase == "it" and not pronoun:
            phrase = "the shape"
        instruction, words = _sentence(rng, scene, what, phrase, context, several=False)
        said = f"Which {name_of(what)} do you mean? There are {NUMBER[count]}."
        return _turn(rng, instruction, words, forms, said, "ambiguous", look(scene, what))
    return None


def _taken(rng: random.Random, scene: Scene, context: Context) -> Turn | None:
    """Something is to go where something else is already."""
    forms = context.forms
    if not scene.things:
        return None
    taken = rng.choice(scene.things)
    if taken.position == context.withhold.attribute("move"):
        return None
    said = f"There is already a shape at the {taken.position}."
    words, there = place_words(rng, taken.cell), look(scene, Description(cell=taken.cell))
    if len(scene.things) > 1 and rng.random() < 0.6:
        thing = rng.choice([thing for thing in scene.things if thing.cell != taken.cell])
        what = describe_uniquely(rng, scene, thing)
        words |= object_words(rng, the_thing(rng, what, forms))
        return _turn(rng, instructions.MOVE, words, forms, said, "false_premise", look(scene, what), there)
    if len(scene.things) >= MAX_OBJECTS:
        return None
    words |= common_words(rng) | {"new": _new(rng, context)}
    return _turn(rng, instructions.ADD_AT, words, forms, said, "false_premise", there)


def _full(rng: random.Random, scene: Scene, context: Context) -> Turn | None:
    """A fifth object."""
    forms = context.forms
    if len(scene.things) < MAX_OBJECTS:
        return None
    words = common_words(rng) | {"new": _new(rng, context)}
    if rng.random() < 0.5:
        return _turn(rng, instructions.ADD, words, forms, FULL, "false_premise")
    words |= place_words(rng, rng.choice(scene.free_cells))
    return _turn(rng, instructions.ADD_AT, words, forms, FULL, "false_premise")


def _new(rng: random.Random, context: Context) -> str:
    forms = context.forms
    shape, color = rng.choice(context.choices("add", SHAPES)), rng.choice(COLORS)
    if (shape, color) in context.pairs or rng.random() < 0.2:
        return a_thing(rng, Description(shape), forms)
    return a_thing(rng, Description(shape, color), forms)
