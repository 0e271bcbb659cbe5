"""What training talks about: the shares of the kinds of dialogue, and a dialogue drawn from them."""

from __future__ import annotations

import random
from typing import Final

from genllava_finetune.shapes.conversation import sample_dialogue
from genllava_finetune.shapes.dialogue import Dialogue, Turn
from genllava_finetune.shapes.editing import sample_edit
from genllava_finetune.shapes.generation import sample_generation
from genllava_finetune.shapes.impossible import sample_impossible_edit
from genllava_finetune.shapes.outside import sample_outside
from genllava_finetune.shapes.scene import Scene
from genllava_finetune.shapes.splits import sample_scene
from genllava_finetune.shapes.understanding import sample_question

MIXTURE: Final = {
    "questions": 0.4,
    "generation": 0.12,
    "edit": 0.3,
    "conversation": 0.11,
    "outside": 0.06,
    "null": 0.01,
}
"""Shares of the kinds of dialogue. `null` is a drawing without a plan: it teaches the null conditioning."""


def sample_training_dialogue(rng: random.Random) -> Dialogue | None:
    """A dialogue of the training split, by `MIXTURE`; None stands for the null drawing."""
    kind = rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
    if kind == "null":
        return None
    if kind == "conversation":
        return sample_dialogue(rng, "train", "train")
    if kind == "generation":
        return Dialogue((sample_generation(rng, "train", "train"),))
    scene = sample_scene(rng, "train")
    if kind == "questions":
        first, *rest = (sample_question(rng, scene, "train") for _ in range(3))
        return Dialogue((_with_picture(first, scene), *rest))
    if kind == "edit":
        turn = None
        if rng.random() < 0.12:
            turn = sample_impossible_edit(rng, scene, 1, "train")
        turn = turn or sample_edit(rng, scene, 1, "train", "train")
        if turn is not None:
            return Dialogue((_with_picture(turn, scene),))
    turn = sample_outside(rng, "train")
    return Dialogue((_with_picture(turn, scene) if rng.random() < 0.5 else turn,))


def _with_picture(turn: Turn, scene: Scene) -> Turn:
    return Turn(turn.user, turn.steps, turn.check, turn.family, turn.form, images=(scene,))
