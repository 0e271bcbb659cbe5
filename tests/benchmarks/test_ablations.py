"""Ablations: a model that does everything right scores 100 %, one that does nothing right 0, and intervals hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablations.parts import tokenizer
from benchmarks.ablations.report import Interval, of_seeds, table, write_report
from benchmarks.ablations.running import load_results, run_all, save_results
from benchmarks.ablations.scoring import Outcome, Reply, as_dict, attributes_right, grade, read_reply
from benchmarks.ablations.small_world import (
    EDITING,
    GENERATION,
    TASKS,
    UNDERSTANDING,
    Case,
    Rows,
    held_out_cases,
    picture,
    read,
)
from benchmarks.ablations.variants import ABLATIONS, VARIANTS, recipe_of
from genllava_finetune.worlds.shapes.scene import Scene


def cases(task: str) -> list[Case]:
    return held_out_cases(task, 12)


@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_model_is_right_and_a_wrong_one_is_not(task: str) -> None:
    for case in cases(task):
        shown = None if case.target is None else read(picture(case.target))  # what the parser sees of the pixels
        perfect = Reply(task, case.answer or case.plan, drew=case.target is not None)
        outcome = grade(case, perfect, shown, shown)
        assert outcome.decided
        assert outcome.right
        assert outcome.attributes in (None, 1.0)
        assert outcome.given in (None, True)
        empty = Scene("black", ())
        wrong = grade(case, Reply(task, "nothing of this", drew=case.target is not None), empty, None)
        assert wrong.decided
        assert not wrong.right
        assert not wrong.planned
        other = grade(case, Reply("another", case.answer or case.plan, True), shown, shown)
        assert not other.decided
        assert not other.right
        assert other.given in (None, True), "what is given is measured whatever was decided"


def test_an_answer_with_a_picture_behind_it_is_wrong() -> None:
    case = cases(UNDERSTANDING)[0]
    assert not grade(case, Reply(UNDERSTANDING, case.answer, drew=True), None, None).right


def test_half_of_a_picture_is_half_of_its_shapes_and_colours() -> None:
    case = next(case for case in cases(GENERATION) if case.target is not None and len(case.target.things) == 2)
    assert case.target is not None
    assert attributes_right(case.target, case.target.without(case.target.things[:1])) == 0.5
    assert attributes_right(case.target, None) == 0


def test_replies_are_read_by_their_token_or_by_their_form() -> None:
    assert read_reply(["[I2T]", "red"], False) == Reply(UNDERSTANDING, "red", False)
    assert read_reply(["red"], False) == Reply(UNDERSTANDING, "red", False)
    assert read_reply(["[T2I]", "red", "cross"], True) == Reply(GENERATION, "red cross", True)
    assert read_reply(["red", "cross"], True) == Reply(GENERATION, "red cross", True)
    assert read_reply(["[I2I]", "image_1:", "red"], True) == Reply(EDITING, "red", True)
    assert read_reply(["image_1:", "red"], True) == Reply(EDITING, "red", True)
    assert read_reply(["[T2I]", "red"], False) == Reply(GENERATION, "red", False)
    assert read_reply([], False) == Reply(UNDERSTANDING, "", False)


def test_nothing_that_is_tested_was_trained_on_and_every_word_is_known() -> None:
    def seen(case: Case) -> set[str]:
        return {scene.signature for scene in (case.shown, case.target) if scene is not None}

    tested = set().union(*(seen(case) for task in TASKS for case in cases(task)))
    words, unknown = tokenizer(), tokenizer().unk_token_id
    rows = Rows(5, 300)
    assert rows[7] == Rows(5, 500)[7] != rows[8]
    for row in rows[:100]:
        for message in row.messages:
            said = " ".join(str(getattr(block, "text", "")) for block in message.content)
            assert unknown not in words(said).input_ids
        assert not tested & {scene.signature for image in row.images if (scene := read(image)) is not None}


def test_intervals_hold_the_spread_of_seeds_and_of_cases() -> None:
    assert of_seeds([[1.0] * 50, [1.0] * 50, [1.0] * 50]) == Interval(1.0, pytest.approx(0.975, abs=0.001), 1.0)
    seeds = of_seeds([[1.0] * 40 + [0.0] * 60, [1.0] * 50 + [0.0] * 50, [1.0] * 60 + [0.0] * 40])
    assert seeds.mean == pytest.approx(0.5)
    assert seeds.high - seeds.mean == pytest.approx(4.303 * 0.1 / 3**0.5, abs=1e-3), "Student's t with two degrees"
    alike = of_seeds([[1.0, 0.0] * 50] * 3)
    assert alike.high - alike.low == pytest.approx(0.1127, abs=0.001), "Wilson's interval of 150 of 300"
    assert of_seeds([[1.0, 1.0, 0.0, 1.0]] * 3, difference=True).excludes_zero
    assert not of_seeds([[1.0, -1.0, 0.0, 0.0]] * 3, difference=True).excludes_zero


def outcomes(task: str, right: bool) -> dict[str, list[float]]:
    row = as_dict(Outcome(task, right, right, *((right, float(right), right) if task != UNDERSTANDING else ())))
    return {name: [float(value)] * 20 for name, value in row.items() if name != "task"}


def results(*names: str) -> dict[str, Any]:
    runs = {
        f"{name}:{seed}": {
            "outcomes": {task: outcomes(task, name == "base") for task in TASKS if VARIANTS[name].shares.get(task)},
            "losses": {task: {"cross_entropy": 0.5 + seed} for task in TASKS},
        }
        for name in names
        for seed in range(3)
    }
    return {"steps": 7, "batch": 8, "tests": 20, "runs": runs}


def test_tables_show_differences_and_reports_are_written_between_their_marks(tmp_path: Path) -> None:
    found = results("base", "two_stages", *(f"only_{task}" for task in TASKS))
    lines = table(found["runs"], ABLATIONS["stages"]).splitlines()
    assert lines[2].startswith("| one stage | 3 | 100 [94, 100] | 100 [94, 100] |")
    assert lines[3].startswith("| two stages | 3 | **0 [0, 6]** |")
    alone = table(found["runs"], ABLATIONS["specialists"]).splitlines()[3].split("|")
    assert [cell.strip() for cell in alone[3:6]] == ["**0 [0, 6]**", "", ""], "an understanding model draws nothing"
    (tmp_path / "images").mkdir()
    page = tmp_path / "ablations.md"
    page.write_text("Before\n<!-- stages -->\nold\n<!-- end of stages -->\nAfter\n")
    write_report(found, tmp_path, ["stages"])
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("Before\n<!-- stages -->\n| |")
    assert "0.50 to 2.50" in text
    assert text.endswith("<!-- end of stages -->\nAfter\n")
    assert 1000 < (tmp_path / "images" / "ablations_stages.png").stat().st_size < 80_000


def test_finished_runs_are_not_run_again_and_other_settings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    (tmp_path / "parts.json").write_text("{}")
    save_results(file, results("base"))
    kept = run_all(["base"], [0, 1, 2], tmp_path, file, steps=7, tests=20)
    assert kept["runs"] == load_results(file)["runs"]
    with pytest.raises(ValueError, match="other settings"):
        run_all(["base"], [0], tmp_path, file, steps=8, tests=20)
    assert json.loads(file.read_text())["steps"] == 7


def test_every_variant_is_a_recipe_of_the_trainer() -> None:
    for name in VARIANTS:
        recipe = recipe_of(name, 1, 300, "parts")
        steps = [stage.steps or 0 for stage in recipe.stages]
        assert sum(steps) == (100 if name.startswith("only_") else 300)
        assert len(steps) == (2 if name == "two_stages" else 1)
    wanted = {variant for ablation in ABLATIONS.values() for variant in ablation.variants.values()}
    assert wanted == set(VARIANTS)
