"""Nothing that is held out for the tests ever reaches training."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import Dialogue, EditCheck, SceneCheck, StepsCheck
from genllava_finetune.worlds.shapes.editing import is_held_out_edit
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.language.instructions import ADD, ADD_AT, REMOVE
from genllava_finetune.worlds.shapes.mixture import sample_changes, sample_training_dialogue
from genllava_finetune.worlds.shapes.scene import COLORS, SHAPES, Scene, random_scene
from genllava_finetune.worlds.shapes.specification import Specification
from genllava_finetune.worlds.shapes.splits import (
    HELD_OUT_COUNT,
    HELD_OUT_EDITS,
    HELD_OUT_PAIRS,
    HELD_OUT_RELATIONS,
    MAX_TRAIN_TURNS,
    RESEARCH,
    allowed,
    sample_scene,
    split_of,
)
from genllava_finetune.worlds.shapes.training.image_decoder import sample_pair


@pytest.fixture(scope="module")
def training() -> list[Dialogue]:
    rng = random.Random(2024)
    mixed = [sample_training_dialogue(rng, withhold=RESEARCH) for _ in range(2000)]
    dialogues = [sample_dialogue(rng, "train", "train", withhold=RESEARCH) for _ in range(5000)]
    return (
        dialogues
        + [sample_changes(rng, withhold=RESEARCH) for _ in range(1000)]
        + [one for one in mixed if one is not None]
    )


def scenes_of(dialogue: Dialogue) -> list[Scene]:
    drawn = [step.target for turn in dialogue.turns for step in turn.steps if step.target is not None]
    return [scene for turn in dialogue.turns for scene in turn.images] + drawn


def test_no_picture_of_training_is_held_out(training: list[Dialogue]) -> None:
    for dialogue in training:
        for scene in scenes_of(dialogue):
            assert allowed(scene, "train"), scene


def test_no_sentence_form_of_training_is_held_out(training: list[Dialogue]) -> None:
    for dialogue in training:
        for turn in dialogue.turns:
            assert not is_held_out_form(turn.form), turn


def test_training_conversations_are_short(training: list[Dialogue]) -> None:
    assert max(len(dialogue.turns) for dialogue in training) == MAX_TRAIN_TURNS


def test_no_edit_or_request_of_training_is_held_out(training: list[Dialogue]) -> None:
    seen: Counter[str] = Counter()
    for dialogue in training:
        for turn in dialogue.turns:
            for check in turn.check.checks if isinstance(turn.check, StepsCheck) else (turn.check,):
                if isinstance(check, EditCheck):
                    assert isinstance(check.changed, Changed)
                    assert not is_held_out_edit(check.changed.source, check.changed.operations), turn
                    seen["edit"] += 1
                if isinstance(check, SceneCheck):
                    spec = getattr(check.holds, "__self__", None)
                    assert isinstance(spec, Specification)
                    assert not asks_for_something_held_out(spec), turn
                    seen["request"] += 1
    assert min(seen["edit"], seen["request"]) > 500


def asks_for_something_held_out(spec: Specification) -> bool:
    pairs = {(ask.what.shape, ask.what.color) for ask in spec.asks}
    relation = spec.relation and (spec.relation.name, *(ask.what.color for ask in spec.asks))
    return (
        bool(pairs & HELD_OUT_PAIRS)
        or relation in HELD_OUT_RELATIONS
        or (spec.total, spec.background) == HELD_OUT_COUNT
    )


def test_declined_edits_of_training_ask_for_nothing_withheld(training: list[Dialogue]) -> None:
    withheld = dict(HELD_OUT_EDITS)
    removing = set(REMOVE.all.forms())
    adding = {*ADD.all.forms(), *ADD_AT.all.forms()}
    for dialogue in training:
        for turn in dialogue.turns:
            if turn.family in ("edit.false_premise", "edit.ambiguous"):
                text = turn.user.lower()
                assert f"into a {withheld['replace']}" not in text
                assert f"to {withheld['recolor']}" not in text
                assert f"to the {withheld['move']}" not in text
                assert turn.form not in removing or withheld["remove"] not in text
                assert turn.form not in adding or withheld["add"] not in text


def test_what_the_image_decoder_learns_is_of_the_training_split() -> None:
    rng = random.Random(7)
    for _ in range(3000):
        for scene in sample_pair(rng, withhold=RESEARCH):
            assert scene is None or allowed(scene, "train"), scene


def test_what_is_held_out_is_seen_in_other_combinations(training: list[Dialogue]) -> None:
    things = Counter((t.shape, t.color) for d in training for s in scenes_of(d) for t in s.things)
    for shape in SHAPES:
        assert sum(count for (s, _), count in things.items() if s == shape) > 500
    for color in COLORS:
        assert sum(count for (_, c), count in things.items() if c == color) > 500
    counts = Counter((len(s.things), s.background) for d in training for s in scenes_of(d))
    assert all(counts[n, b] > 100 for n in (1, 2, 3) for b in ("white", "beige"))


def test_splits_do_not_overlap_and_have_their_shares() -> None:
    rng = random.Random(1)
    shares = Counter(split_of(random_scene(rng)) for _ in range(20_000))
    assert 0.88 < shares["train"] / 20_000 < 0.92
    assert 0.03 < shares["dev"] / 20_000 < 0.05
    assert 0.05 < shares["test"] / 20_000 < 0.07
    for split in ("train", "dev", "test"):
        assert split_of(sample_scene(rng, split, withhold=RESEARCH)) == split
