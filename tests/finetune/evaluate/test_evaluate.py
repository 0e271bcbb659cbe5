"""Measuring: intervals, what counts as right, and that the frozen suites stay what they are."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from PIL import Image

from genllava_finetune.evaluate.baselines import copy_source, majority
from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.report import Report
from genllava_finetune.evaluate.scoring import Produced, Score, score_turn
from genllava_finetune.evaluate.suites import SUITES, Case, build_suite, fingerprint
from genllava_finetune.shapes.dialogue import Step, Turn
from genllava_finetune.shapes.plan import write_plan
from genllava_finetune.shapes.render import render
from genllava_finetune.shapes.scene import random_scene
from genllava_finetune.shapes.splits import (
    HELD_OUT_RELATIONS,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    is_held_out_form,
    split_of,
)

SINGLE = [name for name in SUITES if not name.startswith("conversation")]


def oracle(step: Step) -> Produced:
    if step.target is None:
        return Produced(step.task, step.text)
    return Produced(step.task, image=render(step.target), plan=write_plan(step.target))


def wrong(step: Step) -> Produced:
    if step.target is None:
        return Produced(step.task, "")
    return Produced(step.task, image=Image.new("RGB", (128, 128), "white"), plan="nothing, on white")


def test_wilson_interval() -> None:
    low, high = Share(8, 10).interval  # Wilson's interval for 8 of 10: 0.490 to 0.943
    assert low == pytest.approx(0.4902, abs=1e-3)
    assert high == pytest.approx(0.9433, abs=1e-3)
    assert Share(0, 50).interval[0] == 0
    assert Share(50, 50).interval == pytest.approx((0.9287, 1.0), abs=1e-3)
    assert Share(0, 0).interval == (0, 1)


@pytest.mark.parametrize("name", list(SUITES))
def test_the_truth_scores_full_marks_and_nonsense_none(name: str) -> None:
    for case in build_suite(name, "dev", 12):
        for turn in case.dialogue.turns:
            score = score_turn(turn, [oracle(step) for step in turn.steps])
            assert score.right, (turn.user, turn.steps)
            assert score.routed
            assert not score_turn(turn, [wrong(step) for step in turn.steps]).right, turn.user
            assert not score_turn(turn, []).right


def test_the_wrong_task_is_wrong_whatever_comes_of_it() -> None:
    (case,) = build_suite("editing", "dev", 1)
    (turn,) = case.dialogue.turns
    score = score_turn(turn, [replace(oracle(turn.steps[0]), task="T2I")])
    assert score == Score(False, False, False, False, False, routes=("T2I",))


def test_an_edit_that_changes_more_than_asked_is_not_right() -> None:
    turn = next(
        case.dialogue.turns[0]
        for case in build_suite("editing", "dev", 50)
        if case.dialogue.turns[0].check.operations == ("background",)  # type: ignore[union-attr]
    )
    target = turn.steps[0].target
    assert target is not None
    spoilt = replace(target, things=tuple(replace(t, color="green") for t in target.things))
    score = score_turn(turn, [Produced("I2I", image=render(spoilt), plan=write_plan(target))])
    assert (score.right, score.changed, score.preserved, score.planned) == (False, True, False, True)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_suites_are_frozen(split: Any) -> None:
    stored = json.loads((resources.files("genllava_finetune.evaluate") / "frozen.json").read_text())
    now = {name: fingerprint(build_suite(name, split, 20)) for name in SUITES}
    assert now == stored[split]


@pytest.mark.parametrize("name", SINGLE)
def test_suites_hold_the_right_split_and_only_their_own_novelty(name: str) -> None:
    held_out = name.partition("/")[2]
    for case in build_suite(name, "test", 25):
        (turn,) = case.dialogue.turns
        scenes = [*turn.images, *(step.target for step in turn.steps if step.target is not None)]
        assert is_held_out_form(turn.form) == (held_out == "template" or name == "outside/held_out"), turn.form
        for scene in scenes:
            if held_out not in ("attr_combo", "count", "edit_combo", "relation"):
                assert in_distribution(scene)
                assert split_of(scene) == "test"
        if held_out == "attr_combo":
            assert any(has_held_out_pair(scene) for scene in scenes)
        if held_out == "count":
            assert any(has_held_out_count(scene) for scene in scenes)
        if name == "questions/relation":
            colors = {thing.color for thing in scenes[0].things}
            assert any({first, second} <= colors for _, first, second in HELD_OUT_RELATIONS)


def test_conversations_have_the_turns_they_should() -> None:
    assert {len(case.dialogue.turns) for case in build_suite("conversation", "test", 10)} == {3}
    assert {len(case.dialogue.turns) for case in build_suite("conversation/turns", "test", 20)} == {4, 5}


def test_baselines_are_far_from_right() -> None:
    assert copy_source(build_suite("editing", "dev", 40)).value < 0.2
    assert majority(build_suite("questions.color_of", "dev", 40), "color_of").value < 0.3


def test_the_report_counts_and_prints() -> None:
    report = Report("dev")
    cases: list[Case] = []
    scores: list[Score] = []
    for case in build_suite("editing", "dev", 20):
        turn: Turn = case.dialogue.turns[0]
        right = len(cases) % 4 != 0
        cases.append(case)
        scores.append(score_turn(turn, [oracle(s) if right else wrong(s) for s in turn.steps]))
    report.add_single("editing", cases, scores)
    report.add_conversations("conversation", [[Score(True, True), Score(False, True)], [Score(True, True)] * 2])
    assert report.suites["editing"] == Share(15, 20)
    assert report.details["editing"]["routing"] == Share(20, 20)
    assert report.suites["conversation"] == Share(1, 2)
    assert report.details["conversation"]["turn 2"] == Share(1, 2)
    assert report.confusion == {"I2I": {"I2I": 20}}
    text = report.markdown()
    assert "75.0% [53.1, 88.8]" in text
    assert json.loads(json.dumps(report.as_dict()))["suites"]["editing"]["right"] == 15


def test_a_random_scene_is_not_taken_for_another() -> None:
    rng = random.Random(0)
    (case,) = build_suite("generation", "dev", 1)
    turn = case.dialogue.turns[0]
    hits = sum(score_turn(turn, [Produced("T2I", image=render(random_scene(rng)), plan="")]).right for _ in range(50))
    assert hits < 10
