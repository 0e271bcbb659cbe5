"""What training talks about: the shares of the kinds of dialogue, and a dialogue drawn from them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final

from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Turn
from genllava_finetune.worlds.shapes.editing import ordinary_pairs, sample_edit, sample_undo
from genllava_finetune.worlds.shapes.generation import sample_generation
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import NOTHING, Split, Withheld, sample_scene
from genllava_finetune.worlds.shapes.tasks import sample_borrowing, sample_naming, sample_task
from genllava_finetune.worlds.shapes.understanding import (
    FOLLOWED,
    sample_follow_up,
    sample_question,
    sample_question_about_it,
)

MIXTURE: Final = {
    "questions": 0.11,
    "it": 0.02,
    "generation": 0.07,
    "edit": 0.14,
    "changes": 0.05,
    "borrowing": 0.04,
    "naming": 0.06,
    "conversation": 0.22,
    "tasks": 0.24,
    "outside": 0.04,
    "null": 0.01,
}
"""Shares of the kinds of dialogue. `null` is a drawing without a plan: it teaches the null conditioning."""

GROUPS: Final = {
    "understanding": ("questions", "it"),
    "generation": ("generation",),
    "editing": ("edit", "changes"),
    "conversations": ("conversation", "tasks", "borrowing", "naming"),
    "outside": ("outside",),
}
"""The kinds by what they teach."""

LATE_SHARE: Final = 0.5
LEARNT_LATE: Final = ("relation", "compare", "logic", "ambiguous", "relation_what", "false_premise")
"""Families whose answers have to be worked out: half of the questions are drawn from these alone."""
UNDO_SHARE: Final = 0.04
"""How many edits are taken back at once."""
STEPS_SHARE: Final = 0.35
"""Conversations that are drawn again until something is asked in them about what the same message had drawn."""
CHANGES: Final = 3
"""Most requests for changes in one dialogue that is nothing else."""
PAIRS_SHARE: Final = 0.4
"""How many of those ask for two changes at once."""
BORROWING_SHARE: Final = 0.5
ALIKE_SHARE: Final = 0.4
"""Outlines of borrowings; and of the others, messages whose requests are all of one kind: these have to be counted."""


def sample_training_dialogue(
    rng: random.Random, kind: str | None = None, split: Split = "train", withhold: Withheld = NOTHING
) -> Dialogue | None:
    """A dialogue as training has them; None stands for the null drawing.

    Args:
        kind: one of `MIXTURE`; drawn by its shares if None.
        split: of the scenes.
        withhold: what is never shown or asked for.
    """
    forms = withhold.forms
    if kind is None:
        kind = rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
    if kind == "null":
        return None
    if kind == "conversation":
        return _conversation(rng, split, withhold)
    if kind == "tasks":
        return sample_task(rng, split, forms, withhold=withhold)
    if kind == "borrowing":
        return sample_borrowing(rng, split, withhold)
    if kind == "naming":
        return sample_naming(rng, split, withhold)
    if kind == "changes":
        return sample_changes(rng, split, withhold)
    if kind == "generation":
        return Dialogue((sample_generation(rng, split, forms, withhold=withhold),))
    if kind == "it":
        return _about_it(rng, split, withhold)
    scene = sample_scene(rng, split, withhold=withhold)
    if kind == "questions":
        return _questions(rng, scene, withhold)
    if kind == "edit":
        turn = None
        if rng.random() < 0.2:
            turn = sample_impossible_edit(rng, scene, 1, forms, withhold=withhold)
        turn = turn or sample_edit(rng, scene, 1, forms, split, withhold=withhold)
        if turn is not None:
            turns = (_with_picture(turn, scene),)
            undone = turn.steps[0].task == "I2I" and rng.random() < UNDO_SHARE
            return Dialogue((*turns, sample_undo(rng, scene, 1, forms)) if undone else turns)
    turn = sample_outside(rng, forms)
    return Dialogue((_with_picture(turn, scene) if rng.random() < 0.5 else turn,))


def _conversation(rng: random.Random, split: Split, withhold: Withheld) -> Dialogue:
    steps = rng.random() < STEPS_SHARE
    while True:
        dialogue = sample_dialogue(rng, split, withhold.forms, withhold=withhold)
        if not steps or any(len(turn.steps) > 1 and turn.steps[0].target is not None for turn in dialogue.turns):
            return dialogue


def sample_changes(rng: random.Random, split: Split = "train", withhold: Withheld = NOTHING) -> Dialogue:
    """Several changes of one picture, each of it as it came: to learn what they do to a plan."""
    pairs = ordinary_pairs(withhold)
    while True:
        scene = sample_scene(rng, split, withhold=withhold)
        turns: list[Turn] = []
        for _ in range(CHANGES):
            pair = rng.choice(pairs) if rng.random() < PAIRS_SHARE else None
            named = bool(turns)
            turn = sample_edit(
                rng, scene, 1, withhold.forms, split, name_number=named, kinds=pair, withhold=withhold
            )
            if turn is not None:
                turns.append(turn)
        if turns:
            return Dialogue((_with_picture(turns[0], scene), *turns[1:]))


def sample_outline(rng: random.Random, withhold: Withheld = NOTHING) -> Dialogue:
    """Messages to find the next of several requests in, or which picture gives something to which."""
    if rng.random() < BORROWING_SHARE:
        return sample_borrowing(rng, withhold=withhold)
    return sample_task(rng, "train", withhold.forms, turns=1, alike=ALIKE_SHARE, withhold=withhold)


def _questions(rng: random.Random, scene: Scene, withhold: Withheld) -> Dialogue:
    """Three questions about one picture, some of them `and the star?`."""
    turns = [_with_picture(_question(rng, scene, withhold), scene)]
    while len(turns) < 3:
        family, turn = turns[-1].family, None
        if family in FOLLOWED and rng.random() < 0.3:
            turn = sample_follow_up(rng, scene, withhold.forms, family, withhold=withhold)
        turns.append(turn or _question(rng, scene, withhold))
    return Dialogue(tuple(turns))


def _about_it(rng: random.Random, split: Split, withhold: Withheld) -> Dialogue:
    """Questions about `it`, mostly of a picture with a single thing, brought by the user or drawn before."""
    alone = rng.random() < 0.7
    while True:
        scene = sample_scene(rng, split, withhold=withhold)
        if scene.things and (not alone or len(scene.things) == 1):
            break
    turns = [sample_question_about_it(rng, scene, withhold.forms) for _ in range(rng.randint(1, 3))]
    return Dialogue((_with_picture(turns[0], scene), *turns[1:]))


def _question(rng: random.Random, scene: Scene, withhold: Withheld) -> Turn:
    family = rng.choice(LEARNT_LATE) if rng.random() < LATE_SHARE else None
    try:
        return sample_question(rng, scene, withhold.forms, family, withhold=withhold)
    except ValueError:  # this scene gives no such question
        return sample_question(rng, scene, withhold.forms, withhold=withhold)


def _with_picture(turn: Turn, scene: Scene) -> Turn:
    return replace(turn, images=(scene,))
