"""The frozen test suites: what is asked, drawn from fixed seeds, the same on every machine.

A suite is a list of cases; a case is a dialogue with the pictures its user brings. Every suite but the iid ones holds
one thing that training never showed. Tuning uses the `dev` split only.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from PIL import Image

from genllava_finetune.shapes.conversation import sample_dialogue
from genllava_finetune.shapes.dialogue import Dialogue, Turn
from genllava_finetune.shapes.editing import sample_edit
from genllava_finetune.shapes.elsewhere import draw_elsewhere
from genllava_finetune.shapes.generation import sample_generation
from genllava_finetune.shapes.impossible import sample_impossible_edit
from genllava_finetune.shapes.language.grammar import Forms
from genllava_finetune.shapes.outside import sample_outside
from genllava_finetune.shapes.render import render
from genllava_finetune.shapes.scene import Scene
from genllava_finetune.shapes.splits import (
    HELD_OUT_RELATIONS,
    Split,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    sample_scene,
)
from genllava_finetune.shapes.understanding import FAMILIES, sample_question


@dataclass(frozen=True, slots=True)
class Case:
    """A dialogue and, turn by turn, the pictures the user brings."""

    dialogue: Dialogue
    pictures: tuple[tuple[Image.Image, ...], ...]
    seed: int


Build = Callable[[random.Random, Split], Case]


def _case(rng: random.Random, dialogue: Dialogue, draw: Callable[[Scene], Image.Image] = render) -> Case:
    pictures = tuple(tuple(draw(scene) for scene in turn.images) for turn in dialogue.turns)
    return Case(dialogue, pictures, rng.randrange(2**31))


def _seen(turn: Turn, scene: Scene) -> Dialogue:
    return Dialogue((replace(turn, images=(scene,)),))


def _can_relate_as_held_out(scene: Scene) -> bool:
    """Whether two objects have the colours of a withheld relation, be it true of them or not."""
    colors = [(one.color, other.color) for one, other in itertools.permutations(scene.things, 2)]
    return in_distribution(scene) and any((first, second) in colors for _, first, second in HELD_OUT_RELATIONS)


def _family(family: str) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        while True:
            scene = sample_scene(rng, split)
            try:
                return _case(rng, _seen(sample_question(rng, scene, "train", family), scene))
            except ValueError:
                continue  # this scene gives no such question

    return build


def _questions(
    want: Callable[[Scene], bool] = in_distribution, held_out_forms: bool = False, relations: bool = False
) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        scene = sample_scene(rng, split, want=want)
        forms: Forms = "held_out" if held_out_forms else "train"
        return _case(rng, _seen(sample_question(rng, scene, forms, heldout_relations=relations), scene))

    return build


def _elsewhere(rng: random.Random, split: Split) -> Case:
    scene = sample_scene(rng, split)
    dialogue = _seen(sample_question(rng, scene, "train"), scene)
    return _case(rng, dialogue, lambda shown: draw_elsewhere(rng, shown))


def _generation(heldout: str | None = None, held_out_forms: bool = False) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        forms: Forms = "held_out" if held_out_forms else "train"
        return _case(rng, Dialogue((sample_generation(rng, split, forms, heldout),)))  # type: ignore[arg-type]

    return build


def _editing(heldout: str | None = None, held_out_forms: bool = False) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        want = has_held_out_pair if heldout == "attr_combo" else in_distribution
        while True:
            scene = sample_scene(rng, split, want=want)
            forms: Forms = "held_out" if held_out_forms else "train"
            turn = sample_edit(rng, scene, 1, forms, split, heldout)  # type: ignore[arg-type]
            if turn is not None:
                return _case(rng, _seen(turn, scene))

    return build


def _impossible(rng: random.Random, split: Split) -> Case:
    while True:
        scene = sample_scene(rng, split)
        turn = sample_impossible_edit(rng, scene, 1, "train")
        if turn is not None:
            return _case(rng, _seen(turn, scene))


def _conversation(turns: tuple[int, ...], held_out_forms: bool = False) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        forms: Forms = "held_out" if held_out_forms else "train"
        return _case(rng, sample_dialogue(rng, split, forms, turns=rng.choice(turns)))

    return build


def _outside(held_out: bool) -> Build:
    def build(rng: random.Random, split: Split) -> Case:
        turn = sample_outside(rng, "held_out" if held_out else "train")
        if rng.random() < 0.5:
            return _case(rng, _seen(turn, sample_scene(rng, split)))
        return _case(rng, Dialogue((turn,)))

    return build


SUITES: Final[dict[str, Build]] = {
    **{f"questions.{family}": _family(family) for family in FAMILIES},
    "questions/attr_combo": _questions(has_held_out_pair),
    "questions/count": _questions(has_held_out_count),
    "questions/relation": _questions(_can_relate_as_held_out, relations=True),
    "questions/template": _questions(held_out_forms=True),
    "questions/elsewhere": _elsewhere,
    "generation": _generation(),
    "generation/attr_combo": _generation("attr_combo"),
    "generation/count": _generation("count"),
    "generation/relation": _generation("relation"),
    "generation/template": _generation(held_out_forms=True),
    "editing": _editing(),
    "editing/attr_combo": _editing("attr_combo"),
    "editing/edit_combo": _editing("edit_combo"),
    "editing/template": _editing(held_out_forms=True),
    "editing/impossible": _impossible,
    "conversation": _conversation((3,)),
    "conversation/template": _conversation((3,), held_out_forms=True),
    "conversation/turns": _conversation((4, 5)),
    "outside": _outside(held_out=False),
    "outside/held_out": _outside(held_out=True),
}
"""Name to builder. A dot names a family of the iid suite, a slash what is held out."""


def build_suite(name: str, split: Split, n: int) -> list[Case]:
    """The first `n` cases of a suite.

    Raises:
        KeyError: there is no such suite.
    """
    build, rng = SUITES[name], random.Random(f"suite:{name}:{split}")
    return [build(rng, split) for _ in range(n)]


def fingerprint(cases: list[Case]) -> str:
    """SHA-256 of what is asked, about which pictures, and of what is right."""
    digest = hashlib.sha256()
    for case in cases:
        for turn, pictures in zip(case.dialogue.turns, case.pictures, strict=True):
            parts = [turn.user, *(scene.signature for scene in turn.images), *(s.text for s in turn.steps)]
            digest.update("\x1f".join(parts).encode())
            for picture in pictures:
                digest.update(f"{picture.size}".encode())
        digest.update(b"\x1e")
    return digest.hexdigest()
