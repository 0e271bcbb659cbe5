"""Conversations are the same on every store."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import AnswerPending, NothingPending, NothingToUndo, ThreadNotFound
from genllava_agent.stores.waiting import Waiting

NOW = Waiting(0.0)
Talk = Callable[..., VisualAgent]


def test_a_conversation_is_there_again(lasting: str, talk: Talk) -> None:
    thread = talk(lasting).thread("a")
    replies = [thread("draw a circle", task="generate", seed=3), thread("make it red", task="edit", seed=4)]
    turns, pixels = thread.history(), [reply.images[0].image.tobytes() for reply in replies]
    again = talk(lasting).thread("a", must_exist=True)
    assert again.history() == turns
    assert [image.image.tobytes() for image in again.images.values()] == pixels
    third = again("draw a circle", task="generate", seed=5)
    assert [turn.number for turn in thread.history()] == [1, 2, 3]
    assert thread.images["image_3"].image.tobytes() == third.images[0].image.tobytes()


def test_the_same_seed_draws_the_same_on_every_store(place: str, talk: Talk) -> None:
    thread = talk(place).thread("a")
    thread("draw", task="generate", seed=3)
    reference = talk(":memory:").thread("a")
    reference("draw", task="generate", seed=3)
    for ours, theirs in ((thread, reference),):
        ours("make it red", task="edit", seed=4)
        theirs("make it red", task="edit", seed=4)
    assert [i.record.key for i in thread.images.values()] == [i.record.key for i in reference.images.values()]


def test_ways_back(place: str, talk: Talk) -> None:
    agent = talk(place)
    thread = agent.thread("a")
    for number in range(3):
        thread(f"say {number}", task="understand")
    turns = thread.history()
    thread.undo(2)
    assert thread.history() == turns[:1]
    thread.redo()
    assert thread.history() == turns[:2]
    branch = thread.branch("b")
    assert branch.history() == turns[:2]
    branch("other", task="understand")
    assert thread.history() == turns[:2]
    thread.redo()
    assert thread.history() == turns
    with pytest.raises(NothingToUndo):
        thread.redo()
    with pytest.raises(InvalidRequest):
        thread.branch("b")
    with pytest.raises(InvalidRequest):
        thread.branch("a")
    with pytest.raises(ThreadNotFound):
        agent.thread("c").undo()
    assert agent.threads() == ["a", "b"]


def test_questions_last_and_are_answered_elsewhere(lasting: str, talk: Talk) -> None:
    straight = talk(":memory:").thread("a")("draw a circle", task="generate", seed=7)
    talk(lasting).thread("a")("draw a circle", task="generate", seed=7, approve="generate")
    thread = talk(lasting).thread("a")
    assert thread.pending is not None
    with pytest.raises(AnswerPending):
        thread.resume()
    assert thread.history() == []
    reply = talk(lasting).thread("a").approve()
    assert reply.images[0].record.key == straight.images[0].record.key
    assert thread.pending is None
    with pytest.raises(NothingPending):
        thread.approve()
    assert [turn.number for turn in thread.history()] == [1]


def test_a_question_is_forgotten_with_its_turn(place: str, talk: Talk) -> None:
    agent = talk(place)
    thread = agent.thread("a")
    thread("draw a circle", task="generate", approve="generate")
    thread.discard()
    with pytest.raises(ThreadNotFound):  # there was nothing else on it
        thread.discard()
    thread("say", task="understand")
    thread("draw a circle", task="generate", approve="generate")
    thread.discard()
    with pytest.raises(NothingPending):
        thread.discard()
    assert [turn.number for turn in thread.history()] == [1]


def test_a_turn_that_is_closed_leaves_nothing(place: str, talk: Talk) -> None:
    thread = talk(place).thread("a")
    thread("say", task="understand")
    turns = thread.history()
    count = sum(1 for _ in talk(":memory:").thread("b").stream("draw a circle", task="generate", seed=1))
    for heard in range(1, count):
        events = thread.stream("draw a circle", task="generate", seed=1)
        for _ in range(heard):
            event = next(events)
        events.close()  # type: ignore[attr-defined]
        if type(event).__name__ == "TurnFinished":
            break
        assert thread.unfinished is None, event
        assert thread.history() == turns, event
    thread("say", task="understand")
    assert [turn.number for turn in thread.history()] == [1, 2]


def test_branching_to_the_name_of_a_thread_does_not_wait_for_it(place: str, talk: Talk) -> None:
    """Two threads that branch to each other's name would wait for each other."""
    agent = talk(place)
    for name in ("a", "b"):
        agent.thread(name)("say", task="understand")
    refused = threading.Event()

    def branch() -> None:
        with pytest.raises(InvalidRequest):
            agent.thread("a").branch("b")
        refused.set()

    with agent.store.lock("b", NOW):
        worker = threading.Thread(target=branch, daemon=True)
        worker.start()
        assert refused.wait(30)
    worker.join()
