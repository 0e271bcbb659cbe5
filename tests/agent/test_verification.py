"""What `verify` makes of what the model sees in its pictures: compared with the plan, and with what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from genllava import Drawing, GenLlavaPipeline
from genllava_agent import VisualAgent, events
from genllava_agent.deciders import TaskTokens
from genllava_agent.verification import as_planned, compare
from genllava_agent.workers import StreamWorker

PLAN = "at the top a small red star, at the left a large blue circle, on white"


@pytest.mark.parametrize(
    ("seen", "in_order"),
    [
        ("at the left a large blue circle, at the top a small red star, on white", PLAN),
        (
            "at the left a large blue circle, at the top a small red cross, on white",
            "at the top a small red cross, at the left a large blue circle, on white",
        ),
        ("at the top a small red star, on white", "at the top a small red star, on white"),
        ("at the left a large blue circle, at the right a cross, at the top a small red star, on white",
         "at the top a small red star, at the left a large blue circle, at the right a cross, on white"),
        ("at the top a small red star, at the left a large blue circle, on gray",
         "at the top a small red star, at the left a large blue circle, on gray"),
    ],
)  # fmt: skip
def test_a_caption_is_put_in_the_order_of_the_plan(seen: str, in_order: str) -> None:
    assert as_planned(PLAN, seen) == in_order


def test_what_was_asked_counts_for_more_than_what_was_planned() -> None:
    other = PLAN.replace("small", "large")
    assert compare(PLAN, PLAN).unsure == compare(PLAN, PLAN, 0.9).unsure == ""
    assert compare(PLAN, other, 0.5).unsure == "", "the size was the model's own choice"
    assert "should show at the top a small red star" in compare(PLAN, other, 0.01).unsure
    assert "misunderstood" in compare(PLAN, PLAN, 0.01).unsure
    best = [compare(PLAN, PLAN, 0.9), compare(PLAN, "on white", 0.5), compare(PLAN, PLAN, 0.01), compare(PLAN, other)]
    assert sorted(best, key=lambda each: each.badness) == best


def test_the_model_knows_what_a_request_leaves_open(pipeline: GenLlavaPipeline) -> None:
    chat = pipeline.conversation()
    chat.add_user("draw a red circle at the top")
    length = len(chat)
    for plan in ("at the top a large red circle, on white", "at the top a small red circle, on black"):
        assert chat.likelihood("[T2I]", plan) > 0.15
    for plan in (
        "at the top a large red square, on white",
        "at the top a large green circle, on white",
        "at the left a large red circle, on white",
        "at the top a large red circle, at the left a small red circle, on white",
        "on white",
    ):
        assert chat.likelihood("[T2I]", plan) < 0.15, plan
    assert len(chat) == length, "it is asked beside the conversation"


def agent_that(pipeline: GenLlavaPipeline, see: Callable[[Drawing], str], plan: str = "") -> VisualAgent:
    """An agent that sees what it is told to see, and draws what it is told to draw."""

    class Told(StreamWorker):
        def draw(self, session: Any, state: Any, action: Any, seed: int, again: Any, *args: Any) -> Drawing:
            given = replace(DRAWN, plan=plan) if plan else again
            return super().draw(session, state, action, seed, given, *args)

        def describe(self, session: Any, state: Any, drawing: Drawing) -> str:
            return see(drawing)

    decider = TaskTokens()
    decider.worker = Told()
    return VisualAgent(pipeline, store=":memory:", decider=decider)


DRAWN = Drawing(None, None, None, 0)


def swapped(one: str, other: str) -> Callable[[Drawing], str]:
    def see(drawing: Drawing) -> str:
        return (drawing.plan or "").replace(one, "?").replace(other, one).replace("?", other)

    return see


def test_a_picture_that_is_as_asked_is_not_drawn_again(pipeline: GenLlavaPipeline) -> None:
    (step,) = agent_that(pipeline, swapped("small", "large"))("draw a red circle", seed=1).steps
    assert (step.attempts, step.unsure) == (1, "")
    (step,) = agent_that(pipeline, swapped("red", "blue"))("draw a red circle", seed=1).steps
    assert step.attempts == 3
    assert "blue circle instead" in step.unsure


def test_a_picture_that_was_not_asked_for_is_said_to_be_unsure(pipeline: GenLlavaPipeline) -> None:
    agent = agent_that(pipeline, lambda drawing: drawing.plan or "", plan="at the top a large blue square, on white")
    heard = list(agent.stream("draw a red circle at the bottom", seed=1))
    (checked,) = [event for event in heard if isinstance(event, events.Verified)]
    assert "misunderstood" in checked.unsure
    assert not checked.again, "the plan is wrong, and would be drawn again"
    last = heard[-1]
    assert isinstance(last, events.TurnFinished)
    assert "misunderstood" in last.reply.text
