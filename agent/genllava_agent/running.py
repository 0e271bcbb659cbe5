"""Running a turn of a thread: on the compiled graph, with the checkpoints of its store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from langgraph.types import Command, StateSnapshot

from genllava.errors import Cancelled
from genllava_agent import events
from genllava_agent.background import Elsewhere, heard_outside, outside
from genllava_agent.plain_state import plain
from genllava_agent.questions import foreign_question, question_in
from genllava_agent.records import Question
from genllava_agent.session import wanted_while
from genllava_agent.settings import TurnSettings
from genllava_agent.stores.faults import storing

if TYPE_CHECKING:
    from genllava_agent.stores.base import Store


_STREAMED: Final[dict[str, Any]] = {"stream_mode": ["custom"], "durability": "sync", "version": "v2"}


class Runner:
    """The graph on the threads of a store.

    Args:
        graph: compiled without a checkpointer.
        store: has one for each thread.
    """

    def __init__(self, graph: Any, store: Store) -> None:
        self._graph = graph
        self._store = store

    def snapshot(self, name: str) -> StateSnapshot:
        """Where a thread is.

        Raises:
            StoreFailed, ThreadQuarantined.
        """
        with storing():
            found: StateSnapshot = outside().run(self._on(name).get_state, _config(name))
        return found

    def update(self, name: str, update: dict[str, Any], as_node: str = "finish") -> None:
        """Change a thread between turns; durable when it returns.

        Args:
            as_node: the node that is taken to have done it, which says what comes next.
        """
        with storing():
            outside().run(self._on(name).update_state, _config(name), plain(update), as_node)
            self._store.settle(name)

    def begin_anew(self, name: str) -> None:
        """Forget the checkpoints of a thread; its pictures stay."""
        with storing():
            self._store.saver(name).delete_thread(name)

    def ask_again(self, name: str) -> None:
        """Let a turn ask that stands before its question."""
        graph, config = self._on(name), _config(name)
        with storing():
            for _ in heard_outside(lambda: graph.stream(None, config, durability="sync")):
                pass
            self._store.settle(name)

    def run(
        self, name: str, given: Any, settings: TurnSettings, cancel: Callable[[], bool], heard: bool
    ) -> Iterator[events.Event]:
        """Run a turn to its end, or to where it asks; the caller holds the thread's lock.

        Args:
            given: what the graph is invoked with; None goes on with a turn that was cut off.
            heard: whether anybody listens to the events of nodes. Where nobody does they run in the caller's own
                thread, which saves some milliseconds of handing over; Ctrl-C then comes into their midst.

        Raises:
            whatever goes wrong; the thread is then as it was.
        """
        before = self.snapshot(name)
        graph, gone = self._on(name), False  # whoever listens has stopped

        def parts() -> Iterator[Any]:
            with wanted_while(lambda: gone or cancel()), storing():
                yield from graph.stream(plain(given), _config(name), context=settings, **_STREAMED)

        running: Any = heard_outside(parts)
        if heard:  # at Ctrl-C the graph would wait for its nodes before they are told that nobody listens
            running = Elsewhere(running)
        try:
            for part in running:
                yield part["data"]
            running.close()
            if cancel():  # in the midst of what cannot be stopped, as a tool cannot
                raise Cancelled("cancelled before the turn was kept")
            with storing():
                self._store.settle(name)
        except BaseException:
            gone = True
            running.close()
            self._restore(name, before)
            raise

    def _restore(self, name: str, before: StateSnapshot) -> None:
        """Put the thread back to where it was."""
        graph, config = self._on(name), _config(name)
        with storing():
            if before.created_at is None:  # there was none
                self._store.delete(name)
                return
            now = outside().run(graph.get_state, config)
            if now.config == before.config and not before.interrupts:
                return
            outside().run(graph.update_state, before.config, None, "__copy__")
            self._store.settle(name)
        if before.interrupts:  # a copy has to ask again
            self.ask_again(name)

    def _on(self, name: str) -> Any:
        return self._graph.copy(update={"checkpointer": self._store.saver(name)})


def question_of(snapshot: StateSnapshot) -> Question | None:
    """What a thread waits to be told; None where it does not wait."""
    for interrupt in snapshot.interrupts:
        return question_in(interrupt.value, interrupt.id) or foreign_question(interrupt.value, interrupt.id)
    return None


def resumed(question: Question, answer: Any) -> Command[Any]:
    """What the graph is invoked with to answer a question."""
    return Command(resume={question.interrupt: answer})


def _config(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}
