"""The frozen suites of the things world."""

from __future__ import annotations

import pytest

from genllava_finetune.worlds.base import Produced, load_world
from genllava_finetune.worlds.things.freezing import check_frozen, fingerprint
from genllava_finetune.worlds.things.pictures.elsewhere import other_place
from genllava_finetune.worlds.things.suites import SAMPLES, SUITES, build_suite

_NEED_OTHER = "elsewhere.another hand"
_QUICK = [name for name in SAMPLES if not name.startswith("elsewhere")]


@pytest.mark.parametrize("name", _QUICK)
def test_more_cases_begin_with_the_fewer(name: str) -> None:
    few, more = build_suite(name, "dev", 4), build_suite(name, "dev", 8)
    assert more[:4] == few
    assert build_suite(name, "test", 4) != few


@pytest.mark.parametrize("name", _QUICK)
def test_every_case_says_what_is_right(name: str) -> None:
    world = load_world("things")
    for case in build_suite(name, "dev", 12):
        assert len(case.turns) == len(case.brought)
        for turn in case.turns:
            assert turn.user
            assert turn.steps
            assert turn.tasks
            assert world.kind(turn)
            assert not world.grade(turn, []).right


@pytest.mark.usefixtures("things_art")
@pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith(("elsewhere", "unreadable", "own"))])
def test_pictures_can_be_drawn(name: str) -> None:
    if name == _NEED_OTHER and not other_place().is_file():
        pytest.skip("the other hand's drawings are not prepared")
    for case in build_suite(name, "dev", 3):
        (picture,) = case.pictures[0]
        assert picture.mode == "RGB"
        assert [each.tobytes() for each in case.pictures[0]] == [picture.tobytes()]
        assert case.showing(((picture,),)).pictures == ((picture,),)


def test_tools_and_no_tools() -> None:
    world = load_world("things")
    for case in build_suite("tools", "dev", 20):
        assert all(task.startswith("TOOL ") for task in case.turns[-1].tasks)
    turn = build_suite("tools not needed", "dev", 1)[0].turns[0]
    assert world.grade(turn, [Produced("I2T", "A cat.")]).right
    assert not world.grade(turn, [Produced("TOOL", '{"name": "crop", "arguments": {}}')]).right


def test_verbs_end_with_one() -> None:
    for case in build_suite("verbs", "dev", 10):
        assert case.turns[-1].steps[0].thread is not None


@pytest.mark.usefixtures("things_art")
@pytest.mark.parametrize("name", ["drawing", "editing/withheld", "questions.count"])
def test_a_fingerprint_tells_cases_apart(name: str) -> None:
    cases = build_suite(name, "dev", 50)
    assert fingerprint(cases) == fingerprint(build_suite(name, "dev", 50))
    assert fingerprint(cases) != fingerprint(cases[1:])
    assert check_frozen(name, "dev", cases[:3]) == "too short to say"
    assert check_frozen(name, "dev", cases) == "as recorded"


def test_the_world_is_found_by_its_name() -> None:
    world = load_world("things")
    assert world.suites is SUITES
    assert {suite.asked for suite in SUITES.values()} == {"first task", "turn", "conversation"}
