"""The same seeds give the same texts: what training and the frozen suites were made of does not change unnoticed.

`python -m tests.finetune.worlds.shapes.test_same_texts` records the texts as they are now, where a change is meant.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Turn
from genllava_finetune.worlds.shapes.editing import sample_edit, sample_undo
from genllava_finetune.worlds.shapes.generation import sample_generation
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.mixture import sample_changes, sample_outline, sample_training_dialogue
from genllava_finetune.worlds.shapes.outside import KINDS, sample_outside
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import RESEARCH, sample_scene
from genllava_finetune.worlds.shapes.tasks import sample_borrowing, sample_naming, sample_task
from genllava_finetune.worlds.shapes.tool_dialogues import tool_dialogues
from genllava_finetune.worlds.shapes.understanding import (
    FAMILIES,
    FOLLOWED,
    sample_follow_up,
    sample_lookups,
    sample_question,
    sample_question_about_it,
)

RECORD = Path(__file__).with_name("same_texts.json")
TURNS = 300
FORMS = ("train", "held_out")

Sample = Callable[[random.Random], Dialogue | Turn | None]


def about(sample: Callable[[random.Random, Scene], Turn | None], split: str = "train") -> Sample:
    """A turn about a scene of a split; None where the scene gives none."""

    def drawn(rng: random.Random) -> Turn | None:
        try:
            return sample(rng, sample_scene(rng, split, withhold=RESEARCH))
        except ValueError:
            return None

    return drawn


def samples() -> dict[str, Sample]:
    """Whatever is said in this world, by name."""
    made: dict[str, Sample] = {}
    for forms in FORMS:
        for family in FAMILIES:
            made[f"question {family} {forms}"] = about(
                lambda r, s, f=forms, k=family: sample_question(r, s, f, k, withhold=RESEARCH)
            )
        made[f"question of a picture {forms}"] = about(
            lambda r, s, f=forms: sample_question(r, s, f, number=2, withhold=RESEARCH)
        )
        for family in FOLLOWED:
            made[f"follow up {family} {forms}"] = about(
                lambda r, s, f=forms, k=family: sample_follow_up(r, s, f, k, withhold=RESEARCH)
            )
        for kind in KINDS:
            made[f"outside {kind} {forms}"] = partial(sample_outside, forms=forms, kind=kind)
        made[f"impossible {forms}"] = about(lambda r, s, f=forms: sample_impossible_edit(r, s, 1, f, withhold=RESEARCH))
        made[f"undo {forms}"] = about(lambda r, s, f=forms: sample_undo(r, s, 1, f))
        made[f"edit {forms}"] = about(lambda r, s, f=forms: sample_edit(r, s, 1, f, "train", withhold=RESEARCH))
        made[f"edit of a picture {forms}"] = about(
            lambda r, s, f=forms: sample_edit(r, s, 2, f, "train", None, True, withhold=RESEARCH)
        )
        made[f"generation {forms}"] = partial(sample_generation, withhold=RESEARCH, split="train", forms=forms)
        made[f"task {forms}"] = partial(sample_task, withhold=RESEARCH, split="train", forms=forms)
        made[f"conversation {forms}"] = partial(sample_dialogue, withhold=RESEARCH, split="train", forms=forms)
    for kind in ("full", "placed", "partial", "count", "relation", "negation"):
        made[f"generation {kind}"] = partial(
            sample_generation, withhold=RESEARCH, split="train", forms="train", kind=kind, short=True
        )
    for heldout in ("attr_combo", "count", "relation"):
        made[f"generation, held out: {heldout}"] = partial(
            sample_generation, withhold=RESEARCH, split="test", forms="train", heldout=heldout
        )
    for heldout in ("attr_combo", "edit_combo"):
        made[f"edit, held out: {heldout}"] = about(
            lambda r, s, h=heldout: sample_edit(r, s, 1, "train", "train", h, withhold=RESEARCH)
        )
    made["question, held out: relation"] = about(
        lambda r, s: sample_question(r, s, "train", heldout_relations=True, withhold=RESEARCH)
    )
    made["task of the test split"] = partial(sample_task, withhold=RESEARCH, split="test", forms="train")
    made["conversation of the test split"] = partial(sample_dialogue, withhold=RESEARCH, split="test", forms="train")
    made["it"] = about(lambda r, s: sample_question_about_it(r, s, "train") if s.things else None)
    made["lookups"] = about(lambda r, s: sample_lookups(r, s, 8, withhold=RESEARCH))
    research: dict[str, Any] = {
        "borrowing": sample_borrowing,
        "naming": sample_naming,
        "changes": sample_changes,
        "outline": sample_outline,
        "training": sample_training_dialogue,
    }
    made |= {name: partial(sample, withhold=RESEARCH) for name, sample in research.items()}
    return made


def texts(name: str, sample: Sample) -> Iterable[str]:
    """What is said in `TURNS` turns, with all that goes with it."""
    rng, turns = random.Random(f"same texts: {name}"), 0
    for _ in range(TURNS):
        drawn = sample(rng)
        for turn in drawn.turns if isinstance(drawn, Dialogue) else [] if drawn is None else [drawn]:
            yield repr((turn.user, turn.form, turn.family, turn.asked, turn.looks))
            yield repr([(step.task, step.text, step.source, step.target) for step in turn.steps])
            yield repr(turn.images)
            turns += 1
        if turns >= TURNS:
            return


def digest(said: Iterable[str]) -> str:
    """SHA-256 of the texts, its beginning."""
    joined = "\x1e".join(said)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def tool_texts() -> Iterable[str]:
    for made in tool_dialogues(1, 24, withhold=RESEARCH):
        yield repr((made.row.messages, made.names, made.row.tools))


@pytest.mark.parametrize("name", samples())
def test_the_same_seeds_give_the_same_texts(name: str) -> None:
    assert digest(texts(name, samples()[name])) == json.loads(RECORD.read_text())[name]


def test_the_same_seeds_give_the_same_calls_of_tools() -> None:
    assert digest(tool_texts()) == json.loads(RECORD.read_text())["tools"]


if __name__ == "__main__":
    record = {name: digest(texts(name, sample)) for name, sample in samples().items()} | {"tools": digest(tool_texts())}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
