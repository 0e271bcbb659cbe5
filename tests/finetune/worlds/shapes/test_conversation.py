"""Conversations: pictures are counted, later turns build on earlier ones, and only what is known is asked."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.conversation import MAX_PICTURES, HeldOutPart, sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import (
    Check,
    Dialogue,
    EditCheck,
    SceneCheck,
    StepsCheck,
    Turn,
)
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.specification import Specification
from genllava_finetune.worlds.shapes.splits import (
    MAX_TRAIN_TURNS,
    RESEARCH,
    has_held_out_count,
    has_held_out_pair,
    split_of,
)

seeds = st.integers(0, 2**32).map(random.Random)
REPOSITORY = Path(__file__).parents[3]
DRAW_SOME = """
import hashlib, random
from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.splits import RESEARCH
rng = random.Random(3)
def drawn(s, h):
    return sample_dialogue(rng, s, "all", heldout=h, withhold=RESEARCH).turns
texts = [repr([(t.user, t.form, t.images, t.steps) for t in drawn(s, h)])
         for s in ("train", "test") for h in (None, "edit_combo", "attr_combo", "relation") for _ in range(8)]
print(hashlib.sha256("".join(texts).encode()).hexdigest())
"""


def checks_of(turn: Turn) -> tuple[Check, ...]:
    return turn.check.checks if isinstance(turn.check, StepsCheck) else (turn.check,)


def replay(dialogue: Dialogue) -> list[Scene]:
    """All pictures in order; on the way, that every edit starts from the picture it names."""
    scenes: list[Scene] = []
    for turn in dialogue.turns:
        scenes += turn.images
        assert len(checks_of(turn)) == len(turn.steps)
        for step, check in zip(turn.steps, checks_of(turn), strict=True):
            if step.task == "I2I":
                assert isinstance(check, EditCheck)
                assert isinstance(check.changed, Changed)
                assert step.source is not None
                assert step.target is not None
                assert check.changed.source == scenes[step.source - 1]
                assert check.changed(step.target)
                assert check.preserved(step.target)
                assert step.text.startswith(f"image {step.source}: ")
            if step.target is not None:
                scenes.append(step.target)
    return scenes


@given(seeds)
def test_a_training_conversation_holds_together(rng: random.Random) -> None:
    dialogue = sample_dialogue(rng, "train", "train", withhold=RESEARCH)
    assert 1 <= len(dialogue.turns) <= MAX_TRAIN_TURNS
    assert len(replay(dialogue)) <= MAX_PICTURES
    for turn in dialogue.turns:
        assert turn.user.strip()
        assert "{" not in turn.user
        assert turn.steps


@given(seeds, st.sampled_from([3, 4, 5]))
def test_a_test_conversation_has_its_length_and_split(rng: random.Random, turns: int) -> None:
    dialogue = sample_dialogue(rng, "test", "train", turns, withhold=RESEARCH)
    assert len(dialogue.turns) == turns
    scenes = replay(dialogue)
    assert len(scenes) <= MAX_PICTURES
    assert {split_of(scene) for scene in scenes} <= {"test"}


@given(seeds)
def test_tests_ask_only_for_pictures_known_beforehand(rng: random.Random) -> None:
    """What comes later can be judged only if a right answer draws one scene and no other."""
    for turn in sample_dialogue(rng, "test", "train", 3, withhold=RESEARCH).turns:
        for check in checks_of(turn):
            if isinstance(check, SceneCheck):
                spec = getattr(check.holds, "__self__", None)
                assert isinstance(spec, Specification)
                assert spec.complete


@pytest.mark.parametrize("heldout", ["attr_combo", "count", "edit_combo", "relation"])
def test_held_out_conversations(heldout: HeldOutPart) -> None:
    rng = random.Random(11)
    for _ in range(12):
        dialogue = sample_dialogue(rng, "test", "train", 3, heldout, withhold=RESEARCH)
        scenes = replay(dialogue)
        if heldout == "attr_combo":
            assert any(map(has_held_out_pair, scenes))
        if heldout == "count":
            assert any(map(has_held_out_count, scenes))


def test_withheld_forms() -> None:
    rng = random.Random(12)
    for _ in range(20):
        for turn in sample_dialogue(rng, "test", "held_out", 3, withhold=RESEARCH).turns:
            assert is_held_out_form(turn.form), turn


def test_all_kinds_of_turn_occur_in_varied_words() -> None:
    rng = random.Random(13)
    dialogues = [sample_dialogue(rng, "train", "train", withhold=RESEARCH) for _ in range(1500)]
    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    tasks = Counter(tuple(step.task for step in turn.steps) for turn in turns)
    for kind in [
        ("I2T",),
        ("T2I",),
        ("I2I",),
        ("I2I", "I2T"),
        ("T2I", "I2I"),
        ("T2I", "I2T"),
        ("I2T", "I2I"),
    ]:
        assert tasks[kind] > 10, kind
    assert not [kind for kind in tasks if kind.count("I2I") > 1]
    assert len({turn.user for turn in turns}) > 0.9 * len(turns)
    assert len({turn.form for turn in turns}) > 800
    assert any(" it " in f" {turn.user.lower()} " for turn in turns if turn.steps[0].task == "I2I")


def test_every_process_draws_the_same() -> None:
    outputs = set()
    for seed in ("1", "2"):
        path = os.pathsep.join(str(REPOSITORY / part) for part in (".", "finetune"))
        result = subprocess.run(
            [sys.executable, "-c", DRAW_SOME],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(result.stdout)
    assert len(outputs) == 1


def test_drawing_turns_is_fast() -> None:
    rng = random.Random(14)
    sample_dialogue(rng, "train", "train", withhold=RESEARCH)
    for _ in range(3):
        start, turns = time.process_time(), 0
        while turns < 1000:
            turns += len(sample_dialogue(rng, "train", "train", withhold=RESEARCH).turns)
        per_turn = (time.process_time() - start) / turns
        if per_turn < 800e-6:
            return
    pytest.fail(f"{1e6 * per_turn:.0f} us per turn")
