"""The suites: frozen, of the right split, and each with no other novelty than its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from genllava_finetune.worlds.frozen_suites import SPLITS
from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes import freezing
from genllava_finetune.worlds.shapes.dialogue import EditCheck, Turn
from genllava_finetune.worlds.shapes.editing import is_held_out_edit
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.freezing import LENGTHS, check_frozen, fingerprint, freeze
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import (
    HELD_OUT_RELATIONS,
    MAX_TRAIN_TURNS,
    Split,
    has_held_out_count,
    has_held_out_pair,
    split_of,
)
from genllava_finetune.worlds.shapes.suites import SUITES, build_suite

HELD_OUT = {name: name.partition("/")[2] for name in SUITES}
SINGLE = [name for name, suite in SUITES.items() if suite.asked != "conversation"]


def scenes_of(turn: Turn) -> list[Scene]:
    return [*turn.images, *(step.target for step in turn.steps if step.target is not None)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.slow
def test_the_suites_are_frozen(split: Split) -> None:
    states = {name: check_frozen(name, split, build_suite(name, split, LENGTHS[0])) for name in SUITES}
    # Where a change is meant: python -m genllava_finetune.worlds.shapes.freezing, and measure again.
    assert {name for name, state in states.items() if state != "as recorded"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
def test_the_suites_are_frozen_in_all_their_length(split: Split) -> None:
    states = {name: check_frozen(name, split, build_suite(name, split, LENGTHS[-1])) for name in SUITES}
    assert {name for name, state in states.items() if state != "as recorded"} == set()


def test_a_changed_suite_is_noticed() -> None:
    cases = build_suite("questions.count", "dev", LENGTHS[0])
    turn = replace(cases[7].turn, user=cases[7].turn.user + "!")
    changed = [*cases]
    changed[7] = replace(cases[7], dialogue=replace(cases[7].dialogue, turns=(turn,)))
    assert check_frozen("questions.count", "dev", cases) == "as recorded"
    assert check_frozen("questions.count", "dev", changed) == "changed"
    assert check_frozen("questions.count", "dev", cases[:5]) == "too short to say"


@pytest.mark.slow
def test_freezing_writes_what_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezing, "_RECORD", tmp_path / "frozen.json")
    monkeypatch.setattr(freezing, "LENGTHS", (2, 3))
    freeze()
    record = json.loads((tmp_path / "frozen.json").read_text())
    assert set(record) == set(SPLITS)
    assert set(record["test"]) == set(SUITES)
    assert record["dev"]["outside"]["3"] == fingerprint(build_suite("outside", "dev", 3))
    assert check_frozen("editing", "test", build_suite("editing", "test", 4)) == "as recorded"


def test_dev_and_test_show_no_scene_in_common() -> None:
    for name in ("questions/template", "generation", "editing", "conversation"):
        shown = [
            {
                scene.signature
                for case in build_suite(name, split, 40)
                for turn in case.dialogue.turns
                for scene in scenes_of(turn)
            }
            for split in SPLITS
        ]
        assert all(shown)
        assert not shown[0] & shown[1]


def test_a_longer_suite_begins_with_the_shorter_one() -> None:
    assert fingerprint(build_suite("editing", "dev", 9)[:4]) == fingerprint(build_suite("editing", "dev", 4))


@pytest.mark.parametrize("name", list(SUITES))
@pytest.mark.parametrize("split", SPLITS)
def test_scenes_are_of_the_split_with_no_other_novelty(name: str, split: Split) -> None:
    held_out = HELD_OUT[name]
    for case in build_suite(name, split, 12):
        scenes = [scene for turn in case.dialogue.turns for scene in scenes_of(turn)]
        assert {split_of(scene) for scene in scenes} <= {split}
        assert any(map(has_held_out_pair, scenes)) == (held_out == "attr_combo")
        assert any(map(has_held_out_count, scenes)) == (held_out == "count")


@pytest.mark.parametrize("name", SINGLE)
def test_forms_and_edits_are_withheld_only_where_the_suite_says(name: str) -> None:
    for case in build_suite(name, "test", 25):
        turn = case.turn
        assert is_held_out_form(turn.form) == (HELD_OUT[name] == "template"), turn.form
        if isinstance(turn.check, EditCheck):
            assert isinstance(turn.check.changed, Changed)
            source, operations = turn.check.changed.source, turn.check.changed.operations
            assert is_held_out_edit(source, operations) == (HELD_OUT[name] == "edit_combo")


def test_conversations_have_their_turns_and_forms() -> None:
    for name, lengths in {
        "conversation": {3},
        "conversation/template": {3},
        "conversation/turns": {4, 5},
    }.items():
        cases = build_suite(name, "test", 20)
        assert {len(case.dialogue.turns) for case in cases} == lengths
        assert (max(lengths) > MAX_TRAIN_TURNS) == (name == "conversation/turns")
        for turn in (turn for case in cases for turn in case.dialogue.turns):
            assert is_held_out_form(turn.form) == (name == "conversation/template"), turn.form


@pytest.mark.slow
def test_questions_about_withheld_things_are_about_them() -> None:
    for case in build_suite("questions/relation", "test", 40):
        colors = {thing.color for thing in case.turn.images[0].things}
        assert any({first, second} <= colors for _, first, second in HELD_OUT_RELATIONS)
    answers = [case.turn.steps[0].text for case in build_suite("questions/relation", "test", 100)]
    assert answers.count("Yes.") > 15
    assert answers.count("No.") > 15
    assert len(set(answers)) > 10
    families = {case.turn.family for case in build_suite("questions/attr_combo", "test", 100)}
    assert len(families) >= 8


@pytest.mark.parametrize("name", ["outside", "impossible"])
def test_what_cannot_be_done_is_never_answered_with_a_picture(name: str) -> None:
    for case in build_suite(name, "test", 50):
        assert [step.task for step in case.turn.steps] == ["I2T"]


def test_drawings_made_elsewhere_are_drawn_alike_each_time() -> None:
    (case,) = build_suite("questions/elsewhere", "test", 1)
    first, again = case.pictures[0][0], case.pictures[0][0]
    assert first.tobytes() == again.tobytes()
    assert max(first.size) >= 200
