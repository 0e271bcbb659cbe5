"""Conversations are the same on every store."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cut_off import cut_off
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent
from genllava_agent.errors import AnswerPending, NothingPending, NothingToUndo, ThreadNotFound
from genllava_agent.nodes.ingest import REPLACED
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


# --- any sequence of acts ---


@dataclass
class Model:
    """What a thread should be.

    Attributes:
        said: requests of the turns in its history.
        undone: of those that can be brought back, the next one last.
        open: the request of the turn that has not ended, and whether it waits for an answer.
        again: whether that turn is to take the place of the last.
        exists: whether there is such a thread.
    """

    said: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    open: tuple[str, bool] | None = None
    again: bool = False
    exists: bool = False

    def begin(self, text: str, waits: bool) -> None:
        """A turn begins; the one that has not ended stays, but for one that was to take another's place."""
        if self.open is not None and not self.again:
            self.said.append(self.open[0])
        self.open, self.again, self.exists = (text, waits), False, True

    def end(self) -> None:
        assert self.open is not None
        if self.again:
            self.said.pop()
        self.said.append(self.open[0])
        self.open, self.again, self.undone = None, False, []

    def discard(self) -> None:
        self.open, self.again = None, False
        self.exists = bool(self.said or self.undone)


class Talker:
    """Does the same to a thread and to the model of one."""

    def __init__(self, make: Callable[[], VisualAgent], name: str) -> None:
        self._make, self._names, self._count = make, (f"{name} {number}" for number in itertools.count()), 0
        self.thread, self.model = make().thread(next(self._names)), Model()

    def do(self, act: str) -> None:
        before, waits = self.thread, self.model.open is not None and self.model.open[1]
        getattr(self, act)()
        model, turns = self.model, self.thread.history()
        assert [turn.request.text for turn in turns] == model.said
        assert [turn.number for turn in turns] == list(range(1, len(turns) + 1))
        assert [turn.parent for turn in turns] == [None, *(turn.id for turn in turns)][:-1] or not turns
        unfinished = self.thread.unfinished
        assert (unfinished and (unfinished.request.text, unfinished.question is not None)) == model.open
        assert (self.thread.pending is not None) == (model.open is not None and model.open[1])
        assert (self.thread.name in self.thread.agent.threads()) == model.exists
        if act == "ask" and waits and before is self.thread:
            assert self.reply.replaced is not None

    def ask(self) -> None:
        before = self.model.open if not self.model.again else None
        self.reply = self.thread(self._text(), task="understand")
        self.model.begin(f"say {self._count}", False)
        self.model.end()
        if before is not None:
            turn = self.thread.history()[-2]
            assert turn.stopped in (REPLACED, "cut off")

    def ask_for_approval(self) -> None:
        assert self.thread(self._text(), task="generate", approve="generate", seed=1).pending is not None
        self.model.begin(f"say {self._count}", True)

    def be_cut_off(self) -> None:
        cut_off(self.thread, self._text(), task="understand")
        self.model.begin(f"say {self._count}", False)

    def answer(self) -> None:
        answer = self.thread.approve if self._count % 2 else self.thread.reject
        if self.model.open is None or not self.model.open[1]:
            with pytest.raises(NothingPending):
                answer()
            return
        answer()
        self.model.end()

    def resume(self) -> None:
        if self.model.open is None or self.model.open[1]:
            with pytest.raises(NothingPending if self.model.open is None else AnswerPending):
                self.thread.resume()
            return
        self.thread.resume()
        self.model.end()

    def discard(self) -> None:
        if self.model.open is None:
            with pytest.raises(NothingPending if self.model.exists else ThreadNotFound):
                self.thread.discard()
            return
        self.thread.discard()
        self.model.discard()

    def undo(self) -> None:
        if self.model.open is not None:
            self.thread.undo()
            self.model.discard()
        elif not self.model.said:
            with pytest.raises(NothingToUndo if self.model.exists else ThreadNotFound):
                self.thread.undo()
        else:
            self.thread.undo()
            self.model.undone.append(self.model.said.pop())

    def redo(self) -> None:
        if self.model.open is not None or not self.model.undone:
            with pytest.raises(NothingToUndo if self.model.exists else ThreadNotFound):
                self.thread.redo()
            return
        self.thread.redo()
        self.model.said.append(self.model.undone.pop())

    def retry(self) -> None:
        self._retry(None)

    def retry_and_ask_for_approval(self) -> None:
        self._retry("generate")

    def _retry(self, approve: str | None) -> None:
        if self.model.open is not None or not self.model.said:
            with pytest.raises(NothingToUndo):
                self.thread.retry()
            return
        task = "understand" if approve is None else "generate"
        self.thread.retry(task=task, approve=[] if approve is None else approve)
        self.model.open, self.model.again = (self.model.said[-1], approve is not None), True
        if approve is None:
            self.model.end()

    def branch(self) -> None:
        """And go on there; the other one stays as it is."""
        if not self.model.exists:
            with pytest.raises(ThreadNotFound):
                self.thread.branch(next(self._names))
            return
        before = self.thread.history(), self.thread.unfinished
        branch = self.thread.branch(next(self._names))
        assert (self.thread.history(), self.thread.unfinished) == before
        self.thread, self.model = branch, Model(list(self.model.said), exists=True)

    def delete(self) -> None:
        if not self.model.exists:
            with pytest.raises(ThreadNotFound):
                self.thread.delete()
            return
        self.thread.delete()
        self.model = Model()

    def open_again(self) -> None:
        """As another process does."""
        self.thread = self._make().thread(self.thread.name)

    def _text(self) -> str:
        self._count += 1
        return f"say {self._count}"


ACTS = [
    *("ask", "ask", "ask", "ask_for_approval", "be_cut_off", "answer", "resume", "discard", "undo", "undo", "redo"),
    *("retry", "retry_and_ask_for_approval", "branch", "delete", "open_again"),
]
NUMBERS = itertools.count()


@pytest.fixture(params=["memory", "folder", "postgres", "InMemorySaver", "SqliteSaver"])
def making(request: pytest.FixtureRequest, talk: Talk, quick_path: Path) -> Iterator[Callable[[], VisualAgent]]:
    """Makes agents at one place of every kind."""
    place: Any = str(quick_path / "store")
    if request.param == "postgres":
        place = request.getfixturevalue("postgres").database()
    elif request.param == "memory":
        place = talk(":memory:").store
    options: dict[str, Any] = {}
    connection = sqlite3.connect(quick_path / "own.sqlite", check_same_thread=False)
    if request.param == "InMemorySaver":
        options["checkpointer"] = InMemorySaver()
    elif request.param == "SqliteSaver":
        options["checkpointer"] = SqliteSaver(connection)
    yield lambda: talk(place, **options)
    connection.close()


def _any_acts(making: Callable[[], VisualAgent], examples: int, length: int) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(ACTS), min_size=length // 2, max_size=length))
    def run(acts: list[str]) -> None:
        talker = Talker(making, f"t{next(NUMBERS)}")
        for act in acts:
            talker.do(act)

    run()


def test_any_acts(making: Callable[[], VisualAgent]) -> None:
    _any_acts(making, 5, 12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_acts(making: Callable[[], VisualAgent]) -> None:
    _any_acts(making, 100, 20)


@pytest.mark.parametrize("again", ["discard", "undo", "ask", "answer"])
def test_a_turn_stands_until_the_one_in_its_place_has_ended(again: str, place: str, talk: Talk) -> None:
    thread = talk(place).thread("a")
    thread("draw a circle", task="generate", seed=1)
    turns, key = thread.history(), thread.images[1].record.key
    assert thread.retry("draw a star", approve="generate", seed=2).pending is not None
    assert (thread.history(), thread.images[1].record.key) == (turns, key)
    assert thread.unfinished is not None
    assert (thread.unfinished.number, thread.unfinished.request.text) == (1, "draw a star")
    if again == "ask":
        with pytest.raises(InvalidRequest):
            thread("x" * 30_000)
        assert thread.pending is not None, "what cannot be asked changes nothing"
        assert thread("say", task="understand").replaced is not None
        assert thread.history()[:-1] == turns
    elif again == "answer":
        thread.approve()
        assert [turn.request.text for turn in thread.history()] == ["draw a star"]
        assert thread.images[1].record.key != key
    else:
        getattr(thread, again)()
        assert (thread.history(), thread.unfinished, thread.images[1].record.key) == (turns, None, key)
    thread("make it blue", task="edit", seed=3)
    assert [turn.number for turn in thread.history()] == list(range(1, len(thread.history()) + 1))


def test_turns_that_were_replaced_before_anything_was_done(place: str, talk: Talk) -> None:
    """What the model noted for them is forgotten; what is read again of the conversation is whole all the same."""
    agent = talk(place)
    thread = agent.thread("a")
    for number in range(4):
        thread(f"say {number}", task="generate", approve="generate", seed=1)
    for number in (4, 5):
        thread(f"say {number}", task="understand")
    thread.undo(2)
    assert thread("say more", task="understand").turn == 5
    assert talk(agent.store).thread("a")("say more", task="understand").turn == 6
    starts = {turn.stream[0] for turn in thread.history() if turn.stream}
    assert len(starts) == 1, "the stream of each turn begins with the user's message"
