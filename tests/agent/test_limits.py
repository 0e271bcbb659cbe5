"""Limits: what they count, where they strike, and that a turn they end can be gone on from."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from cut_off import cut_off
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AnyMessage
from PIL import Image

from genllava.errors import Cancelled, InvalidRequest
from genllava_agent import Limits, VisualAgent
from genllava_agent.deciders.base import Possible, TellText, call_message, forced, last_words
from genllava_agent.errors import InvalidAnswer, NothingToUndo
from genllava_agent.history import History
from genllava_agent.records import Kind
from genllava_agent.session import Session
from genllava_agent.state import AgentState
from genllava_agent.workers import VerbWorker
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

CIRCLE = "draw a large red circle at the top left"
THINGS = (Thing(0, "circle", "red", "large"), Thing(8, "square", "blue", "small"))


def shown() -> Any:
    return render(Scene("white", THINGS))


def colours(image: Any) -> set[tuple[str, str]]:
    scene = parse(image).scene
    assert scene is not None
    return {(thing.shape, thing.color) for thing in scene.things}


@pytest.mark.parametrize("region", [None, (0.15, 0.15)])
@pytest.mark.parametrize("warm", [True, False])
def test_a_turn_that_ends_before_it_began_can_be_gone_on_from(agent: VisualAgent, region: Any, warm: bool) -> None:
    thread = agent.thread()
    stopped = thread("what is this?", shown(), region=region, limits={"tokens": 1})
    assert stopped.stopped == "the limit of 1 token"
    assert stopped.steps == ()
    if not warm:
        agent.engine.live.clear()
    assert "red" in thread("what colour is the circle in image 1?").text
    edited = thread("make the square green", seed=1)
    assert ("square", "green") in colours(edited.image)


class Restless:
    """Never ends a turn: does these things over and over, to pictures that there are and that there are not."""

    worker = VerbWorker()
    needs_model = False
    speaks = False

    def __init__(self, wanted: list[tuple[Kind, str | None, str]]) -> None:
        self.wanted = itertools.cycle(wanted)

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        kind, image, words = next(self.wanted)
        return [call_message(kind, {"instruction": words, **({"image": image} if image else {})})]

    def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
        return {}


PICTURES = st.sampled_from([None, "image_1", "image_2", "image_9"])
THINGS_TO_DRAW = st.sampled_from(["a large red circle", "a small blue star", "a large green square at the top"])
WANTED = st.lists(
    st.one_of(
        st.tuples(st.just("generate"), st.none(), THINGS_TO_DRAW),
        st.tuples(st.just("edit"), PICTURES, st.sampled_from(["make it blue", "make the background black"])),
        st.tuples(st.just("understand"), PICTURES, st.sampled_from(["what is it?", "how many shapes are there?"])),
    ),
    min_size=2,
    max_size=5,
)
DRAWING: list[tuple[Kind, str | None, str]] = [("generate", None, f"a large red {what}") for what in ("circle", "star")]
LIMITS = st.builds(
    Limits,
    steps=st.integers(1, 4),
    images=st.integers(1, 2),
    tokens=st.sampled_from([1, 60, 120, 180, 5000, 5000, 5000]),
    unet_rows=st.sampled_from([1, 2, 3, 100, 100]),
)


@pytest.mark.slow
def test_whatever_never_ends_ends_within_every_limit(pipeline: Any) -> None:
    counters, spent = pipeline.counters, list[tuple[int, int]]()

    def begun(*_: Any) -> None:
        spent.append((counters.prefilled_tokens + counters.decoded_tokens, rows))

    def drawing(_module: Any, arguments: Any) -> None:
        nonlocal rows
        begun()
        rows += len(arguments[0])  # counted here as they begin: the counters grow once they are computed

    rows, reasons = 0, set[str]()
    hooks = [
        pipeline.vlm.model.language_model.register_forward_pre_hook(begun),
        pipeline.decoder.unet.register_forward_pre_hook(drawing),
    ]

    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @example(DRAWING, Limits(unet_rows=3), False)  # in the middle of the second drawing
    @example(DRAWING, Limits(tokens=100), False)
    @given(WANTED, LIMITS, st.booleans())
    def run(wanted: list[tuple[Kind, str | None, str]], limits: Limits, with_picture: bool) -> None:
        nonlocal rows
        agent = VisualAgent(pipeline, store=":memory:", decider=Restless(wanted), verify=0, num_inference_steps=2)
        spent.clear()
        rows, tokens = 0, counters.prefilled_tokens + counters.decoded_tokens
        reply = agent("go on for ever", shown() if with_picture else None, limits=limits)
        assert reply.stopped
        reasons.add(re.sub(r"\d+ ", "", reply.stopped))
        assert len(reply.steps) <= limits.steps
        assert len(reply.images) <= limits.images
        assert all(read - tokens < limits.tokens for read, _ in spent), "nothing is begun when it is spent"
        assert all(drawn < limits.unet_rows for _, drawn in spent)

        thread, done = reply.thread, [step for step in reply.steps if step.outcome == "ok"]
        assert thread.unfinished is None
        assert [turn.steps for turn in thread.history()] == [reply.steps]
        made = [name for name in thread.images if thread.images[name].record.origin != "user"]
        assert [step.image for step in reply.steps if step.image is not None] == made
        assert [picture.id for picture in reply.images] == made
        assert all("there is no picture" in step.text for step in reply.steps if step.outcome == "error")
        assert f"I stopped early ({reply.stopped})" in reply.text
        assert "Whatever else you asked for is not done" in reply.text
        said = reply.text.split("Done: ")[1].split(". Whatever")[0]
        assert said.count(",") + 1 == max(1, len(done))
        assert ("nothing" in said) == (not done)
        assert re.findall(r"(?:drew|edited) (image_\d+)", said) == made
        assert set(re.findall(r"image_\d+", said)) <= set(thread.images)

    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    assert len(reasons) >= 5, "these requests come to few ends"


def test_every_attempt_counts(agent: VisualAgent) -> None:
    counters = agent.engine.pipeline.counters
    request = "draw a small purple star at the top, a small orange cross at the left, a small cyan star in the middle"
    for rows in (9, 12, 17):  # an attempt takes four steps of two rows
        before = counters.unet_rows
        reply = agent(request, seed=0, guidance_scale=0.3, verify=4, limits={"unet_rows": rows})
        assert counters.unet_rows - before <= rows + 1
        assert reply.images, "what was drawn before is kept"


def test_what_there_was_no_room_for_is_named(agent: VisualAgent) -> None:
    reply = agent(f"{CIRCLE}, then draw a small blue square in the middle", seed=1, limits={"steps": 1})
    assert reply.stopped == "the limit of 1 step"
    assert "Done: drew image_1" in reply.text
    waiting = agent(f"{CIRCLE}, then say how many stars there are, then draw a cross", seed=1, limits={"steps": 1})
    assert "draw a cross" in waiting.text


def test_a_picture_that_there_is_no_room_to_look_at_is_kept(agent: VisualAgent) -> None:
    kept = 0
    for tokens in (40, 50, 60, 70):
        rows = agent.engine.pipeline.counters.unet_rows
        reply = agent(CIRCLE, seed=1, limits={"tokens": tokens})
        if agent.engine.pipeline.counters.unet_rows - rows == 4:
            kept += 1
            assert len(reply.images) == 1
            assert "drew image_1" in reply.text
    assert kept, "no limit fell between drawing and looking"


def test_limits_do_not_depend_on_what_is_in_memory(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    for _ in range(3):
        thread("how many shapes are there?")
    said = {}
    for warm in (True, False):
        if not warm:
            agent.engine.live.clear()
        said[warm] = thread("what do you see?", limits={"tokens": 100})
        thread.undo()
    assert said[True].text == said[False].text
    assert said[True].stopped == said[False].stopped == ""


def test_a_turn_that_is_done_has_not_stopped_early(agent: VisualAgent) -> None:
    assert agent("what is this?", shown(), limits={"steps": 1}).stopped == ""
    assert agent(CIRCLE, limits={"images": 1}).stopped == ""
    both = agent(f"{CIRCLE}, then tell me what you see", limits={"images": 1}, seed=1)
    assert [step.action for step in both.steps] == ["generate", "understand"]
    assert both.stopped == ""
    one = agent(f"{CIRCLE}, then tell me what you see", limits={"steps": 1}, seed=1)
    assert one.stopped == "the limit of 1 step"


def test_limits_are_numbers_and_those_not_named_stay(pipeline: Any) -> None:
    agent = VisualAgent(pipeline, store=":memory:", limits=Limits(steps=1))
    for bad in ({"seconds": float("inf")}, {"seconds": float("nan")}, {"tokens": 0}):
        with pytest.raises(InvalidRequest):
            agent("hello", limits=bad)
    reply = agent(f"{CIRCLE}, then tell me what you see", limits={"images": 5}, seed=1)
    assert reply.stopped == "the limit of 1 step"


def test_an_instruction_that_cannot_be_read_leaves_the_question_open(agent: VisualAgent) -> None:
    thread = agent.thread()
    thread(CIRCLE, approve="generate", seed=1)
    with pytest.raises(InvalidAnswer, match="characters"):
        thread.approve("draw a small blue square " * 4000)
    assert thread.pending is not None
    asked_again = thread.approve("draw a small blue square " * 500)  # short enough to be said, too long to be read
    assert [step.outcome for step in asked_again.steps] == ["error"]
    assert asked_again.pending is not None
    done = thread.approve()
    assert colours(done.image) == {("circle", "red")}
    agent.engine.live.clear()
    assert "red" in thread("what colour is the circle?").text


@pytest.mark.slow
def test_a_turn_as_long_as_the_model_can_read_is_left_out_of_the_next(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    most = agent.engine.pipeline.protocol.language.max_length
    thread("what is a circle? " * 250)
    assert len(thread.history()[-1].stream) > most * 0.6
    assert History(thread.history()).window_start(most // 2) == 2
    assert "red" in thread("what colour is the circle?").text


def test_after_a_region_the_whole_picture_is_meant_again(agent: VisualAgent) -> None:
    thread = agent.thread()
    thread("what is this?", shown(), region=(0.15, 0.15))
    edited = thread("make the circle green", seed=1)
    assert edited.images[0].record.parents == ("image_1",)
    assert colours(edited.image) == {("circle", "green"), ("square", "blue")}
    thread.undo()
    second = thread("make the square yellow", region=(0.83, 0.83), seed=1)
    assert second.images[0].record.parents == ("image_1",)
    assert ("circle", "red") in colours(second.image)


def test_retry_keeps_the_options(agent: VisualAgent) -> None:
    thread = agent.thread()
    thread("a large red circle at the top left", task="generate", seed=1, verify=0)
    again = thread.retry()
    assert thread.history()[-1].request.task == "generate"
    assert [step.verified for step in again.steps] == [False]
    assert again.seed != 1


def test_retry_keeps_what_differs_from_the_agents_own(pipeline: Any) -> None:
    with VisualAgent(pipeline, store=":memory:", approve="generate") as agent:
        thread = agent.thread()
        thread("draw a large red circle", approve=(), seed=1)
        assert thread.retry().pending is None, "that turn was not to be approved"
        assert thread.retry().pending is None, "nor were those in its place"
        with pytest.raises(InvalidRequest, match="empty"):
            thread.retry("")
        assert len(thread.history()) == 1


@pytest.mark.parametrize("before", [(), "generate", ("edit",)])
def test_retry_asks_what_this_agent_wants_to_approve(pipeline: Any, tmp_path: Path, before: Any) -> None:
    with VisualAgent(pipeline, store=tmp_path, approve=before) as first:
        first.thread("t")(CIRCLE, approve=()) if before == "generate" else first.thread("t")(CIRCLE)
    with VisualAgent(pipeline, store=tmp_path, approve="generate", limits={"images": 1}) as agent:
        reply = agent.thread("t").retry()
        assert (reply.pending is None) == (before == "generate"), "unless the request itself said that nothing is"


def test_retry_shows_the_same_pictures(agent: VisualAgent, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "mine.png")
    thread = agent.thread()
    thread("what do you see?", tmp_path / "mine.png")
    thread.retry("is there a circle?")
    (record,) = thread.history()[0].images
    assert record.label == "mine.png"


def test_pictures_of_a_thread_wait_while_its_first_turn_fails(agent: VisualAgent) -> None:
    thread = agent.thread("mine", images=[Image.new("RGB", (64, 64), "white")])
    with pytest.raises(Cancelled):
        thread("what do you see?", cancel=lambda: True)
    assert agent.threads() == [], "a thread whose first turn came to nothing is none"
    assert [record.origin for record in thread("what do you see?").thread.history()[0].images] == ["user"]
    assert not thread("what do you see?").thread.history()[1].images


def test_pictures_of_a_thread_come_again_with_a_first_turn_that_was_discarded(agent: VisualAgent) -> None:
    thread = agent.thread("mine", images=[shown()])
    assert thread("make the circle green", approve="edit", seed=1).pending
    thread.discard()
    assert agent.threads() == []
    assert "red" in thread("what colour is the circle?").text
    assert not thread("is there a circle?").thread.history()[1].images
    thread.undo(2)
    assert "red" in thread("what colour is the circle?").text, "it is the first again"
    thread.retry("is there a square?")
    thread("is there a star?")
    assert [len(turn.request.images) for turn in thread.history()] == [1, 0], "and has come once"


def test_an_answer_goes_no_further_than_the_limits(agent: VisualAgent) -> None:
    thread = agent.thread()
    reply = thread(f"{CIRCLE}, then tell me how many shapes there are", margin=1.0, limits={"images": 1}, seed=1)
    while reply.pending is not None:
        reply = thread.choose("generate")
    assert len(reply.images) == 1
    assert reply.stopped == "the limit of 1 picture"


def test_limits_that_are_not_named_stay_as_they_were_last(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, limits={"steps": 1}, seed=1).thread
    thread.retry(f"{CIRCLE}, then tell me what you see", limits={"images": 3})
    assert thread.history()[0].stopped == "the limit of 1 step"
    model = agent.chat_model(limits={"steps": 1})
    said = model.invoke(f"{CIRCLE}, then tell me what you see", limits={"images": 3}, seed=1)
    assert "the limit of 1 step" in said.text


@pytest.mark.parametrize("node", ["ingest", "decide"])
def test_a_turn_that_was_cut_off_is_taken_back_first(agent: VisualAgent, node: str) -> None:
    thread = agent("what do you see?").thread
    cut_off(thread, "and now?", node)
    assert thread.unfinished is not None
    with pytest.raises(NothingToUndo, match="did not end"):
        thread.redo()
    with pytest.raises(NothingToUndo, match="did not end"):
        thread.retry()
    with pytest.raises(NothingToUndo, match="there are 2"):
        thread.undo(3)
    thread.undo()
    assert (thread.unfinished, len(thread.history())) == (None, 1)
    cut_off(thread, "and now?", node)
    thread.undo(2)
    assert (thread.unfinished, len(thread.history())) == (None, 0)
    thread.redo()
    assert [turn.request.text for turn in thread.history()] == ["what do you see?"]
    first = agent.thread("first")
    cut_off(first, "and now?", node)
    first.undo()
    assert agent.threads() == [thread.name], "there was nothing else on it"


def test_a_turn_that_waits_is_taken_back_first(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    assert thread("draw a star, then make it green", approve="edit", seed=1).pending
    thread.undo()
    assert (thread.pending, thread.unfinished, len(thread.history())) == (None, None, 1)
    assert list(thread.images) == ["image_1"]
    assert agent.parts.sessions == {}, "nothing of it is in memory"
    with pytest.raises(NothingToUndo):
        thread.redo()
    assert thread("make the circle green", approve="edit", seed=1).pending
    thread.undo(2)
    assert (thread.history(), list(thread.images)) == ([], [])
    thread.redo()
    assert [turn.request.text for turn in thread.history()] == [CIRCLE]


def test_reasons_are_words(agent: VisualAgent) -> None:
    thread = agent("draw a large red circle", approve="generate").thread
    for reason in ("\ud800", "x" * 3_000_000):
        with pytest.raises(InvalidAnswer):
            thread.reject(reason)
    assert thread.pending is not None
    assert not thread.reject("").images


def test_pictures_wait_for_a_request_that_is_taken(agent: VisualAgent) -> None:
    thread = agent.thread(images=[shown()])
    with pytest.raises(InvalidRequest, match="characters"):
        thread("x" * 1_000_000)
    assert "red" in thread("what colour is the circle?").text


def test_pictures_alone_ask_what_they_show(agent: VisualAgent) -> None:
    reply = agent("", images=[shown()])
    assert "red circle" in reply.text
    with pytest.raises(InvalidRequest, match="empty"):
        agent("")


def test_the_model_can_go_on_where_another_decider_has_begun(pipeline: Any) -> None:
    class VerbByVerb(Restless):
        def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
            return [forced(state) or last_words()]

    first = VisualAgent(pipeline, store=":memory:", decider=VerbByVerb([]))
    thread = first.thread("t")
    thread(CIRCLE, task="generate", seed=1)
    then = VisualAgent(pipeline, store=first.store)
    assert "red" in then.thread("t")("what colour is the circle?").text
