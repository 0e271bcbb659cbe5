"""Running a turn of a thread: on the compiled graph, with the checkpoints of its store."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage
from langgraph.graph import START
from langgraph.types import Command, Interrupt

from genllava.errors import Cancelled
from genllava_agent import events
from genllava_agent.background import Elsewhere, heard_outside, outside, quiet
from genllava_agent.history import is_reply
from genllava_agent.plain_state import plain, plain_update, typed
from genllava_agent.questions import foreign_question, question_in
from genllava_agent.records import Question
from genllava_agent.session import CALLBACKS, wanted_while
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentInput, AgentState, Channels, add_messages
from genllava_agent.stores.faults import storing
from genllava_agent.thread_verbs import finished_turns, has_ended, replaced_turn

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple

    from genllava_agent.stores.base import Store

_KEPT: Final = 64
"""Threads of which it is kept where they are."""
_STREAMED: Final[dict[str, Any]] = {
    "output_keys": [*Channels.__annotations__, *AgentInput.__annotations__],
    "durability": "sync",
    "version": "v2",
}


_WITHIN: Final[ContextVar[frozenset[tuple[int, str]]]] = ContextVar("within", default=frozenset())
"""The threads whose turns run what runs now, each with its store."""


@contextmanager
def _within(store: Store, name: str) -> Iterator[None]:
    """Meanwhile what runs is a part of a turn of this thread."""
    before = _WITHIN.set(_WITHIN.get() | {(id(store), name)})
    try:
        yield
    finally:
        _WITHIN.reset(before)


def is_within(store: Store, name: str) -> bool:
    """Whether a turn of this thread calls this, as by one of its tools: it would wait for its own end."""
    return (id(store), name) in _WITHIN.get()


@dataclass(frozen=True)
class Place:
    """Where a thread is.

    Attributes:
        exists: whether there is such a thread.
        state: of its graph.
        open: a turn has begun and not ended.
        question: what it waits to be told.
        config: of its latest checkpoint.
        written: whether all that was done is in that checkpoint; not so where the process ended between two writes.
    """

    exists: bool
    state: AgentState
    open: bool = False
    question: Question | None = None
    config: Any = None
    written: bool = True

    @cached_property
    def ended(self) -> list[list[AnyMessage]]:
        """The messages of the turns that have ended."""
        turns = finished_turns(self.state)
        if turns and self.state.get("turn") is None and not any(is_reply(message) for message in turns[-1]):
            return turns[:-1]  # it was cut off before it began
        return turns

    @cached_property
    def stands(self) -> list[list[AnyMessage]]:
        """The messages of the turns that the thread has: one that is done again is among them until that has ended."""
        replaced = replaced_turn(self.state)
        return [*self.ended, replaced] if replaced else self.ended


class Runner:
    """The graph on the threads of a store.

    Args:
        graph: compiled without a checkpointer.
        store: has one for each thread.
        running: entered while a turn runs.
    """

    def __init__(self, graph: Any, store: Store, running: Callable[[], AbstractContextManager[None]]) -> None:
        self._graph = graph
        self._store = store
        self._running = running
        self._known: dict[str, tuple[object, Place]] = {}

    def look(self, name: str) -> Place:
        """Where a thread is.

        Raises:
            StoreFailed, ThreadQuarantined.
        """
        with storing():
            saved = self._saved(name)
            mark = _mark(saved)
            known = self._known.get(name)
            if known is not None and known[0] == mark and mark is not None:
                return known[1]
            found = outside().run(self._on(name).get_state, _config(name))
        values, begins = dict(found.values), found.next == (START,)
        if begins and saved is not None:  # the request is not among the messages yet
            given = saved.checkpoint["channel_values"].get(START) or {}
            values["messages"] = add_messages(values.get("messages"), [given.get("messages") or []])
            values["undone"] = given.get("undone", values.get("undone"))
        state = typed(values)
        place = Place(
            found.created_at is not None, state, bool(found.next) or (bool(found.tasks) and not has_ended(state)),
            _question(found.interrupts), found.config, not begins and (not found.tasks or bool(found.next)),
        )  # fmt: skip
        self._remember(name, mark, place)
        return place

    def update(self, name: str, update: dict[str, Any], as_node: str = "finish") -> None:
        """Change a thread between turns; durable when it returns.

        Args:
            as_node: the node that is taken to have done it, which says what comes next.
        """
        with storing():
            outside().run(self._on(name).update_state, _config(name), plain_update(update, {}), as_node)
            self._store.settle(name)

    def begin_anew(self, name: str) -> None:
        """Forget the checkpoints of a thread; its pictures stay."""
        with storing():
            self._store.saver(name).delete_thread(name)

    def go_on(self, name: str) -> None:
        """Let a turn that has not ended go on to where it asks."""
        self._stream(name)

    def write_down(self, name: str) -> None:
        """Put what was done of a turn that was cut off between two nodes into a checkpoint, and do no more of it."""
        self._stream(name, interrupt_before="*")

    def _stream(self, name: str, **options: Any) -> None:
        graph, config = self._on(name), _config(name)
        with storing():
            for _ in heard_outside(lambda: graph.stream(None, config, durability="sync", **options)):
                pass
            self._store.settle(name)

    def run(
        self, name: str, before: Place, given: Any, settings: TurnSettings, cancel: Callable[[], bool], heard: bool
    ) -> Generator[events.Event, None, Place]:
        """Run a turn to its end, or to where it asks; the caller holds the thread's lock.

        Args:
            before: where the thread is.
            given: what the graph is invoked with; None goes on with a turn that was cut off.
            heard: whether anybody listens to the events of nodes. Where nobody does they run in the caller's own
                thread, which saves some milliseconds of handing over; Ctrl-C then comes into their midst.

        Returns:
            where the thread is then.

        Raises:
            whatever goes wrong; the thread is then as it was.
        """
        last: dict[str, Any] = {}
        graph, gone = self._on(name), False  # whoever listens has stopped
        modes = ["custom", "values"] if heard else ["values"]

        def parts() -> Iterator[Any]:
            with wanted_while(lambda: gone or cancel()), _within(self._store, name), storing(), self._running():
                yield from graph.stream(
                    plain(given), {**_config(name), **quiet(CALLBACKS.get())}, context=settings,
                    stream_mode=modes, **_STREAMED,
                )

        running: Any = heard_outside(parts)
        if heard:  # at Ctrl-C the graph would wait for its nodes before they are told that nobody listens
            running = Elsewhere(running)
        try:
            for part in running:
                if part["type"] == "custom":
                    yield part["data"]
                else:
                    last = part
            running.close()
            if cancel():  # in the midst of what cannot be stopped, as a tool cannot
                raise Cancelled("cancelled before the turn was kept")
            with storing():
                self._store.settle(name)
                mark = self._mark(name)
        except BaseException:
            gone = True
            running.close()
            self._restore(name, before)
            raise
        question = _question(last["interrupts"])
        latest = "" if mark is None else mark[0]
        config = {"configurable": {"thread_id": name, "checkpoint_ns": "", "checkpoint_id": latest}}
        place = Place(True, typed(last["data"]), question is not None, question, config)
        self._remember(name, mark, place)
        return place

    def _restore(self, name: str, before: Place) -> None:
        """Put the thread back to where it was."""
        with storing():
            if not before.exists:
                self._store.delete(name)
                return
            if not before.open and self._mark(name) == (self._known.get(name) or (None,))[0]:
                return
            outside().run(self._on(name).update_state, before.config, None, "__copy__")
            self._store.settle(name)
        if before.question is not None:  # a copy has to ask again
            self.go_on(name)

    def _mark(self, name: str) -> tuple[str, int] | None:
        return _mark(self._saved(name))

    def _saved(self, name: str) -> CheckpointTuple | None:
        """The latest checkpoint of a thread."""
        found: CheckpointTuple | None = self._store.saver(name).get_tuple(_config(name))  # type: ignore[arg-type]
        return found

    def _remember(self, name: str, mark: object, place: Place) -> None:
        self._known.pop(name, None)
        self._known[name] = mark, place
        while len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)), None)

    def _on(self, name: str) -> Any:
        return self._graph.copy(update={"checkpointer": self._store.saver(name)})


def resumed(question: Question, answer: Any) -> Command[Any]:
    """What the graph is invoked with to answer a question."""
    return Command(resume={question.interrupt: answer})


def _question(interrupts: Sequence[Interrupt]) -> Question | None:
    for interrupt in interrupts:
        return question_in(interrupt.value, interrupt.id) or foreign_question(interrupt.value, interrupt.id)
    return None


def _mark(saved: CheckpointTuple | None) -> tuple[str, int] | None:
    """What changes whenever something is written of a thread; None where there is nothing."""
    return None if saved is None else (str(saved.checkpoint["id"]), len(saved.pending_writes or ()))


def _config(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}
