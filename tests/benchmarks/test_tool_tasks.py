"""Tasks of several tool calls: a right solution of each is found right, whoever did it, and a wrong one is not."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks.tool_tasks import TASKS, report, table
from benchmarks.tool_tasks.run import Score, missing, run
from benchmarks.tool_tasks.sources import picture
from benchmarks.tool_tasks.task import Outcome, Task, boxes, numbers
from genllava.errors import InvalidRequest

KINDS = list(dict.fromkeys(task.kind for task in TASKS))


def few() -> list[Task]:
    """Two of the kinds that are quick, and one of the others."""
    found = list[Task]()
    for kind in KINDS:
        ready = [task for task in TASKS if task.kind == kind and not missing(task)]
        found += ready[-2:] if kind.startswith("drawings") else ready[-1:]
    return found


def test_there_are_120_of_all_kinds() -> None:
    assert len(TASKS) == 120
    assert len({task.request for task in TASKS}) > 110
    assert len(KINDS) == 11
    assert 15 <= sum(bool(task.needs) for task in TASKS) <= 20, "for tools whose weights come with packages"
    assert min(sum(task.kind == kind for task in TASKS) for kind in KINDS) >= 7


def test_a_few_are_solved_by_their_scripts_and_not_with_a_call_left_out() -> None:
    tasks = few()
    assert len(tasks) >= 12
    scores = run(tasks)
    assert [score.wrong for score in scores] == [""] * len(tasks)
    assert all(2 <= score.calls <= 5 for score in scores)
    assert [score.task.request for score in run(tasks, "dropped") if not score.wrong] == []


def test_anybody_else_may_decide() -> None:
    chat_model = "benchmarks.tool_tasks.deciders:Scripted"  # without a solution it does nothing
    assert [score.wrong for score in run(TASKS[:1], chat_model)] == ["no picture was made"]
    [score] = run(TASKS[-1:], "")  # the model that ships has not learnt to put pictures together
    assert score.wrong
    assert not score.skipped
    with pytest.raises(InvalidRequest, match="module:factory"):
        run(TASKS[:1], "somebody")


def test_what_counts_is_what_came_of_it_and_not_how() -> None:
    task = TASKS[0]  # the left half, turned clockwise, to the right of the original
    photograph = picture(task.pictures[0])
    half = photograph.crop((0, 0, photograph.width // 2, photograph.height))

    def judged(turn: Image.Transpose, gap: int, swapped: bool = False) -> str:
        turned = half.transpose(turn)
        turned = turned.resize((round(turned.width * photograph.height / turned.height), photograph.height))
        made = Image.new("RGB", (photograph.width + gap + turned.width, photograph.height), "white")
        made.paste(turned if swapped else photograph)
        made.paste(photograph if swapped else turned, ((turned if swapped else photograph).width + gap, 0))
        return task.judge(Outcome("", (made,), (photograph,)))

    assert judged(Image.Transpose.ROTATE_270, gap=0) == ""
    assert judged(Image.Transpose.ROTATE_270, gap=30) == ""
    assert "on the right" in judged(Image.Transpose.ROTATE_90, gap=0)
    assert "on the left" in judged(Image.Transpose.ROTATE_270, gap=0, swapped=True)
    assert task.judge(Outcome("Done.", (), (photograph,))) == "no picture was made"


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("There are 24 coins, and the picture is 384 x 303 pixels.", True),
        ("24; width 384, height 303", True),
        ("There are 240 coins, and the picture is 384 x 303 pixels.", False),
        ("There are 24 coins.", False),
        (" ".join(map(str, range(400))), False),
    ],
)
def test_figures_in_answers(words: str, right: bool) -> None:
    task = next(task for task in TASKS if task.request.startswith("How many coins are there, and how large"))
    assert (task.judge(Outcome(words, (), (picture("coins"),))) == "") is right


def test_what_tools_say_is_read_back() -> None:
    assert numbers("24 things, 8% of it; 1.50 and 2.") == [24, 8, 1.5, 2]
    assert boxes("within [0.1, 0.2, 0.3, 0.4] and [1, 2] and [0, 0, 1, 1].") == [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]]


def test_reports_say_what_is_wrong_and_what_was_skipped() -> None:
    right, wrong, without = TASKS[0], TASKS[1], next(task for task in TASKS if task.needs)
    scores = [Score(right, calls=3), Score(wrong, wrong="it is upside down"), Score(without, skipped="needs a model")]
    shown = table(scores)
    assert "1 of 2" in shown
    assert "1 tasks were skipped: needs a model" in shown
    assert "it is upside down" in shown
    told = json.loads(json.dumps(report(scores, "scripted", None)))
    assert (told["tasks"], told["run"], told["right"], told["percent"]) == (3, 2, 1, 50.0)
    assert [each["right"] for each in told["each"]] == [True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize(("decider", "right"), [("scripted", (100, 100)), ("dropped", (0, 2)), ("another", (0, 2))])
def test_the_bounds(decider: str, right: tuple[int, int]) -> None:
    scores = [score for score in run(TASKS, decider) if not score.skipped]
    share = 100 * sum(not score.wrong for score in scores) / len(scores)
    assert right[0] <= share <= right[1], table(scores)


@pytest.mark.slow
def test_nothing_done_is_nothing_right() -> None:
    assert [score.task.request for score in run(TASKS, "nothing") if not score.wrong and not score.skipped] == []
