"""What every act on a thread has in common: the lock, where the thread is, the run of a turn, and the reply."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AnyMessage

from genllava.errors import InvalidRequest
from genllava.requests import listed
from genllava_agent import events
from genllava_agent.errors import AgentError, ThreadBusy, ThreadNotFound
from genllava_agent.history import History, read_history
from genllava_agent.pictures import ThreadImage
from genllava_agent.questions import answer_in_words, checked_answer
from genllava_agent.records import Question, shown_pictures
from genllava_agent.reply import Reply, reply_text
from genllava_agent.running import Place, Runner, is_within, resumed
from genllava_agent.settings import SETTINGS, TurnSettings, checked
from genllava_agent.thread_requests import new_request
from genllava_agent.thread_verbs import updated, without_running

if TYPE_CHECKING:
    from genllava_agent.stores.base import Artifacts, Store
    from genllava_agent.stores.waiting import Waiting

Prepare = Callable[[Place], tuple[Any, TurnSettings, "Question | None"]]
"""From where a thread is: what the graph is invoked with, the settings of the turn, and the question it replaces."""


class Home(Protocol):
    """What a thread needs of the agent that it belongs to."""

    @property
    def store(self) -> Store:
        """Where threads are kept."""

    @property
    def runner(self) -> Runner:
        """Runs turns."""

    @property
    def settings(self) -> TurnSettings:
        """Of turns that are given none."""

    def settings_with(self, options: dict[str, Any]) -> TurnSettings:
        """The settings of a turn that is given some of its own."""

    def waiting(self, cancel: Callable[[], bool] | None = None) -> Waiting:
        """How long a request waits for other turns of its thread."""

    def threads(self) -> list[str]:
        """The names of all threads."""

    def share(self, thread: str, turns: set[str]) -> None:
        """Keep what is in memory of these turns for this thread as well, which goes on from them."""

    def let_go(self, turn: str) -> None:
        """Forget the working memory of a turn that broke off."""

    def forget(self, thread: str) -> None:
        """Let go of what is in memory of this thread, and of no other one."""


class ThreadTurns:
    """A thread by name, and how turns are run on it."""

    def __init__(self, agent: Home, name: str) -> None:
        self.agent = agent
        self.name = name
        self._known = History()
        self._opened_with: list[Any] = []  # pictures for the first request
        self._opened_at: int | None = None  # turns before that request, once there was one
        self._asked_last: Question | None = None  # what was shown to the user last

    @property
    def _artifacts(self) -> Artifacts:
        return self.agent.store.artifacts(self.name)

    def _look(self) -> Place:
        if self.agent.store.old(self.name) is not None:
            with self.agent.store.lock(self.name, self._waiting()):
                self._bring_over()
        return self.agent.runner.look(self.name)

    def _ready(self) -> Place:
        """Where the thread is, with all that was done written down; the caller has the lock."""
        self._bring_over()
        place = self._look()
        if not place.written:
            self.agent.runner.write_down(self.name)
            place = self._look()
        return place

    def _bring_over(self) -> None:
        """Take over what version 0.1 wrote; the caller has the lock."""
        if (old := self.agent.store.old(self.name)) is not None:
            from genllava_agent.bring_over import bring_over

            bring_over(old, self.agent.runner, self.name)

    def _settings_of(self, place: Place) -> TurnSettings:
        """The settings of the turn that has not ended."""
        state = place.state
        turn, said = state.get("turn"), state.get("messages") or []
        kept = turn.settings if turn is not None else said[-1].additional_kwargs.get(SETTINGS) if said else None
        return self.agent.settings if kept is None else checked(kept)

    def _waiting(self, cancel: Callable[[], bool] | None = None) -> Waiting:
        """How long to wait for other turns of this thread.

        Raises:
            ThreadBusy: the other turn is the one that asks, as by one of its tools.
        """
        if is_within(self.agent.store, self.name):
            raise ThreadBusy("this thread is in the middle of the turn that asks: ask on another thread")
        return self.agent.waiting(cancel)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Place]:
        """The thread for ourselves.

        Raises:
            ThreadNotFound: it does not exist.
        """
        with self.agent.store.lock(self.name, self._waiting()):
            place = self._ready()
            if not place.exists:
                raise ThreadNotFound(f"there is no thread {self.name!r}: ask something on it first")
            yield place

    def _history(self, turns: Sequence[Sequence[AnyMessage]]) -> History:
        history = read_history(turns, self._known)
        self._known = history  # others may be reading this thread now, and set it too
        return history

    def _discard(self, place: Place) -> None:
        state, ended = place.state, place.ended
        if (turn := state.get("turn")) is not None:
            self.agent.let_go(turn.id)
        if not ended and not state.get("undone"):
            self.agent.store.delete(self.name)  # a thread whose first turn came to nothing is none
            return
        self.agent.runner.update(self.name, without_running(state, state["messages"][sum(map(len, ended)) :]))

    def _asking(
        self, text: str, images: Any, region: Any, options: dict[str, Any], heard: bool
    ) -> Iterator[events.Event]:
        cancel = options.pop("cancel", None)

        def given(place: Place) -> tuple[Any, TurnSettings, Question | None]:
            settings = self.agent.settings_with(options)
            ended = len(place.stands)
            first = self._opened_at in (None, ended)  # also where it failed, or was taken back
            shown = [*(self._opened_with if first else []), *listed(images)]
            question = place.question
            if question is not None and not shown and region is None and isinstance(text, str):
                answer = answer_in_words(question, text)
                if answer is not None:
                    checked_ = checked_answer(question, answer)
                    return resumed(question, checked_), self._settings_of(place), None
            dropped = place.stands is not place.ended  # what was to be done again stands as it was
            if dropped:
                running = place.state["messages"][sum(map(len, place.ended)) :]
                place = Place(True, updated(place.state, without_running(place.state, running)))
            history = self._history(place.ended)
            asked = new_request(self._artifacts, place, history, text, shown, region, settings)
            if dropped:
                self._discard(self._look())
            if self._opened_at is None:
                self._opened_at = ended
            return asked, settings, question

        return self._events(given, cancel, heard)

    def _events(
        self,
        prepare: Prepare,
        cancel: Callable[[], bool] | None,
        heard: bool = True,
    ) -> Iterator[events.Event]:
        """Run a turn with the thread for ourselves."""
        check_cancel(cancel)
        with self.agent.store.lock(self.name, self._waiting(cancel)):
            before = self._ready()
            try:
                given, settings, replaced = prepare(before)
                running = self.agent.runner.run(self.name, before, given, settings, cancel or _never, heard)
                yield events.TurnStarted(self.name, self._number(before, given))
                with contextlib.closing(running):
                    after = yield from running
                reply = self._reply(after, replaced)
            except BaseException:
                if not before.exists:
                    with contextlib.suppress(AgentError):  # what is said of the turn matters more
                        if not self._look().exists:
                            self.agent.store.delete(self.name)  # pictures of a request that came to nothing
                raise
        if reply.pending is not None:
            yield events.AnswerNeeded(reply.pending)
        yield events.TurnFinished(reply)

    def _number(self, place: Place, given: Any) -> int:
        """The number of the turn that is about to run."""
        turn = place.state.get("turn")
        if turn is not None:
            return turn.number + isinstance(given, dict)
        again = place.open and isinstance(given, dict)
        return 1 + max((turn.number for turn in self._history(place.ended)), default=0) + again

    def _reply(self, place: Place, replaced: Question | None) -> Reply:
        state, question = place.state, place.question
        self._asked_last = question
        store, records = self._artifacts, state["images"]
        history = self._history(place.ended)
        usage = None
        if question is None:
            turn, usage = history[-1], getattr(place.ended[-1][-1], "usage_metadata", None)
            steps, text, stopped, seed, seconds = turn.steps, turn.text, turn.stopped, turn.seed, turn.seconds
            number, new = turn.number, list(turn.images)
        else:
            running = state["turn"]
            assert running is not None
            steps, stopped, seed, seconds = tuple(state["steps"]), state["stopped"], running.seed, 0.0
            number = running.number
            text, new = reply_text(steps, "", question), [r for r in records.values() if r.turn == number]
        images = tuple(ThreadImage(record, store, records) for record in shown_pictures(new, steps, records))
        thread: Any = self
        return Reply(text, images, steps, thread, number, question, stopped, seed, seconds, replaced, usage)


def check_cancel(cancel: Any) -> None:
    """Raises:
    InvalidRequest: it is no function.
    """
    if cancel is not None and not callable(cancel):
        raise InvalidRequest(f"cancel={cancel!r} cannot be asked: give a function that returns true to stop")


def _never() -> bool:
    return False
