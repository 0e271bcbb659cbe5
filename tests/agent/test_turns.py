"""Turns, with the model that ships: what was asked is done, said, shown and recorded."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cut_off import cut_off
from drawn import CIRCLE, shapes
from langchain_core.messages import AnyMessage
from PIL import Image

from genllava.errors import InvalidRequest
from genllava.protocols.shapes.picture_numbers import grounded
from genllava_agent import Limits, VisualAgent, events
from genllava_agent.answers import compose
from genllava_agent.deciders.base import Possible, TellText, call_message
from genllava_agent.deciders.task_tokens import TaskTokens
from genllava_agent.errors import InvalidAnswer, NothingPending
from genllava_agent.nodes.decide import _stop_reason
from genllava_agent.records import Kind, Step
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, asked
from genllava_agent.stores import open_store
from genllava_agent.workers import StreamWorker
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing


def test_a_request_of_two_steps(agent: VisualAgent) -> None:
    reply = agent(f"{CIRCLE}, then tell me what is at the top left", seed=1)
    assert [step.action for step in reply.steps] == ["generate", "understand"]
    assert shapes(reply.image) == {("large", "red", "circle", "top left"), ("small", "blue", "square", "center")}
    assert "circle" in reply.text
    (picture,) = reply.images
    assert picture.record.seed == 1
    assert picture.record.origin == "generate"
    assert picture.record.unet_rows >= 4
    for step in reply.steps:
        assert abs(sum(step.probabilities.values()) - 1) < 1e-4
        assert step.seconds > 0
        assert step.tokens > 0
    assert "circle" in reply.steps[1].seen


@pytest.mark.slow
def test_draw_edit_and_tell_in_one_message(agent: VisualAgent) -> None:
    right = 0
    for seed in range(1, 6):
        reply = agent(
            "draw a red circle and a blue star, turn the circle green, then tell me what is at the top left", seed=seed
        )
        assert [step.action for step in reply.steps] == ["generate", "edit", "understand"]
        if any(parse(picture.image).scene is None for picture in reply.images):
            continue
        drawn, edited = (shapes(picture.image) for picture in reply.images)
        wanted = {(size, "green" if shape == "circle" else color, shape, at) for size, color, shape, at in drawn}
        there = [(color, shape) for _, color, shape, at in wanted if at == "top left"]
        right += (
            {thing[1:3] for thing in drawn} == {("red", "circle"), ("blue", "star")}
            and edited == wanted
            and all(color in reply.text and shape in reply.text for color, shape in there)
            and bool(there or "othing" in reply.text)
        )
    assert right >= 3, "a small star may come out as no star"


@pytest.mark.slow
def test_pictures_of_a_thread_are_referred_to_by_their_place(agent: VisualAgent) -> None:
    thread = agent("draw a large red star at the top on white", seed=1).thread
    thread("draw a large blue circle in the middle on black", seed=2)
    thread("draw a large green square at the bottom on beige", seed=3)
    edited = thread("go back to the first picture and make its star pink", seed=4)
    assert edited.images[0].record.parents == ("image_1",)
    assert shapes(edited.image) == {("large", "pink", "star", "top")}
    borrowed = thread("put the second one's background behind the third", seed=5)
    assert borrowed.images[0].record.parents == ("image_3",)
    assert shapes(borrowed.image) == {("large", "green", "square", "bottom")}
    scene = parse(borrowed.image).scene
    assert scene is not None
    assert scene.background == "black"


def test_a_thread_goes_on_from_its_pictures(agent: VisualAgent) -> None:
    first = agent(CIRCLE, seed=1)
    second = first.thread("make the circle green", seed=1)
    assert second.images[0].record.parents == ("image_1",)
    assert ("large", "green", "circle", "top left") in shapes(second.image)
    third = first.thread("make the circle in image 1 yellow", seed=1)
    assert third.images[0].record.parents == ("image_1",)
    assert ("large", "yellow", "circle", "top left") in shapes(third.image)
    assert list(first.thread.images) == ["image_1", "image_2", "image_3"]
    assert first.thread.images[2].image.tobytes() == second.images[0].image.tobytes()


def test_a_users_picture(agent: VisualAgent, tmp_path: Any) -> None:
    scene = Scene("white", (Thing(0, "circle", "red", "large"),))
    render(scene).save(tmp_path / "mine.png")
    thread = agent.thread(images=[tmp_path / "mine.png"])
    reply = thread("what colour is the circle?")
    assert "red" in reply.text
    assert reply.images == ()
    record = thread.images["image_1"].record
    assert (record.origin, record.label) == ("user", "mine.png")
    assert thread("is there a star?").text.startswith("No")  # the picture came with the first request, and only then
    assert len(thread.images) == 1


def test_the_task_may_be_given(agent: VisualAgent) -> None:
    reply = agent("a large red circle at the top left", task="generate", seed=1)
    assert [step.action for step in reply.steps] == ["generate"]
    assert reply.steps[0].probabilities == {"[T2I]": 1.0}
    with pytest.raises(InvalidRequest, match="no picture to edit"):
        agent("make it green", task="edit")


def test_the_same_seed_gives_the_same_picture(agent: VisualAgent) -> None:
    keys = {agent(CIRCLE, seed=3).images[0].record.key for _ in range(2)}
    assert len(keys) == 1
    assert agent(CIRCLE, seed=4).images[0].record.key not in keys


def test_events_tell_what_happens(agent: VisualAgent) -> None:
    heard = list(agent.stream(f"{CIRCLE}, then tell me what you see", seed=1, previews=2))
    kinds = [type(event) for event in heard]
    assert kinds[0] is events.TurnStarted
    assert kinds[-1] is events.TurnFinished
    order = [events.ActionChosen, events.PlanWritten, events.Preview, events.Verified, events.ImageReady]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    previews = [event for event in heard if isinstance(event, events.Preview)]
    assert [event.step for event in previews] == [1, 2, 3, 4]
    assert sum(event.image is not None for event in previews) == 2
    last = heard[-1]
    assert isinstance(last, events.TurnFinished)
    said = "".join(event.text for event in heard if isinstance(event, events.TextDelta))
    assert said == last.reply.text
    assert last.reply.images[0].record == next(e.record for e in heard if isinstance(e, events.ImageReady))


# --- stop rules ---


class NeverDone(TaskTokens):
    """Goes on for ever in a circle, whatever the model says."""

    def __init__(self, *kinds: Kind) -> None:
        super().__init__()
        self.kinds = kinds

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        super().decide(session, state, Possible(possible.kinds, finish=False), tell)
        kind = self.kinds[len(state["steps"]) % len(self.kinds)]
        return [call_message(kind, {"instruction": asked(state).text})]


@pytest.mark.parametrize(
    ("limits", "reason", "made"),
    [
        ({"steps": 3}, "the limit of 3 steps", 2),
        ({"images": 2}, "the limit of 2 pictures", 2),
        ({"tokens": 120}, "the limit of 120 tokens", 1),
        ({"unet_rows": 6}, "the limit of 6 UNet rows", 1),
    ],
)
def test_a_router_that_never_stops_ends_at_the_limit(
    pipeline: Any, limits: dict[str, int], reason: str, made: int
) -> None:
    agent = VisualAgent(pipeline, store=":memory:", decider=NeverDone("generate", "understand"), verify=0)
    reply = agent("draw a shape", limits=limits)
    assert reply.stopped == reason
    assert len(reply.images) == made
    assert reason in reply.text
    assert "drew image_1" in reply.text
    assert "not done" in reply.text
    assert reply.thread.history()[0].stopped == reason


def test_the_deadline_ends_a_turn_in_the_middle_of_a_drawing(pipeline: Any) -> None:
    agent = VisualAgent(pipeline, store=":memory:", decider=NeverDone("generate"))
    reply = agent("draw a red circle", num_inference_steps=1000, limits=Limits(seconds=1.5))
    assert reply.stopped == "the limit of 1.5 seconds"
    assert reply.images == ()
    assert reply.seconds < 10
    assert reply.thread("how are you?", limits=Limits(seconds=0.001)).stopped  # the thread is usable


def test_the_same_thing_twice_ends_a_turn(pipeline: Any) -> None:
    agent = VisualAgent(pipeline, store=":memory:", decider=NeverDone("understand"))
    scene = Scene("white", (Thing(0, "circle", "red", "large"),))
    reply = agent("how many shapes are there?", render(scene))
    assert reply.stopped == "the same thing was done twice"
    assert len(reply.steps) == 2


def test_two_requests_that_come_to_the_same_are_both_done() -> None:
    session: Any = SimpleNamespace(settings=TurnSettings(), used=None, seconds=lambda: 0.0)
    step = Step(action="understand", source="image_2", text="There are two shapes.")
    first, other = (step.model_copy(update={"request": words}) for words in ("count them", "how many are there?"))
    assert _stop_reason(session, [first, other]) == ""
    assert _stop_reason(session, [first, other, other]) == "the same thing was done twice"
    drawn = Step(action="generate", image="image_3", plan="at the top a small red star, on white", request="draw it")
    again = drawn.model_copy(update={"image": "image_4"})
    assert _stop_reason(session, [drawn, again]) == "", "of the same plan another picture comes"


def test_two_errors_in_a_row_end_a_turn(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = VisualAgent(pipeline, store=":memory:", decider=NeverDone("generate"))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("genllava.protocols.shapes.painting.denoise", broken)
    reply = agent("draw a red circle")
    assert [step.outcome for step in reply.steps] == ["error", "error"]
    assert "out of memory" in reply.text
    assert reply.stopped == "two errors in a row"
    assert reply.images == ()
    monkeypatch.undo()
    again = reply.thread("draw a red circle", limits=Limits(steps=1))
    assert len(again.images) == 1


@pytest.mark.parametrize("request_", [CIRCLE, "what can you see?"])
def test_a_fault_while_a_turn_ends_is_told_and_takes_nothing_back(
    agent: VisualAgent, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    faults, end = [RuntimeError("CUDA out of memory")], StreamWorker.end

    def broken(*args: Any) -> None:
        if faults:
            raise faults.pop()
        end(*args)

    monkeypatch.setattr(StreamWorker, "end", broken)
    reply = agent(request_, seed=1)
    assert [step.outcome for step in reply.steps] == ["ok", "error"]
    assert "I could not answer: RuntimeError: CUDA out of memory" in reply.text
    assert len(reply.images) == (request_ == CIRCLE)
    assert reply.stopped == ""


def test_a_fault_of_choosing_takes_nothing_back(agent: VisualAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    faults, decide = [RuntimeError("CUDA out of memory")], TaskTokens.decide

    def broken(self: TaskTokens, session: Session, state: AgentState, *possible: Any) -> list[AnyMessage]:
        if state["steps"] and faults:
            raise faults.pop()
        return decide(self, session, state, *possible)

    monkeypatch.setattr(TaskTokens, "decide", broken)
    thread = agent.thread(images=[render(Scene("white", (Thing(4, "circle", "red", "large"),)))])
    reply = thread("how many shapes are there, then make the circle green", seed=1)
    assert [(step.action, step.outcome) for step in reply.steps] == [
        ("understand", "ok"), ("understand", "error"), ("edit", "ok"),
    ]  # fmt: skip
    assert "one shape" in reply.text
    assert "out of memory" in reply.text
    assert ("large", "green", "circle", "center") in shapes(reply.image)


def test_a_turn_that_cannot_end_leaves_the_thread_as_it_was(
    agent: VisualAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = agent(CIRCLE, seed=1).thread

    def broken(*_: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(StreamWorker, "end", broken)
    for request in ("how many shapes are there?", "make the circle green"):
        with pytest.raises(RuntimeError, match="out of memory"):
            thread(request, seed=1)
        assert len(thread.history()) == 1
        assert thread.unfinished is None
    monkeypatch.undo()
    assert "two" in thread("how many shapes are there?").text
    assert ("large", "green", "circle", "top left") in shapes(thread("make the circle green", seed=1).image)


def test_nothing_is_claimed_that_has_no_record() -> None:
    assert grounded("The star is in image 2.", 2) == "The star is in image 2."
    assert "does not exist" in grounded("The star is in picture 3.", 2)
    done = Step(action="generate", image="image_1", plan="a red circle")
    failed = Step(action="edit", outcome="error", text="no memory")
    said = compose([done, failed], "the limit of 2 steps")
    assert "image_1" in said
    assert "no memory" in said
    assert "image_2" not in said


# --- approval and clarification ---


def test_approval_survives_a_restart(pipeline: Any, tmp_path: Any) -> None:
    def restarted() -> VisualAgent:
        return VisualAgent(pipeline, store=tmp_path, approve=("edit",))

    with restarted() as agent:
        assert agent.thread("t")(CIRCLE, seed=1).pending is None
        reply = agent.thread("t")("make the circle green", seed=1)
        assert reply.pending is not None
        assert (reply.pending.kind, reply.pending.action, reply.pending.image) == ("approval", "edit", "image_1")
        assert reply.images == ()
        assert "make the circle green" in reply.text
    with restarted() as agent:
        thread = agent.thread("t")
        assert thread.pending == reply.pending
        wrong = ({}, {"decision": "maybe"}, {"decision": "edit"}, {"choice": "edit"}, {"decision": "approve", "x": 1})
        for answer in wrong:
            with pytest.raises(InvalidAnswer):
                thread.answer(answer)
        assert len(thread.history()) == 1
        done = thread.approve()
        assert done.pending is None
        assert ("large", "green", "circle", "top left") in shapes(done.image)
        with pytest.raises(NothingPending):
            thread.approve()
        assert len(thread.history()) == 2
        direct = agent.thread("u")
        direct(CIRCLE, seed=1)
        same = direct("make the circle green", seed=1, approve=())
        assert same.images[0].record.key == done.images[0].record.key


@pytest.mark.parametrize("durable", [False, True])
def test_two_answers_at_the_same_moment(pipeline: Any, tmp_path: Path, durable: bool) -> None:
    """Each from a client of its own: one is the answer, the other comes too late."""
    store = tmp_path if durable else open_store(":memory:")
    agents = [VisualAgent(pipeline, store=store, approve="generate") for _ in range(2)]
    assert agents[0].thread("t")(CIRCLE, seed=1).pending
    rows = pipeline.counters.unet_rows

    def approve(agent: VisualAgent) -> Any:
        together.wait()
        try:
            return agent.thread("t").approve()
        except NothingPending as error:
            return error

    together = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(approve, agents))
    (done,) = (reply for reply in came if not isinstance(reply, NothingPending))
    (late,) = (reply for reply in came if isinstance(reply, NothingPending))
    assert "just ask it something" in str(late)
    assert pipeline.counters.unet_rows - rows == sum(step.unet_rows for step in done.steps), "drawn once"
    for agent in agents:
        thread = agent.thread("t")
        assert [turn.steps for turn in thread.history()] == [done.steps]
        assert (list(thread.images), thread.unfinished) == (["image_1"], None)


def test_an_answer_is_to_the_question_that_was_seen(pipeline: Any, tmp_path: Path) -> None:
    agents = [VisualAgent(pipeline, store=tmp_path, approve="generate", seed=1) for _ in range(2)]
    mine, other = (agent.thread("t") for agent in agents)
    mine(f"{CIRCLE}, then draw a large blue star")
    with ThreadPoolExecutor(2) as pool:  # as with two clicks on one button
        clicks = [pool.submit(mine.approve) for _ in range(2)]
    errors = [click.exception() for click in clicks]
    assert [type(error) for error in errors if error is not None] == [InvalidAnswer]
    assert "blue star" in str(next(filter(None, errors)))
    unfinished = mine.unfinished
    assert unfinished is not None
    assert unfinished.question is not None
    assert "star" in unfinished.question.instruction
    other.discard()
    other("draw a large green circle")
    with pytest.raises(InvalidAnswer, match=r"something else by now: .*green circle"):
        mine.approve()
    assert list(mine.images) == []
    assert "green circle" in mine.approve().text, "that one was seen now"
    other("draw a large blue square in the middle")
    assert mine.unfinished is not None
    assert "blue square" in mine.approve().text, "so was that one"
    for agent in agents:
        agent.close()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_turn_that_was_cut_off_is_resumed_once(kept: VisualAgent, at_once: bool) -> None:
    thread = kept("how are you?").thread
    cut_off(thread, CIRCLE, seed=1)
    pending = thread.unfinished
    assert pending is not None

    def resume() -> Any:
        together.wait()
        try:
            return kept.thread(thread.name).resume()
        except NothingPending as error:
            return error

    together = threading.Barrier(2 if at_once else 1)
    with ThreadPoolExecutor(2 if at_once else 1) as pool:
        came = [made.result() for made in [pool.submit(resume) for _ in range(2)]]
    assert sorted(type(reply).__name__ for reply in came) == ["NothingPending", "Reply"]
    (turn, resumed) = thread.history()
    assert (turn.request.text, resumed.number, resumed.seed) == ("how are you?", pending.number, pending.seed)
    assert (resumed.at, resumed.request) == (pending.at, pending.request)
    assert (list(thread.images), thread.unfinished) == (["image_1"], None)
    assert "every turn of this thread is finished" in str(came)


@pytest.mark.slow
@pytest.mark.parametrize("node", ["ingest", "decide", "generate", "verify", "edit", "understand", "finish"])
def test_a_turn_that_was_cut_off_goes_on_where_it_was(kept: VisualAgent, node: str) -> None:
    """What was done before is not done again, and comes to the same as if nothing had happened."""
    request = f"{CIRCLE}, turn the circle green, then tell me what is at the top left"
    whole = kept("how are you?").thread(request, seed=1)
    thread, counters = kept("how are you?").thread, kept.engine.pipeline.counters
    rows = counters.unet_rows
    cut_off(thread, request, node, seed=1)
    resumed = thread.resume()
    again = sum(step.unet_rows for step in whole.steps if step.action == node)
    assert counters.unet_rows - rows == sum(step.unet_rows for step in whole.steps) + again
    assert [picture.record.key for picture in resumed.images] == [picture.record.key for picture in whole.images]
    assert resumed.text == whole.text
    assert [step.action for step in resumed.steps] == ["generate", "edit", "understand"]
    first, other = thread.history()[-1], kept.thread(whole.thread.name).history()[-1]
    assert (first.stream, first.number, first.seed) == (other.stream, other.number, other.seed)
    assert "green" in thread("what colour is the circle?").text


def test_a_new_request_takes_the_place_of_a_turn_that_waits(pipeline: Any, tmp_path: Path) -> None:
    with VisualAgent(pipeline, store=tmp_path, approve="edit", seed=1) as agent:
        thread = agent(CIRCLE).thread
        waiting = thread("make the circle green")
        assert waiting.pending is not None
        reply = agent.thread(thread.name)("how many shapes are there?")
        assert reply.replaced == waiting.pending
        assert reply.pending is None
        assert "two shapes" in reply.text
        assert thread.unfinished is None
        with pytest.raises(NothingPending):
            thread.approve()
        first, left, last = thread.history()
        assert (left.request.text, left.stopped) == ("make the circle green", "a new request took its place")
        assert [(step.action, step.outcome) for step in left.steps] == [("edit", "rejected")]
        assert [turn.number for turn in (first, left, last)] == [1, 2, 3]
        assert (last.request.text, last.stopped) == ("how many shapes are there?", "")
        assert list(thread.images) == ["image_1"]
        agent.engine.live.clear()  # as in another process
        assert "red" in thread("what colour is the circle?").text
        assert thread("make the circle green").pending
        done = thread("yes")
        assert done.replaced is None
        assert ("large", "green", "circle", "top left") in shapes(done.image)


def test_what_was_done_before_a_turn_was_replaced_stays(agent: VisualAgent) -> None:
    thread = agent.thread()
    waiting = thread("draw a large red circle at the top left, then make it green", approve="edit", seed=1)
    assert waiting.pending is not None
    reply = thread("make the circle blue", seed=1)
    assert reply.replaced == waiting.pending
    assert agent.parts.sessions == {}, "nothing of it is in memory"
    assert ("large", "blue", "circle", "top left") in shapes(reply.image)
    left, last = thread.history()
    assert [record.id for record in left.images] == ["image_1"]
    assert [(step.action, step.outcome) for step in left.steps] == [("generate", "ok"), ("edit", "rejected")]
    assert last.images[0].parents == ("image_1",)
    assert list(thread.images) == ["image_1", "image_2"]
    thread.undo(2)
    assert list(thread.images) == []
    thread.redo()
    assert list(thread.images) == ["image_1"]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("yes", "ok"), ("approve", "ok"), ("  Yes ", "ok"), ("no", "rejected"), ("reject", "rejected")],
)
def test_a_choice_in_words_is_the_answer(agent: VisualAgent, said: str, outcome: str) -> None:
    thread = agent(CIRCLE, seed=1).thread
    assert thread("make the circle green", approve="edit", seed=1).pending
    reply = thread(said)
    assert reply.replaced is None
    assert [step.outcome for step in reply.steps] == [outcome]
    assert [turn.request.text for turn in thread.history()] == [CIRCLE, "make the circle green"]


def test_a_choice_in_words_that_comes_with_a_picture_is_a_new_request(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    assert thread("make the circle green", approve="edit", seed=1).pending
    reply = thread("yes", Image.new("RGB", (64, 64), "white"))
    assert reply.replaced is not None
    assert len(thread.history()) == 3


def test_approval_with_another_instruction_and_rejection(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    assert thread("make the circle green", approve="edit", seed=1).pending
    done = thread.approve("make the circle yellow")
    assert ("large", "yellow", "circle", "top left") in shapes(done.image)
    assert done.images[0].record.instruction == "make the circle yellow"
    assert thread("remove the square", approve="edit").pending
    rejected = thread.reject("I like it")
    assert [step.outcome for step in rejected.steps] == ["rejected"]
    assert "I like it" in rejected.text
    assert rejected.images == ()
    assert len(thread.images) == 2
    assert "blue" in thread("what colour is the square?").text
    with pytest.raises(InvalidRequest, match="approval of 'everything'"):
        thread("hello", approve="everything")


def test_other_words_for_one_request_leave_the_others_to_be_done(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    waiting = thread("make the circle green, then tell me how many shapes there are", approve="edit", seed=1)
    assert waiting.pending
    assert waiting.pending.instruction == "make the circle green"
    done = thread.approve("make the circle yellow")
    assert ("large", "yellow", "circle", "top left") in shapes(done.image)
    assert [step.action for step in done.steps] == ["edit", "understand"]
    assert "two shapes" in done.text


def test_other_words_take_the_place_of_what_was_taken_up(agent: VisualAgent) -> None:
    """What was noted for the old words is not what the new ones mean."""
    thread = agent.thread()
    asked = "draw a large red circle at the top left, then make it green, then tell me what you see"
    waiting = thread(asked, approve="edit", seed=1)
    assert waiting.pending is not None
    assert waiting.pending.instruction == "make it green"
    read = agent.engine.pipeline.counters.prefilled_tokens
    done = thread.approve("make it blue")
    assert agent.engine.pipeline.counters.prefilled_tokens - read < 200, "what was read before is not read again"
    assert [step.action for step in done.steps] == ["generate", "edit", "understand"]
    assert [colour for _, colour, _, _ in shapes(done.images[1].image)] == ["blue"]
    assert "blue circle" in done.text
    assert done.seconds >= sum(step.seconds for step in done.steps)
    assert done.steps[1].tokens < 150, "reading what was said before the question is not the step's"


def test_what_is_left_out_is_said(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    assert thread("make the circle green, then tell me how many shapes there are", approve="edit", seed=1).pending
    rejected = thread.reject("no")
    assert "I left out: 'then tell me how many shapes there are'" in rejected.text
    assert "left out" not in thread("what colour is the circle, please?").text


def test_a_close_choice_is_asked_about(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    reply = thread("make the circle green", margin=1.0, seed=1)
    assert reply.pending is not None
    assert reply.pending.kind == "clarification"
    assert set(reply.pending.choices) == {"understand", "generate", "edit"}
    assert abs(sum(reply.pending.probabilities.values()) - 1) < 1e-4
    with pytest.raises(InvalidAnswer):
        thread.choose("tool")
    thread.discard()
    with pytest.raises(NothingPending):
        thread.choose("edit")
    assert thread("make the circle green", margin=1.0, seed=1).pending
    chosen = thread.choose("understand")
    assert chosen.steps[0].action == "understand"
    assert thread("make the circle green", margin=1.0, seed=1).pending
    said = thread("edit")
    assert said.replaced is None
    assert ("large", "green", "circle", "top left") in shapes(said.image)
    assert thread("make the square green", seed=2).pending is None, "unless it is wanted, nothing is asked"


# --- bad input ---
