"""Threads: their history against a simple model of it, what is read again, cancelling, waiting."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genllava.errors import Cancelled, InvalidRequest
from genllava_agent import Limits, VisualAgent, events
from genllava_agent.errors import NothingToUndo, ThreadBusy, ThreadNotFound
from genllava_agent.history import History
from genllava_agent.live import _captions
from genllava_agent.records import ImageRecord, Region, Request, Turn
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

QUICK: dict[str, Any] = {"limits": Limits(tokens=1)}
"""The turn ends before the model has written anything."""
CIRCLE = "draw a large red circle at the top left"
PICTURE = render(Scene("white", (Thing(0, "circle", "red", "large"), Thing(8, "square", "blue", "small"))))

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 9)),
        st.tuples(st.just("undo"), st.integers(1, 3)),
        st.tuples(st.just("redo"), st.integers(1, 3)),
        st.tuples(st.just("retry"), st.integers(0, 9)),
        st.tuples(st.just("discard"), st.just(0)),
        st.tuples(st.just("branch"), st.just(0)),
        st.tuples(st.just("delete"), st.just(0)),
    ),
    max_size=14,
)


@pytest.mark.parametrize("durable", [False, True])
def test_history_does_what_a_list_would(pipeline: Any, durable: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=20 if durable else 40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(OPERATIONS)
    def run(operations: list[tuple[str, int]]) -> None:
        place = tmp_path_factory.mktemp("store") if durable else ":memory:"
        with VisualAgent(pipeline, store=place, **QUICK) as agent:
            thread = agent.thread("t0")
            done: list[str] = []
            undone: list[str] = []
            others: list[tuple[Any, list[str]]] = []
            exists = False
            for number, (what, value) in enumerate(operations):
                if what == "ask":
                    thread(f"request {value}")
                    done, undone, exists = [*done, f"request {value}"], [], True
                elif what == "undo":
                    if value <= len(done):
                        thread.undo(value)
                        undone += reversed(done[-value:])
                        done = done[:-value]
                    else:
                        with pytest.raises((NothingToUndo, ThreadNotFound)):
                            thread.undo(value)
                elif what == "redo":
                    if value <= len(undone):
                        thread.redo(value)
                        done += reversed(undone[-value:])
                        undone = undone[:-value]
                    else:
                        with pytest.raises((NothingToUndo, ThreadNotFound)):
                            thread.redo(value)
                elif what == "retry":
                    if done:
                        thread.retry(f"retried {value}")
                        done, undone = [*done[:-1], f"retried {value}"], []
                    else:
                        with pytest.raises(NothingToUndo):
                            thread.retry()
                elif what == "discard":
                    assert thread("and this?", approve="understand", task="understand", limits=Limits()).pending
                    thread.discard()
                    exists = exists and bool(done or undone)  # a thread without any turn is forgotten
                elif what == "branch" and exists:
                    others.append((thread, list(done)))
                    thread, undone = thread.branch(f"t{number + 1}"), []
                elif what == "delete" and exists:
                    thread.delete()
                    done, undone, exists = [], [], False
                assert agent.store.exists(thread.name) == exists
                assert [turn.request.text for turn in thread.history()] == done
                assert [turn.number for turn in thread.history()] == list(range(1, len(done) + 1))
            for other, texts in others:
                assert [turn.request.text for turn in other.history()] == texts
                assert [turn.request.text for turn in agent.thread(other.name).history()] == texts

    run()


def read_again(thread: Any, request: str) -> int:
    """Tokens that were read beyond those that the turn added, by a request of words."""
    counters = thread.agent.engine.pipeline.counters
    counters.reset()
    turn = thread(request).thread.history()[-1]
    assert counters.image_encodes == 0
    assert counters.vae_encodes == 0
    return int(counters.prefilled_tokens + counters.decoded_tokens) - len(turn.stream)


def test_what_is_kept_is_not_read_again(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    thread("how many shapes are there?")
    assert read_again(thread, "is there a star?") <= 1
    thread.undo(2)
    assert read_again(thread, "what colour is the circle?") <= 1 + 2  # the end of the turn before comes along
    branch = thread.branch()
    assert read_again(branch, "is there a square?") <= 3
    assert read_again(thread, "is there a cross?") <= 3
    thread.undo()
    thread.redo()
    assert read_again(thread, "how many circles are there?") <= 3


@pytest.mark.parametrize("fixture", ["agent", "kept"])
def test_what_a_branch_goes_on_from_is_kept_when_the_thread_is_deleted(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    agent: VisualAgent = request.getfixturevalue(fixture)
    thread = agent(CIRCLE, seed=1).thread
    branch = thread.branch()
    thread("how many shapes are there?")
    thread.undo()
    thread("is there a star?")
    thread.undo()
    thread.delete()
    kept = {turn for standing in agent.engine.live._kept for turn in standing.marks}
    assert kept == {turn.id for turn in branch.history()}, "what only the thread had is forgotten, undone or not"
    assert read_again(branch, "is there a square?") <= 3
    branch.delete()
    assert agent.engine.live._kept == []


def test_a_thread_that_is_taken_up_again_says_the_same(pipeline: Any, tmp_path: Any) -> None:
    def asked(agent: VisualAgent) -> list[str]:
        thread = agent.thread("t")
        thread(CIRCLE, seed=1)
        agent.engine.live.clear()
        edited = thread("make the circle green", seed=2)
        agent.engine.live.clear()
        return [edited.images[0].record.key, thread("what colour is the circle?").text]

    with VisualAgent(pipeline, store=tmp_path / "a") as forgetful:
        again = asked(forgetful)
    with VisualAgent(pipeline, store=tmp_path / "b") as agent:
        thread = agent.thread("t")
        thread(CIRCLE, seed=1)
        edited = thread("make the circle green", seed=2)
        assert [edited.images[0].record.key, thread("what colour is the circle?").text] == again


def turn(number: int, tokens: int) -> Turn:
    return Turn(id=str(number), parent=None, number=number, at=0, request=Request(text="x"), stream=(0,) * tokens)


@given(st.lists(st.integers(1, 60), max_size=60))
def test_a_window_moves_seldom_and_never_back(lengths: list[int]) -> None:
    history = [turn(number, length) for number, length in enumerate(lengths)]
    starts = [History(history[:count]).window_start(200) for count in range(len(history) + 1)]
    assert starts == sorted(starts)
    longer = History()
    for one, start in zip(history, starts, strict=False):
        assert longer.window_start(200) == start, "what is worked out goes on to the longer history"
        longer = longer.then(one)
    assert longer.window_start(200) == starts[-1]
    for count, start in enumerate(starts):
        assert sum(lengths[start:count]) <= 200
    moves = sum(before != after for before, after in itertools.pairwise(starts))
    assert moves <= sum(lengths) / 100 + 1


@pytest.mark.slow
def test_a_thread_longer_than_the_model_can_read_goes_on(agent: VisualAgent) -> None:
    counters = agent.engine.pipeline.counters
    encodes = counters.image_encodes
    thread = agent(CIRCLE, seed=1).thread
    most = agent.engine.pipeline.protocol.language.max_length // 2
    while not History(thread.history()).window_start(most):
        thread("draw a small blue square in the middle", seed=2, verify=0)
        assert len(thread.history()) < 30
    assert "blue" in thread("what colour is the square?").text
    pictures = {image.record.key for image in thread.images.values()}
    assert counters.image_encodes - encodes == len(pictures), "each is seen once, whatever is left out"
    edited = thread("make the square green", seed=1)
    assert "green square" in (edited.images[0].record.plan or "")
    assert next(iter(thread.images)) == "image_1"


@pytest.mark.slow
def test_pictures_from_long_ago_are_told_of_or_declined(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    most = agent.engine.pipeline.protocol.language.max_length // 2
    thread("draw a small blue square in the middle", seed=2)
    while History(thread.history()).window_start(most) < 6:
        thread("draw a large yellow star at the bottom", seed=3, verify=0)
        assert len(thread.history()) < 40
    assert "blue" in thread("what color is the square in image 2?").text, "it was looked at when it was drawn"
    unseen = thread("what color is the star in image 3?")
    assert "Image 3 is too long ago to be seen" in unseen.text
    edited = thread("make the square in image 2 green", seed=1)
    assert "mage 2 is too long ago to be seen" in edited.text
    assert edited.images == ()
    assert "red" in thread("what color is the circle in image 1?").text


def test_what_was_seen_in_a_picture_counts_more_than_what_was_planned() -> None:
    def drawn(number: int, **known: Any) -> ImageRecord:
        return ImageRecord(id=f"image_{number}", key="0" * 64, width=8, height=8, origin="edit", turn=number, **known)

    part = Request(text="make it green", region=Region(image="image_1", point=(0.5, 0.5)))
    whole = (drawn(1, plan="planned", caption="seen"), drawn(2, plan="planned"))
    first = turn(0, 9).model_copy(update={"images": whole})
    second = turn(1, 9).model_copy(update={"images": (drawn(3, plan="of a part"),), "request": part})
    assert _captions([first, second]) == {1: "seen", 2: "planned", 3: ""}


# --- cancelling ---


@pytest.fixture
def begun(agent: VisualAgent) -> Iterator[list[str]]:
    """What the model has begun to work out, one by one: `token` (or several that are read), `step` of drawing."""
    pipeline, passes = agent.engine.pipeline, list[str]()
    hooks = [
        pipeline.vlm.model.language_model.register_forward_pre_hook(lambda *_: passes.append("token")),
        pipeline.decoder.unet.register_forward_pre_hook(lambda *_: passes.append("step")),
    ]
    yield passes
    for hook in hooks:
        hook.remove()


def test_cancelling_stops_within_a_token_and_a_row(agent: VisualAgent, begun: list[str]) -> None:
    thread, stopped_in = agent.thread("t"), set()
    for stop_at in (1, 5, 25, 40, 42, 44):
        asked, before = 0, 0

        def cancel(stop_at: int = stop_at) -> bool:
            nonlocal asked, before
            asked += 1
            if asked == stop_at:
                before = len(begun)
            return asked >= stop_at

        with pytest.raises(Cancelled):
            thread(CIRCLE + ", then tell me what you see", cancel=cancel)
        assert asked == stop_at, "it went on after it was told to stop"
        assert len(begun) == before, "it is asked before every token and every step"
        stopped_in.update(begun[-1:])
        assert thread.history() == []
        assert thread.unfinished is None
    assert stopped_in == {"token", "step"}
    assert len(thread(CIRCLE, seed=1).images) == 1


STOPPED_AT = [(events.TextDelta, "what do you see?"), (events.PlanWritten, CIRCLE), (events.Preview, CIRCLE)]
"""The first event of a kind, where much is still to be done."""
FEW = 5
"""Passes that may be begun until another thread hears that the work is no longer wanted."""


def test_closing_the_stream_cancels(agent: VisualAgent, begun: list[str]) -> None:
    thread = agent.thread("t", images=[PICTURE])
    for kind, text in [(events.TurnStarted, CIRCLE), *STOPPED_AT]:
        stream = thread.stream(text, num_inference_steps=100)
        next(event for event in stream if isinstance(event, kind))
        before = len(begun)
        stream.close()  # type: ignore[attr-defined]
        assert len(begun) - before <= 2, "the one that it was at, and one begun meanwhile"
        assert (thread.history(), thread.unfinished) == ([], None)
    assert len(thread(CIRCLE, seed=1).images) == 1


def test_ctrl_c_leaves_clean_history(agent: VisualAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    thread, calls = agent.thread("t"), 0

    def interrupted() -> bool:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        thread(CIRCLE, cancel=interrupted)
    assert (thread.history(), thread.unfinished) == ([], None)
    assert len(thread(CIRCLE, seed=1).images) == 1


@pytest.mark.slow
def test_async_calls_streams_and_cancelling(agent: VisualAgent, begun: list[str]) -> None:
    async def run() -> None:
        reply = await agent.acall(CIRCLE, seed=1)
        assert len(reply.images) == 1
        kinds = [type(event) async for event in reply.thread.astream("how many shapes are there?")]
        assert kinds[0] is events.TurnStarted
        assert kinds[-1] is events.TurnFinished
        thread = agent.thread("slow", images=[PICTURE])
        for text, passes in (("what do you see?", 20), (CIRCLE, 60)):
            begun.clear()
            task = asyncio.create_task(thread.acall(text, num_inference_steps=1000))
            while len(begun) < passes:
                await asyncio.sleep(0.001)
            before = len(begun)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(begun) - before <= FEW
            assert (thread.history(), thread.unfinished) == ([], None)
        for kind, text in STOPPED_AT:
            stream = thread.astream(text, num_inference_steps=1000)
            async for event in stream:
                if isinstance(event, kind):
                    break
            before = len(begun)
            await stream.aclose()  # type: ignore[attr-defined]
            assert len(begun) - before <= FEW
            assert (thread.history(), thread.unfinished) == ([], None)
        replies = await agent.abatch([CIRCLE, "draw a small blue square in the middle"], seed=1)
        assert [len(each.images) for each in replies] == [1, 1]

    asyncio.run(run())


def test_turns_that_wait_hold_up_nobody_else(agent: VisualAgent) -> None:
    busy = agent.thread("busy").stream(CIRCLE)
    next(busy)

    async def run() -> None:
        queued = [asyncio.create_task(agent.thread("busy").acall("hello", **QUICK)) for _ in range(40)]
        await asyncio.sleep(0.1)
        assert (await asyncio.wait_for(agent.thread("free").acall("hello", **QUICK), 30)).stopped
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 30) == 1, "threads that others use as well"
        for task in queued[1:]:
            task.cancel()
        await asyncio.wait(queued[1:], timeout=30)
        assert all(task.cancelled() for task in queued[1:])
        busy.close()  # type: ignore[attr-defined]
        assert (await asyncio.wait_for(queued[0], 30)).stopped

    asyncio.run(run())


def test_a_batch_that_fails_leaves_nothing_running(agent: VisualAgent, begun: list[str]) -> None:
    async def run() -> None:
        with pytest.raises(InvalidRequest, match="empty"):
            await agent.abatch([CIRCLE, ""], num_inference_steps=1000)
        before = len(begun)
        await asyncio.sleep(0.2)
        assert len(begun) == before

        batch = asyncio.create_task(agent.abatch([CIRCLE] * 4, max_concurrency=1, num_inference_steps=1000))
        while len(begun) < before + 60:
            await asyncio.sleep(0.001)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        before = len(begun)
        await asyncio.sleep(0.2)
        assert len(begun) == before

    asyncio.run(run())
    assert agent.threads() == []
    for texts in ("ab", (text for text in "ab"), 7):
        with pytest.raises(InvalidRequest, match="a list of requests"):
            agent.batch(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["call", "retry", "acall", "answer"])
def test_what_cannot_be_asked_whether_to_stop_is_refused(agent: VisualAgent, how: str) -> None:
    thread = agent("hello", **QUICK).thread
    asked: dict[str, Any] = {
        "call": lambda: thread("hello", cancel=5),
        "retry": lambda: thread.retry(cancel=5),
        "acall": lambda: asyncio.run(thread.acall("hello", cancel=threading.Event())),
        "answer": lambda: list(thread.answer_stream({"decision": "approve"}, cancel=5)),  # type: ignore[arg-type]
    }
    with pytest.raises(InvalidRequest, match="cannot be asked"):
        asked[how]()
    assert len(thread.history()) == 1


# --- one at a time ---


def test_turns_of_one_thread_wait_for_each_other(agent: VisualAgent) -> None:
    thread = agent.thread("t")
    workers = [threading.Thread(target=lambda n=n: thread(f"request {n}", **QUICK)) for n in range(12)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(t.request.text for t in thread.history()) == sorted(f"request {n}" for n in range(12))


def test_busy_may_be_an_error(pipeline: Any) -> None:
    agent = VisualAgent(pipeline, store=":memory:", busy="error")
    stream = agent.thread("t").stream(CIRCLE)
    next(stream)
    with pytest.raises(ThreadBusy):
        agent.thread("t")("hello")
    stream.close()  # type: ignore[attr-defined]
    queued = VisualAgent(pipeline, store=":memory:").thread("t")
    stream = queued.stream(CIRCLE)
    next(stream)
    with pytest.raises(ThreadBusy, match="in the middle of a turn"):
        queued("hello")  # waiting for itself would take for ever
    stream.close()  # type: ignore[attr-defined]


def test_threads_that_do_not_exist(agent: VisualAgent) -> None:
    with pytest.raises(ThreadNotFound, match="none so far"):
        agent.thread("x", must_exist=True)
    assert agent.thread("x").history() == []
    for way_back in ("undo", "redo", "branch", "delete"):
        with pytest.raises(ThreadNotFound):
            getattr(agent.thread("x"), way_back)()
    agent.thread("y")("hello", **QUICK)
    agent.thread("y").branch("z")
    with pytest.raises(InvalidRequest, match="already"):
        agent.thread("y").branch("z")
    assert agent.threads() == ["y", "z"]
    agent.thread("y").delete()
    with pytest.raises(ThreadNotFound, match="names those that there are"):
        agent.thread("y").delete()
    assert agent.threads() == ["z"]
    with pytest.raises(ThreadNotFound, match="z"):
        agent.thread("y", must_exist=True)
