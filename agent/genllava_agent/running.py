"""Running a turn: one writer, from the first thing that is stored to the last.

A turn begins with a note in the store that it has, and ends with one write that keeps it and moves the thread. What
happens in between is nobody's history: whatever breaks off leaves the thread as it was, with the note of what was
begun, from which the same turn can be run again and gives the same pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from genllava.errors import Cancelled
from genllava_agent import events
from genllava_agent.background import Elsewhere, heard_outside, outside
from genllava_agent.errors import StoreFailed
from genllava_agent.graph import build_graph
from genllava_agent.records import Head, Pending, Question, Turn
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings, checked
from genllava_agent.state import AgentState
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting_state import keep_state, load_state

if TYPE_CHECKING:
    from genllava_agent.engine import Engine
    from genllava_agent.history import History
    from genllava_agent.stores.base import ThreadStore


_WAITING: Final = 4
"""Turns that wait for an answer and are kept in memory as well."""
_STEPS: Final = 100_000
"""Of the graph, at most: turns have limits of their own."""
_ASKING: Final = {"approval": "approve", "clarification": "clarify"}
"""The node that asks each kind of question."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: with a turn that is stored, or with a question."""

    turn: Turn | None
    pending: Pending | None
    state: AgentState


class Runner:
    """Runs turns on the graph.

    It is compiled twice: few turns ask, and keeping the state of the others would take a millisecond of each.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._saver = InMemorySaver(serde=serializer())
        self._waiting: dict[str, Session] = {}  # of the latest turns that asked: what they read is not read again

    @cached_property
    def _graph(self) -> Any:
        return build_graph(self.engine, whole=True)

    @cached_property
    def _keeping(self) -> Any:
        """The graph that keeps the state of a turn that waits."""
        return build_graph(self.engine, self._saver, whole=True)

    def run(
        self,
        store: ThreadStore,
        head: Head,
        pending: Pending,
        history: History,
        cancel: Callable[[], bool],
        answer: dict[str, Any] | None = None,
        heard: bool = True,
    ) -> Iterator[events.Event | Ended]:
        """Run a turn to its end, or to where it asks; the last thing that comes is how it ended.

        The caller holds the thread's lock.

        Args:
            head: the thread as it is.
            pending: the turn.
            history: the turns before it.
            answer: to what it had asked.
            heard: whether anybody listens to the events of nodes. Where nobody does they run in the caller's own
                thread, which saves some milliseconds of handing over; Ctrl-C then comes into their midst.

        Raises:
            whatever goes wrong; a turn that had just begun is then forgotten, one that had asked goes on asking.
        """
        gone = False  # whoever listens has stopped
        session = Session(
            pending.id, self.engine, store, history, checked(pending.settings), pending.seed, lambda: gone or cancel()
        )
        if answer is None:
            store.save_head(head.model_copy(update={"pending": pending}))
            given: Any = _first_state(pending)
        else:
            assert pending.question is not None
            if (asked := self._waiting.pop(pending.id, None)) is not None:
                session.take_over(asked)
            load_state(store, self._saver, pending)
            given = Command(resume={pending.question.interrupt: answer})
        self.engine.sessions[pending.id] = session
        began = time.monotonic()
        parts: Any = self._parts(given, session, ["custom", "values"] if heard else ["values"], answer is not None)
        if heard:  # at Ctrl-C the graph would wait for its nodes before they are told that nobody listens
            parts = Elsewhere(parts)
        try:
            last: dict[str, Any] = {}
            try:
                yield events.TurnStarted(head.name, pending.number)
                for part in parts:
                    if part["type"] == "custom":
                        yield part["data"]
                    else:
                        last = part
                parts.close()
                if cancel():  # in the midst of what cannot be stopped, as a tool cannot
                    raise Cancelled("cancelled before the turn was kept")
            except BaseException as error:
                gone = True
                parts.close()
                if answer is None and not isinstance(error, StoreFailed):
                    store.save_head(head)
                raise
            if last["interrupts"] and answer is None:
                last = self._asked_again(session, last)
            yield self._end(store, head, pending, session, last, time.monotonic() - began)
        finally:
            self.engine.sessions.pop(pending.id, None)
            self._saver.delete_thread(pending.id)

    def _parts(self, given: Any, session: Session, modes: list[str], kept: bool) -> Generator[dict[str, Any]]:
        """Run the graph, as no part of one that a caller is running; `kept` says whether it keeps its state."""
        graph = self._keeping if kept else self._graph
        config = {"recursion_limit": _STEPS, **(_place(session.id) if kept else {})}
        more: dict[str, Any] = {"durability": "exit"} if kept else {}
        more |= {"context": session.settings, "stream_mode": modes, "version": "v2"}
        return heard_outside(lambda: graph.stream(given, config, **more))

    def _asked_again(self, session: Session, last: dict[str, Any]) -> dict[str, Any]:
        """Ask where the state is kept: a node that asks does nothing before, and it is `route` that leads to it."""
        (asked,) = last["interrupts"]
        node = _ASKING[asked.value["kind"]]
        asking = Command(goto=node, update=last["data"])
        outside().run(self._keeping.update_state, _place(session.id), asking, as_node="route")
        *_, waiting = self._parts(None, session, ["values"], True)
        return waiting

    def _end(
        self, store: ThreadStore, head: Head, pending: Pending, session: Session, last: dict[str, Any], seconds: float
    ) -> Ended:
        state: AgentState = last["data"]
        if last["interrupts"]:
            (asked,) = last["interrupts"]
            question = Question.model_validate(asked.value | {"interrupt": asked.id})
            keep_state(self._saver, store, pending.id, question)
            waiting = pending.model_copy(update={"question": question})
            store.save_head(head.model_copy(update={"pending": waiting}))
            self._waiting[pending.id] = session
            while len(self._waiting) > _WAITING:
                self._waiting.pop(next(iter(self._waiting)), None)
            return Ended(None, waiting, state)
        turn = Turn(
            id=pending.id,
            parent=pending.parent,
            number=pending.number,
            at=pending.at,
            request=pending.request,
            images=tuple(state["images"].values()),
            steps=tuple(state["steps"]),
            text=state["reply"],
            stopped=state["stopped"],
            seed=pending.seed,
            settings=pending.settings,
            stream=state["stream"].ids,
            seconds=seconds if pending.question is None else session.seconds(),
        )
        store.commit(turn, Head(name=head.name, turn=turn.id))
        session.keep()
        return Ended(turn, None, state)


def _place(turn: str) -> dict[str, Any]:
    """Where LangGraph keeps a turn."""
    return {"configurable": {"thread_id": turn}}


def _first_state(pending: Pending) -> AgentState:
    images = {record.id: record for record in pending.images}
    return AgentState(
        session=pending.id,
        request=pending.request,
        images=images,
        focus=pending.focus,
        steps=[],
        action=None,
        stopped="",
    )


def stored_settings(settings: TurnSettings, named: Collection[str]) -> dict[str, Any]:
    """Settings as they are kept with a turn that has begun: those that are not the default, and those `named`."""
    whole = settings.model_dump(mode="json", include=set(named))
    return {**settings.model_dump(mode="json", exclude_defaults=True), **whole}
