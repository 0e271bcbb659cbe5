"""What counts as right: the truth does in every suite, and nothing that differs from it where it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image

from genllava_finetune.worlds.base import Produced, Score
from genllava_finetune.worlds.shapes.dialogue import DeclineCheck, EditCheck, StepsCheck, Turn
from genllava_finetune.worlds.shapes.grading import score_turn
from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.suites import SUITES, build_suite

Make = Callable[[Turn], list[Produced]]


def turn_of(suite: str, want: Callable[[Turn], bool] = lambda turn: True) -> Turn:
    turns = (turn for case in build_suite(suite, "dev", 150) for turn in case.dialogue.turns)
    return next(turn for turn in turns if want(turn))


def target_of(turn: Turn) -> Scene:
    target = turn.steps[0].target
    assert target is not None
    return target


@pytest.mark.parametrize("name", list(SUITES))
def test_the_truth_is_right_and_nonsense_is_not(name: str, perfect: Make, hopeless: Make) -> None:
    for case in build_suite(name, "dev", 12):
        for turn in case.dialogue.turns:
            score = score_turn(turn, perfect(turn))
            assert score.right, (turn.user, turn.steps)
            assert score.routed
            assert score.planned is not False
            assert score.declined is not False
            spoilt = score_turn(turn, hopeless(turn))
            assert not spoilt.right, turn.user
            assert spoilt.routed
            assert not score_turn(turn, []).routed


def test_the_wrong_task_is_wrong_whatever_comes_of_it(perfect: Make) -> None:
    turn = turn_of("editing")
    produced = [replace(segment, task="T2I") for segment in perfect(turn)]
    expected = Score(False, False, changed=False, preserved=False, planned=False, routes=("T2I",))
    assert score_turn(turn, produced) == expected


def test_words_in_place_of_a_picture_are_wrong() -> None:
    for suite in ("generation", "editing"):
        turn = turn_of(suite)
        produced = Produced(turn.steps[0].task, text="I can only see, draw and edit simple shapes.")
        assert not score_turn(turn, [produced]).right


def test_an_edit_that_changes_more_than_asked_is_not_right() -> None:
    turn = turn_of("editing", lambda t: isinstance(t.check, EditCheck) and t.check.operations == ("background",))
    target = target_of(turn)
    spoilt = replace(target, things=tuple(replace(t, color="green") for t in target.things))
    assert spoilt != target
    score = score_turn(turn, [Produced("I2I", image=render(spoilt), plan=write_plan(target))])
    assert (score.right, score.changed, score.preserved, score.planned) == (False, True, False, True)


def test_an_edit_that_changes_nothing_keeps_everything() -> None:
    for case in build_suite("editing", "dev", 10):
        score = score_turn(case.turn, [Produced("I2I", image=case.pictures[0][0])])
        assert (score.right, score.changed, score.planned) == (False, False, False)


def test_what_is_not_of_the_domain_counts_as_wrong_and_is_told_apart() -> None:
    turn = turn_of("generation")
    picture = render(target_of(turn))
    picture.paste((90, 60, 20), (60, 0, 66, 128))
    score = score_turn(turn, [Produced("T2I", image=picture, plan=write_plan(target_of(turn)))])
    assert (score.right, score.unparsed, score.planned) == (False, True, True)


def test_declining_takes_the_honest_words_and_no_picture() -> None:
    for suite in ("outside", "impossible"):
        turn = turn_of(suite)
        assert isinstance(turn.check, DeclineCheck)
        said = turn.steps[0].text
        assert score_turn(turn, [Produced("I2T", said.upper().rstrip("."))]).right
        evasive = score_turn(turn, [Produced("I2T", "Yes.")])
        assert (evasive.right, evasive.declined) == (False, True)
        assert score_turn(turn, [Produced("I2T", "")]).declined is False
        drawn = score_turn(turn, [Produced("T2I", image=Image.new("RGB", (128, 128)))])
        assert (drawn.right, drawn.declined, drawn.routed) == (False, False, False)


def test_every_step_of_a_turn_has_to_be_right(perfect: Make, hopeless: Make) -> None:
    turn = turn_of("routing", lambda t: isinstance(t.check, StepsCheck))
    good, bad = perfect(turn), hopeless(turn)
    assert score_turn(turn, good).right
    assert not score_turn(turn, [good[0], bad[1]]).right
    assert not score_turn(turn, [bad[0], good[1]]).right
    assert not score_turn(turn, good[:1]).routed
    assert not score_turn(turn, [*good, good[-1]]).routed
