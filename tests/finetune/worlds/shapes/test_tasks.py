"""Tasks of several steps: each step follows from the pictures before it, and nothing withheld is asked for."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.answers import is_right
from genllava_finetune.worlds.shapes.dialogue import (
    AnswerCheck,
    DeclineCheck,
    Dialogue,
    EditCheck,
    SceneCheck,
    SingleCheck,
    StepsCheck,
    Turn,
)
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.language.task_sentences import IN_ANY_WAY, IN_ORDER, MAX_STEPS
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, Scene
from genllava_finetune.worlds.shapes.splits import (
    HELD_OUT_EDIT_PAIRS,
    RESEARCH,
    Split,
    allowed,
)
from genllava_finetune.worlds.shapes.task_requests import MAX_PICTURES, AnyBackground
from genllava_finetune.worlds.shapes.tasks import sample_naming, sample_task

seeds = st.integers(0, 2**32).map(random.Random)
splits = st.sampled_from(["train", "dev", "test"])


def checks_of(turn: Turn) -> tuple[SingleCheck, ...]:
    return turn.check.checks if isinstance(turn.check, StepsCheck) else (turn.check,)


def changes_of(turn: Turn) -> list[EditCheck]:
    return [check for check in checks_of(turn) if isinstance(check, EditCheck)]


def read(scene: Scene) -> Scene:
    """What the oracle makes of a picture of the scene."""
    found = parse(render_array(scene)).scene
    assert found is not None
    return found


def replay(dialogue: Dialogue) -> list[Scene]:
    """All pictures in order; on the way, that the oracle finds every step right in a picture of its own truth."""
    scenes: list[Scene] = []
    for turn in dialogue.turns:
        scenes += turn.images
        for step, check in zip(turn.steps, checks_of(turn), strict=True):
            if isinstance(check, AnswerCheck):
                assert is_right(check, step.text)
            elif isinstance(check, SceneCheck):
                assert step.target is not None
                assert check.holds(read(step.target))
                assert read_plan(step.text) == step.target
            elif isinstance(check, EditCheck):
                assert step.target is not None
                assert step.source is not None
                source = scenes[step.source - 1]
                assert check.changed(read(step.target))
                assert check.preserved(read(step.target))
                assert not (check.changed(read(source)) and check.preserved(read(source)))
                changed = check.changed.condition if isinstance(check.changed, AnyBackground) else check.changed
                assert isinstance(changed, Changed)
                assert changed.source == source
                assert step.text.startswith(f"image {step.source}: ")
            if step.target is not None:
                scenes.append(step.target)
    return scenes


@settings(deadline=None, max_examples=60)
@given(seeds, splits)
def test_every_step_is_right_of_the_pictures_before_it(rng: random.Random, split: Split) -> None:
    dialogue = sample_task(rng, split, "train", withhold=RESEARCH)
    scenes = replay(dialogue)
    assert len(scenes) <= MAX_PICTURES
    assert all(allowed(scene, split) for scene in scenes)
    assert 2 <= len(dialogue.turns[-1].steps) <= MAX_STEPS
    assert isinstance(dialogue.turns[-1].check, StepsCheck)
    for turn in dialogue.turns:
        assert turn.user.strip()
        assert not set("{}") & set(turn.user)
        assert len(turn.asked) == (len(turn.steps) if len(turn.steps) > 1 else 0)


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_there_is_one_look_for_every_step(rng: random.Random) -> None:
    pictures = 0
    for turn in sample_task(rng, "train", "train", withhold=RESEARCH).turns:
        pictures += len(turn.images)
        for step, check, look in zip(turn.steps, checks_of(turn), turn.looks, strict=True):
            about, notes = look.about, look.notes
            assert not look.planned
            assert about is None or 1 <= about <= pictures
            assert bool(about) or not notes
            if step.source is not None:
                assert about == step.source
            if isinstance(check, AnswerCheck):
                assert about is not None
            pictures += step.target is not None


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_nothing_is_asked_of_a_background_that_was_left_open(rng: random.Random) -> None:
    """What comes later can be judged only if it follows from what was asked."""
    for turn in sample_task(rng, "test", "train", withhold=RESEARCH).turns:
        for step, check in zip(turn.steps, checks_of(turn), strict=True):
            if isinstance(check, EditCheck) and isinstance(check.changed, AnyBackground):
                assert step.target is not None
                for background in BACKGROUNDS:
                    drawn = Scene(background, step.target.things)
                    assert check.changed(drawn)
                    assert check.preserved(drawn)


@settings(deadline=None, max_examples=60)
@given(seeds, splits)
def test_changes_are_pictures_of_their_own(rng: random.Random, split: Split) -> None:
    for turn in sample_task(rng, split, "train", withhold=RESEARCH).turns:
        kinds = [check.operations[0] for check in changes_of(turn)]
        assert all(len(check.operations) == 1 for check in changes_of(turn))
        assert not any({pair, pair[::-1]} & HELD_OUT_EDIT_PAIRS for pair in pairwise(kinds))
        # Two changes and nothing else would ask for one picture.
        assert [step.task for step in turn.steps] != ["I2I", "I2I"]


def test_only_training_declines_in_the_middle_of_a_task() -> None:
    rng = random.Random(3)

    def declined(split: Split) -> int:
        turns = [turn for _ in range(120) for turn in sample_task(rng, split, "train", withhold=RESEARCH).turns]
        return sum(isinstance(check, DeclineCheck) for turn in turns for check in checks_of(turn))

    assert declined("train") > 5
    assert declined("dev") == 0


@pytest.mark.parametrize("count", IN_ORDER)
def test_forms_of_the_splits_have_nothing_in_common(count: int) -> None:
    for intent in (IN_ORDER[count], IN_ANY_WAY[count]):
        train, held_out = set(intent.forms("train")), set(intent.forms("held_out"))
        assert train
        assert held_out
        assert not train & held_out
        assert all(form.count("{") == count for form in train | held_out)


def test_withheld_forms_are_used_only_where_asked_for() -> None:
    rng = random.Random(1)
    for _ in range(60):
        assert not any(
            is_held_out_form(turn.form) for turn in sample_task(rng, "train", "train", withhold=RESEARCH).turns
        )
    for _ in range(20):
        dialogue = sample_task(rng, "dev", "held_out", withhold=RESEARCH)
        assert all(is_held_out_form(turn.form) for turn in dialogue.turns)


def test_the_same_seed_gives_the_same_task() -> None:
    for split in ("train", "dev"):
        one, other = (sample_task(random.Random(5), split, "train", withhold=RESEARCH) for _ in range(2))
        assert [(turn.user, turn.images, turn.steps, turn.looks) for turn in one.turns] == [
            (turn.user, turn.images, turn.steps, turn.looks) for turn in other.turns
        ]


def test_requests_are_copied_as_they_stand() -> None:
    """But for a slip of the pen, which a message may have."""
    rng = random.Random(4)
    turns = [
        turn for _ in range(100) for turn in sample_task(rng, "train", "train", withhold=RESEARCH).turns if turn.asked
    ]
    copied = [text in turn.user.lower() for turn in turns for text in turn.asked]
    assert sum(copied) > 0.95 * len(copied)


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_requests_that_name_pictures_name_the_one_that_they_are_about(rng: random.Random) -> None:
    dialogue = sample_naming(rng, withhold=RESEARCH)
    assert 3 <= len(dialogue.turns[0].images) < MAX_PICTURES
    assert len(replay(dialogue)) <= MAX_PICTURES
    for turn in dialogue.turns:
        assert turn.about is not None
        names = {1: "one|first|1", 2: "two|second|2", 3: "three|third|3", 4: "four|fourth|4"}
        others = "|".join(words for number, words in names.items() if number != turn.about)
        assert not re.search(rf"(picture|image|drawing) (no\.|number)? ?({others})\b", turn.user.lower())
        assert not re.search(rf"\b({others}) (picture|image|drawing)\b", turn.user.lower()), turn.user


def test_tasks_are_of_every_kind() -> None:
    rng = random.Random(2)
    turns = [turn for _ in range(400) for turn in sample_task(rng, "train", "train", withhold=RESEARCH).turns]
    users = " ".join(turn.user.lower() for turn in turns)
    routes = {tuple(step.task for step in turn.steps) for turn in turns}
    assert {("T2I", "I2I", "I2T"), ("T2I", "T2I", "I2I"), ("I2I", "I2I", "I2T"), ("I2T", "I2T")} <= routes
    assert {len(route) for route in routes} == {1, 2, 3, 4, 5}
    for words in ("its ", "the first one", "'s background", "tell me", "and finally"):
        assert words in users
    older = [step.source for turn in turns for step in turn.steps if step.source is not None]
    assert len(set(older)) > 3
