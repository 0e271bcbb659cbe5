"""What `verify` makes of what the model sees in its pictures: compared with the plan, and with what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from genllava import Drawing, GenLlavaPipeline
from genllava.protocols.shapes.conversation import Conversation
from genllava.protocols.shapes.judging import as_planned, compare, doubt
from genllava.protocols.shapes.layout import phrases
from genllava_agent import VisualAgent, events
from genllava_agent.deciders.task_tokens import TaskTokens
from genllava_agent.records import Request, Step, Turn
from genllava_agent.session import Session
from genllava_agent.state import Action, AgentState
from genllava_agent.workers import Judgement, StreamWorker, VerbWorker

CIRCLE = "draw a large red circle at the top left and a small blue square in the middle"
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

        def judge(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> Judgement:
            with seeing(see):
                return super().judge(session, state, action, drawing)

    decider = TaskTokens()
    decider.worker = Told()
    return VisualAgent(pipeline, store=":memory:", decider=decider, verify=3)


def seeing(see: Callable[[Drawing], str]) -> Any:
    """Meanwhile the model sees in a drawing what it is told to see."""
    return mock.patch.object(Conversation, "describe", lambda _, drawing, *__: see(drawing))


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


@pytest.mark.slow
def test_what_a_planner_asked_for_counts_as_well(pipeline: GenLlavaPipeline) -> None:
    class Misled(VerbWorker):
        def draw(self, session: Any, state: Any, action: Any, seed: int, again: Any, *args: Any) -> Drawing:
            wrong = "at the top a large blue square" if action.kind == "generate" else "at the top a large pink circle"
            return super().draw(session, state, action, seed, replace(DRAWN, plan=f"{wrong}, on white"), *args)

    decider = TaskTokens()
    decider.worker = VerbWorker()
    agent = VisualAgent(pipeline, store=":memory:", decider=decider)
    thread = agent("draw a large red circle at the bottom", task="generate", seed=1).thread
    assert not thread("make it green", task="edit", seed=1).steps[0].unsure
    thread.undo()
    decider.worker = Misled()
    assert "misunderstood" in thread("make it green", task="edit", seed=1).steps[0].unsure
    assert "misunderstood" in thread("draw a large red circle at the bottom", task="generate", seed=1).steps[0].unsure


def test_plans_and_captions_are_compared_by_phrases() -> None:
    plan = "at the top a small red star, at the left a large blue circle, on white"
    assert compare(plan, "at the left a large blue circle, at the top a small red star, on white.").mismatches == 0
    wrong = compare(plan, "at the top a small red cross, on white")
    assert wrong.missing == ("at the top a small red star", "at the left a large blue circle")
    assert wrong.extra == ("at the top a small red cross",)
    assert wrong.mismatches == 2
    assert "seems to show at the top a small red cross instead" in wrong.unsure


def test_what_was_seen_in_a_drawing_is_noted_of_it_from_then_on(kept: VisualAgent) -> None:
    thread = kept.thread("noted")
    drawn = thread("draw a small red star at the top and a large blue circle at the left", seed=2)
    seen = drawn.images[0].record.caption
    assert seen
    assert compare(drawn.steps[0].plan or "", seen).mismatches == 0
    kept.engine.live.clear()  # as in another process
    asked = thread("where is the star?")
    assert f"image 1: {seen}" in asked.steps[0].seen
    assert thread("draw a green cross", seed=2, verify=0).images[0].record.caption is None, "nobody looked"


def test_a_picture_that_is_not_as_planned_is_drawn_again(agent: VisualAgent) -> None:
    request = "draw a small purple star at the top, a small orange cross at the left, a small cyan star in the middle"
    for seed in range(8):  # at so little guidance most pictures show something else
        heard = list(agent.stream(request, seed=seed, guidance_scale=0.3, verify=3))
        checks = [event for event in heard if isinstance(event, events.Verified)]
        last = heard[-1]
        assert isinstance(last, events.TurnFinished)
        (step,) = last.reply.steps
        assert step.attempts == len(checks) <= 3
        assert [check.again for check in checks] == [bool(c.unsure) and c.attempt < 3 for c in checks]
        assert step.unsure in [check.unsure for check in checks]
        assert bool(step.unsure) == all(check.unsure for check in checks)
        assert bool(step.unsure) == ("not sure" in last.reply.text)
        assert step.unet_rows == 8 * step.attempts  # four steps of two rows
        if step.attempts > 1:
            break
    assert step.attempts > 1, "no picture was drawn again: try a harder request"
    assert len(last.reply.thread.images) == 1
    blind = agent(request, seed=seed, guidance_scale=0.3, verify=0)
    assert (blind.steps[0].attempts, blind.steps[0].unsure) == (1, "")


class Looks(StreamWorker):
    """Misses so many things of the plan in each drawing that it is shown."""

    def __init__(self, *missed: int) -> None:
        self.missed, self.drawn = missed, list[Drawing]()

    def judge(self, session: Session, state: AgentState, action: Action, drawing: Drawing) -> Judgement:
        named = phrases(drawing.plan or "")
        seen = named[: len(named) - self.missed[len(self.drawn)]]
        self.drawn.append(drawing)
        with seeing(lambda _: ", ".join(seen)):
            return super().judge(session, state, action, drawing)


def looking(pipeline: Any, store: Any, *missed: int) -> tuple[VisualAgent, list[Drawing]]:
    decider = TaskTokens()
    decider.worker = worker = Looks(*missed)
    return VisualAgent(pipeline, store=store, decider=decider, verify=3), worker.drawn


@pytest.mark.parametrize(
    ("missed", "best"), [((2, 1, 2), 1), ((1, 2, 2), 0), ((2, 2, 1), 2), ((2, 1, 1), 1), ((1, 0), 1), ((0,), 0)]
)
def test_the_best_is_kept_whenever_it_was_drawn(pipeline: Any, missed: tuple[int, ...], best: int) -> None:
    agent, drawn = looking(pipeline, ":memory:", *missed)
    reply = agent(CIRCLE, seed=1)
    assert len({drawing.image.tobytes() for drawing in drawn if drawing.image is not None}) == len(missed)
    assert reply.image is not None
    assert drawn[best].image is not None
    assert reply.image.tobytes() == drawn[best].image.tobytes()
    assert reply.images[0].record.seed == drawn[best].seed
    (step,) = reply.steps
    assert step.attempts == len(missed)
    assert len(step.unsure.split(" and ")) == max(1, missed[best])
    assert bool(step.unsure) == bool(missed[best])
    others = [drawing for place, drawing in enumerate(drawn) if place != best]
    assert [tried.seed for tried in step.tried] == [drawing.seed for drawing in others]
    assert all(tried.unsure.endswith("seems to be missing") for tried in step.tried)


def test_what_was_tried_is_kept_for_the_page_and_is_no_picture_of_the_thread(pipeline: Any, tmp_path: Path) -> None:
    agent, drawn = looking(pipeline, tmp_path / "store", 2, 1, 2)
    thread = agent("draw a large red circle at the top left and a small blue square in the middle", seed=1).thread
    (step,) = thread.history()[0].steps
    assert list(thread.images) == ["image_1"]
    assert step.unet_rows == thread.images["image_1"].record.unet_rows == sum(each.unet_rows for each in drawn)
    pixels = [drawing.image.tobytes() for drawing in drawn if drawing.image is not None]
    agent.close()
    again = VisualAgent(pipeline, store=tmp_path / "store").thread(thread.name)
    branch = again.branch("b")
    again.delete()
    (kept,) = branch.history()[0].steps
    store = branch.agent.store.artifacts("b")
    assert [store.image(tried.key).tobytes() for tried in kept.tried] == [pixels[0], pixels[2]]
    page = branch.trace(tmp_path / "page.html").read_text()
    assert page.count("<img") == 4, "what was drawn in the step, kept or not, and the reply's"
    assert "Drawn and not kept" in page
    assert all(f"seed {drawn[place].seed}: " in page for place in (0, 2))
    branch("make the circle green", seed=1)
    assert list(branch.images) == ["image_1", "image_2"]
    branch.delete()
    assert not [file for file in (tmp_path / "store").rglob("*") if file.is_file()]


def test_what_was_tried_is_known_after_a_question(pipeline: Any, tmp_path: Path) -> None:
    agent, drawn = looking(pipeline, tmp_path, 1, 0)
    assert agent.thread("t")(f"{CIRCLE}, then make the circle green", seed=1, approve="edit").pending
    agent.close()
    done = VisualAgent(pipeline, store=tmp_path).thread("t").approve()
    assert [step.action for step in done.steps] == ["generate", "edit"]
    assert [tried.seed for tried in done.steps[0].tried] == [drawn[0].seed]


def test_what_was_tried_before_a_fault_is_shown_too(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, drawn = looking(pipeline, ":memory:", 1)
    draw = StreamWorker.draw

    def broken(*args: Any) -> Drawing:
        if drawn:
            raise RuntimeError("CUDA out of memory")
        return draw(*args)

    monkeypatch.setattr(StreamWorker, "draw", broken)
    reply = agent(CIRCLE, seed=1)
    assert [step.outcome for step in reply.steps] == ["error", "error"]
    assert [[tried.seed for tried in step.tried] for step in reply.steps] == [[1], []]
    assert reply.images == ()


def test_turns_that_were_stored_before_can_be_read() -> None:
    """What is new in a record has a value that it takes where it is missing."""
    turn = Turn(id="a", parent=None, number=1, at=0, request=Request(text="x"), steps=(Step(action="generate"),))
    assert Turn.model_validate_json(turn.model_dump_json(exclude={"steps": {0: {"tried"}}})) == turn


def test_an_edit_that_changes_nothing_may_be_a_misunderstanding() -> None:
    before = "at the left a small red star, on black"
    assert doubt("at the left a small red star, on white", before, "make it white") == ""
    assert doubt(before, "", "mix it up") == ""
    assert "misunderstood 'mix it up'" in doubt("on black, at the left a small red star", before, "mix it up")


@pytest.mark.slow
def test_an_edit_that_would_change_nothing_is_said_to_be_unsure(agent: VisualAgent) -> None:
    drawn = agent(
        "draw a small red star at the top left, a large blue circle in the middle, a small green square at the bottom",
        seed=1,
    )
    assert "misunderstood" not in drawn.text
    requests = ["make the circle like the square", "put the star where the star is", "turn the square into itself"]
    unchanged = 0
    for request in requests:
        for step in drawn.thread.branch()(request, seed=1).steps:
            if step.action == "edit" and step.outcome == "ok":
                same = not compare(step.plan or "", drawn.steps[0].plan or "").mismatches
                assert ("misunderstood" in step.unsure) == same
                unchanged += same
    assert unchanged, "none of these was planned as no change: ask for something odder"
    sure = drawn.thread("make the square yellow", seed=1).steps[0]
    assert sure.unsure == ""
