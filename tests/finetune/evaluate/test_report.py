"""The report counts what it should, and prints it."""

from __future__ import annotations

import json
from collections.abc import Callable

from genllava_finetune.evaluate.report import Report, total
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Produced, Score
from genllava_finetune.worlds.shapes.dialogue import Turn
from genllava_finetune.worlds.shapes.grading import score_turn
from genllava_finetune.worlds.shapes.suites import build_suite
from genllava_finetune.worlds.shapes.world import WORLD

Make = Callable[[Turn], list[Produced]]


def test_single_turns_are_counted_by_what_they_are_about(perfect: Make, hopeless: Make) -> None:
    report = Report(WORLD, "dev")
    for name in ("editing", "generation", "questions/template", "outside"):
        cases = build_suite(name, "dev", 20)
        makes = [hopeless if number % 4 == 0 else perfect for number in range(20)]
        scores = [score_turn(case.turn, make(case.turn)) for case, make in zip(cases, makes, strict=True)]
        report.add_single(name, cases, scores)
        assert report.suites[name] == Share(15, 20)
        assert report.details[name]["routing"] == Share(20, 20)
    assert report.details["editing"]["plan right"] == Share(15, 20)
    assert report.details["generation"]["right where the plan is"] == Share(15, 15)
    assert report.details["outside"]["answers in words, draws nothing"] == Share(20, 20)
    assert any(detail.startswith("tag ") for detail in report.details["generation"])
    operations = [n for n in report.details["editing"] if n.startswith("operation ") and ":" not in n]
    assert total(report.details["editing"][name] for name in operations) == Share(15, 20)
    assert total(s for n, s in report.details["questions/template"].items() if "family" in n) == Share(15, 20)
    assert report.confusion == {"I2I": {"I2I": 20}, "T2I": {"T2I": 20}, "I2T": {"I2T": 40}}
    assert "75.0% [53.1, 88.8]" in report.markdown()


def test_routes_are_counted_with_their_confusion() -> None:
    cases = build_suite("routing", "dev", 30)
    report = Report(WORLD, "dev")
    report.add_routes("routing", cases, ["I2T"] * 30)
    answers = sum(case.turn.steps[0].task == "I2T" for case in cases)
    assert report.suites["routing"] == Share(answers, 30)
    assert report.confusion["T2I"] == {"I2T": sum(case.turn.steps[0].task == "T2I" for case in cases)}
    assert total(report.details["routing"].values()) == Share(answers, 30)
    assert "| T2I |" in report.markdown()


def test_a_conversation_is_right_where_every_turn_is() -> None:
    yes, no = Score(True, True), Score(False, True)
    cases = build_suite("conversation", "dev", 3)
    report = Report(WORLD, "dev")
    report.add_conversations("conversation", cases, [[yes, yes, yes], [yes, no, yes], [no, no, no]])
    details = report.details["conversation"]
    assert report.suites["conversation"] == Share(1, 3)
    assert details["all turns"] == Share(5, 9)
    assert (details["turn 1"], details["turn 2"], details["turn 3"]) == (Share(2, 3), Share(1, 3), Share(2, 3))
    assert details["turn 2 after right ones"] == Share(1, 2)
    assert details["turn 3 after right ones"] == Share(1, 1)
    assert total(share for name, share in details.items() if name.startswith("turns of")) == Share(5, 9)


def test_headlines_and_baselines_stand_side_by_side() -> None:
    report = Report(WORLD, "test")
    report.suites = {
        "routing": Share(99, 100),
        "questions.count": Share(8, 10),
        "questions.exist": Share(10, 10),
        "questions/template": Share(7, 10),
        "conversation": Share(3, 10),
    }
    report.baselines = {
        "questions": {"majority": Share(3, 20)},
        "questions.count": {"majority": Share(1, 10)},
        "the oracle": {"drawn neatly": Share(10, 10)},
    }
    rows = report.headlines()
    assert rows["questions"] == Share(18, 20)
    assert rows["questions: worst family (count)"] == Share(8, 10)
    text = report.markdown()
    assert "majority 15.0%" in text
    assert "| count | 80.0% [49.0, 94.3] | 10 | 10.0% |  |" in text
    assert "the oracle" in text
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["headlines"]["questions"]["right"] == 18


def test_what_the_research_model_has_not_seen_is_named() -> None:
    report = Report(WORLD, "test", suites={"generation": Share(1, 1), "generation/attr_combo": Share(1, 1)})
    assert "research" in report.markdown()
    assert "- generation/attr_combo: some pairs of shape and colour" in report.markdown()
    assert report.as_dict()["withheld"] == {"generation/attr_combo": "some pairs of shape and colour"}
    del report.suites["generation/attr_combo"]
    assert "research" not in report.markdown()


def test_suites_that_are_not_the_frozen_ones_are_named() -> None:
    report = Report(WORLD, "test", frozen={"editing": "as recorded"})
    assert "frozen ones" in report.markdown()
    report.frozen["outside"] = "too short to say"
    assert "Too short to compare with the frozen suites: outside" in report.markdown()
    report.frozen["generation"] = "changed"
    assert "not to be compared with earlier figures: generation" in report.markdown()
