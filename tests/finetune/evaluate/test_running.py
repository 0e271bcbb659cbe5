"""Running: perfect models come out perfect, and batches meet what a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava_finetune.evaluate.command import measure, run, select
from genllava_finetune.evaluate.running import route, run_conversations, run_single
from genllava_finetune.evaluate.unseeing import unseeing
from genllava_finetune.worlds.shapes.baselines import (
    another_request,
    baselines_of,
    copied_source,
    majority,
    perfect_decoder,
)
from genllava_finetune.worlds.shapes.suites import SUITES, build_suite
from genllava_finetune.worlds.shapes.world import WORLD

REPOSITORY = Path(__file__).parents[3]
Make = Callable[..., GenLlavaPipeline]
SINGLE = [name for name, suite in SUITES.items() if suite.asked == "turn"]


@pytest.mark.parametrize("name", SINGLE)
def test_a_perfect_model_gets_everything_right(name: str, oracle: Make) -> None:
    cases = build_suite(name, "dev", 40)
    assert all(score.right for score in run_single(oracle(cases), WORLD, cases, name))


def test_the_order_of_mixed_cases_is_kept(oracle: Make) -> None:
    cases = [case for name in ("editing", "outside", "generation") for case in build_suite(name, "dev", 15)]
    cases = [cases[(7 * number) % len(cases)] for number in range(len(cases))]
    assert all(score.right for score in run_single(oracle(cases), WORLD, cases, "mixed"))


@pytest.mark.parametrize("name", ["questions.count", "generation", "editing", "outside"])
def test_a_wrong_route_is_wrong_and_draws_nothing(name: str, oracle: Make) -> None:
    cases = build_suite(name, "dev", 10)
    model = oracle(cases, confused=True)
    scores = run_single(model, WORLD, cases, name)
    assert not any(score.right or score.routed for score in scores)
    assert set(model.calls) <= {"understand"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["conversation/turns", "tasks", "tasks/template"])
def test_a_perfect_model_holds_conversations(name: str, oracle: Make) -> None:
    cases = build_suite(name, "dev", 6)
    for scores in run_conversations(oracle(cases), WORLD, cases, "conversations"):
        assert all(score.right for score in scores)


def test_a_conversation_that_breaks_off_is_wrong(oracle: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = build_suite("conversation", "dev", 2)
    model = oracle(cases)

    def refuse(*args: object, **options: object) -> None:
        raise InvalidRequest("too long")

    monkeypatch.setattr(model, "ask", refuse)
    assert not any(score.right for scores in run_conversations(model, WORLD, cases, "") for score in scores)


@pytest.mark.slow
def test_batches_choose_what_a_user_would_meet(ignorant: GenLlavaPipeline) -> None:
    for name in ("questions/template", "generation", "editing", "outside"):
        cases = build_suite(name, "dev", 3)
        scores, routes = run_single(ignorant, WORLD, cases, name), route(ignorant, cases, name)
        for case, score, routed in zip(cases, scores, routes, strict=True):
            (result,) = ignorant.conversation().ask(case.turn.user, case.pictures[0], max_segments=1)
            assert score.routes == (routed,)
            assert next(iter(result.task_probabilities)) == f"[{routed}]"


def test_baselines_are_far_from_right_and_bounds_are_not(ignorant: GenLlavaPipeline, oracle: Make) -> None:
    edits, drawings = build_suite("editing", "dev", 40), build_suite("generation", "dev", 40)
    copied = copied_source(edits)
    assert copied["copy of the source"].value < 0.2
    assert copied["copy of the source: all else kept"].value > copied["copy of the source"].value
    assert another_request(drawings).value < 0.3
    assert majority(build_suite("questions.color_of", "dev", 40), "color_of").value < 0.4
    assert perfect_decoder(ignorant, drawings).value < 0.5  # its autoencoder has learnt nothing
    questions = build_suite("questions.where_is", "dev", 20)
    assert all(share.right == 20 for share in unseeing(oracle(questions), WORLD, questions).values())
    routing = baselines_of(ignorant, "routing", build_suite("routing", "dev", 60))
    assert routing["always answers"].value < 0.7


@pytest.mark.parametrize(
    "names",
    [
        ["routing", "questions.count", "generation", "editing", "outside", "conversation"],
        pytest.param(list(SUITES), marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
@pytest.mark.slow
def test_a_whole_measurement(names: list[str], ignorant: GenLlavaPipeline, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = measure(ignorant, WORLD, "dev", 2, names, path)
    assert set(report.suites) == set(names)
    assert report.suites["routing"].n == 8
    written = json.loads(path.read_text())
    assert written["n"] == 2
    assert set(written["baselines"]["questions"]) >= {"majority", "chance", "shuffled pictures"}
    assert set(written["fingerprints"]) == set(names)
    assert not list(tmp_path.glob("*.part"))


def test_a_model_the_oracle_cannot_read_is_refused(oracle: Make) -> None:
    model = oracle([])
    model.resolution = 64  # type: ignore[attr-defined]
    with pytest.raises(InvalidRequest, match="64"):
        measure(model, WORLD, "dev", 1, ["outside"])


def test_suites_are_chosen_by_how_their_names_begin() -> None:
    assert select(None) == list(SUITES)
    assert select(["generation/attr", "outside"]) == ["generation/attr_combo", "outside", "outside/template"]
    for wrong in (["drawing"], [""], ["outside", "nothing"]):
        with pytest.raises(InvalidRequest, match="no suite"):
            select(wrong)


def test_only_dev_and_test_are_measured(oracle: Make) -> None:
    with pytest.raises(InvalidRequest, match="split"):
        run(oracle([]), "train", 1, ["outside"])
    with pytest.raises(InvalidRequest, match="there is no world 'pebbles'"):
        run(oracle([]), "dev", 1, ["outside"], world="pebbles")


@pytest.mark.slow
def test_from_the_command_line(ignorant: GenLlavaPipeline, tmp_path: Path) -> None:
    ignorant.save_pretrained(tmp_path / "model")
    path = os.pathsep.join(str(REPOSITORY / part) for part in (".", "agent", "finetune"))
    command = [sys.executable, "-m", "genllava_finetune.evaluate", "--model", str(tmp_path / "model"), "--n", "2"]
    done = subprocess.run(
        [*command, "--suites", "outside,generation/count"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert "generation/count" in done.stdout
    assert "the oracle" in done.stdout
