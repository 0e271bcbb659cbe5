"""A thread: a conversation that is kept, with ways back."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AnyMessage

from genllava.errors import InvalidRequest
from genllava.requests import listed
from genllava_agent import events
from genllava_agent.background import in_background, stream_in_background
from genllava_agent.errors import (
    AgentError,
    AnswerPending,
    InvalidAnswer,
    NothingPending,
    NothingToUndo,
    ThreadBusy,
    ThreadNotFound,
)
from genllava_agent.history import History, read_history
from genllava_agent.messages import records_in
from genllava_agent.pictures import ThreadImage, ThreadImages
from genllava_agent.questions import answer_in_words, checked_answer
from genllava_agent.records import Pending, Question, Turn
from genllava_agent.reply import Reply, reply_text
from genllava_agent.running import Place, Runner, is_within, resumed
from genllava_agent.settings import SETTINGS, TurnSettings, checked
from genllava_agent.thread_requests import new_request, repeated_request
from genllava_agent.thread_state import artifacts_of, unfinished_turn
from genllava_agent.thread_verbs import bring_back, take_back, without

if TYPE_CHECKING:
    from genllava_agent.stores.base import Artifacts, Store
    from genllava_agent.stores.waiting import Waiting


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


class Thread:
    """A conversation by name. Objects of this class are light: the conversation is in the store.

    Requests take `images` (one or several: PIL images, arrays, paths, bytes), `region` (a box, a point or a mask on
    the picture in question, see `regions`), and the options of `TurnSettings`.

    A request on a thread that waits for an answer is that answer where it is one of the choices that were shown, and
    else takes the place of the turn that waits; so it does where a turn was cut off. `reply.replaced` says so, and
    the turn before stays in the history with what was done in it.

    Attributes:
        name: of the thread.
        agent: whose it is.
    """

    def __init__(self, agent: Home, name: str) -> None:
        self.agent = agent
        self.name = name
        self._known = History()
        self._opened_with: list[Any] = []  # pictures for the first request
        self._opened_at: int | None = None  # turns before that request, once there was one
        self._asked_last: Question | None = None  # what was shown to the user last

    # --- asking ---

    def __call__(self, text: str, images: Any = None, *, region: Any = None, **options: Any) -> Reply:
        """Ask, and wait for the reply.

        Raises:
            InvalidRequest, ImageRejected, UnknownImage: what was asked cannot be.
            ThreadBusy: not now.
            Cancelled, StoreFailed, ThreadQuarantined: the thread is as it was before.
        """
        return _last(self._asking(text, images, region, options, heard=False))

    def stream(self, text: str, images: Any = None, *, region: Any = None, **options: Any) -> Iterator[events.Event]:
        """Ask, and hear what happens; to close the iterator cancels the turn. Errors as for a call."""
        return self._asking(text, images, region, options, heard=True)

    async def acall(self, text: str, images: Any = None, *, region: Any = None, **options: Any) -> Reply:
        """Ask; to cancel the task cancels the turn, and returns once it has stopped."""
        also = options.pop("cancel", None)
        return await in_background(
            lambda cancel: self(text, images, region=region, cancel=_either(cancel, also), **options)
        )

    async def astream(
        self, text: str, images: Any = None, *, region: Any = None, **options: Any
    ) -> AsyncIterator[events.Event]:
        """Ask, and hear what happens."""
        also = options.pop("cancel", None)

        def start(cancel: Callable[[], bool]) -> Iterator[events.Event]:
            return self.stream(text, images, region=region, cancel=_either(cancel, also), **options)

        async with contextlib.aclosing(stream_in_background(start, _may_miss)) as heard:
            async for event in heard:
                yield event

    # --- answering what a turn asks ---

    @property
    def pending(self) -> Question | None:
        """What the thread waits to be told."""
        self._asked_last = self._look().question
        return self._asked_last

    @property
    def unfinished(self) -> Pending | None:
        """The turn that is running, waits, or was cut off when its process ended."""
        place = self._look()
        self._asked_last = place.question
        return unfinished_turn(place)

    def approve(self, instruction: str | None = None) -> Reply:
        """Let the turn go on, with another instruction if one is given."""
        if instruction is None:
            return self.answer({"decision": "approve"})
        return self.answer({"decision": "edit", "instruction": instruction})

    def reject(self, reason: str | None = None) -> Reply:
        """Do not let it do what it asked about."""
        return self.answer({"decision": "reject", **({} if reason is None else {"reason": reason})})

    def choose(self, choice: str) -> Reply:
        """Say what was meant: `understand`, `generate` or `edit`."""
        return self.answer({"choice": choice})

    def answer(self, answer: Any) -> Reply:
        """Answer what the turn asked.

        Args:
            answer: `{"decisions": [...]}` as LangChain's human-in-the-loop has it, or one of the short forms of
                `questions.Answer`; to the question of a tool whatever it takes.

        Raises:
            NothingPending: it has not asked anything.
            InvalidAnswer: the answer does not fit, or another question is open by now; that stays open.
        """
        return _last(self.answer_stream(answer))

    def answer_stream(self, answer: Any, cancel: Callable[[], bool] | None = None) -> Iterator[events.Event]:
        """Answer what the turn asked, and hear what happens."""
        asked = self._asked_last or self.pending

        def given(place: Place) -> tuple[Any, TurnSettings, Question | None]:
            question = place.question
            self._asked_last = question
            if question is None:
                raise NothingPending("this thread has not asked anything: just ask it something")
            if asked is None or asked.interrupt != question.interrupt:
                raise InvalidAnswer(f"this thread asks something else by now: {question.text}")
            return resumed(question, checked_answer(question, answer)), self._settings_of(place), None

        return self._events(given, cancel)

    async def aanswer(self, answer: Any) -> Reply:
        """Answer what the turn asked."""
        return await in_background(lambda cancel: _last(self.answer_stream(answer, cancel)))

    def resume(self) -> Reply:
        """Go on with a turn that was cut off when its process ended, at the step that it had come to.

        Raises:
            NothingPending: there is none.
            AnswerPending: the turn was not cut off, it waits for an answer.
        """
        return _last(self.resume_stream())

    def resume_stream(self, cancel: Callable[[], bool] | None = None) -> Iterator[events.Event]:
        """Go on with a turn that was cut off, and hear what happens."""

        def again(place: Place) -> tuple[Any, TurnSettings, Question | None]:
            if not place.open:
                raise NothingPending("every turn of this thread is finished")
            if (question := place.question) is not None:
                self._asked_last = question
                choices = ", ".join(question.choices)
                raise AnswerPending(f"this thread waits for an answer ({choices}) to: {question.text}")
            return None, self._settings_of(place), None

        return self._events(again, cancel)

    def discard(self) -> None:
        """Forget the turn that has not ended."""
        with self._locked() as place:
            if not place.open:
                raise NothingPending("every turn of this thread is finished")
            self._discard(place)

    # --- ways back ---

    def undo(self, turns: int = 1) -> None:
        """Take the last turns back; `redo` brings them again, until something else is asked.

        A turn that was cut off, or waits for an answer, is the last one: it is taken back first, for good.

        Raises:
            NothingToUndo: there are not as many.
        """
        with self._locked() as place:
            state, cut_off = place.state, bool(place.open)
            ended = place.ended
            if not isinstance(turns, int) or not 1 <= turns <= len(ended) + cut_off:
                raise NothingToUndo(f"cannot take back {turns} turns: there are {len(ended) + cut_off}")
            if cut_off:
                self._discard(place)
                state = self._look().state if turns > 1 else state
            if turns > cut_off:
                self.agent.runner.update(self.name, take_back(state, turns - cut_off))

    def redo(self, turns: int = 1) -> None:
        """Bring back what `undo` took.

        Raises:
            NothingToUndo: there is not as much.
        """
        with self._locked() as place:
            if place.open:
                raise NothingToUndo("what was asked since did not end: resume(), answer or discard() it first")
            self.agent.runner.update(self.name, bring_back(place.state, turns))

    def branch(self, name: str | None = None) -> Thread:
        """Another thread that goes on from here; both keep their own way from now on.

        Raises:
            InvalidRequest: there is a thread of that name.
        """
        other = Thread(self.agent, new_name() if name is None else name)
        store = self.agent.store
        taken = InvalidRequest(f"there is a thread {other.name!r} already: choose another name, or delete it")
        if store.exists(other.name):  # asked before the lock is: two threads that branch to each other's name would
            raise taken  # wait for each other
        with self._locked() as place, store.lock(other.name, self._waiting()):
            if store.exists(other.name):
                raise taken
            ended = place.ended
            messages = [message for said in ended for message in said]
            images = {record.id: record for message in messages for record in records_in(message)}
            named = set[tuple[str, str]]()
            history = self._history(ended)
            for turn in history:
                named |= artifacts_of(turn)
            try:
                store.branch(self.name, other.name, named)
                focus = next((n for n, r in reversed(images.items()) if r.origin != "region"), None)
                self.agent.runner.update(other.name, {"messages": messages, "images": images, "focus": focus})
                self.agent.share(other.name, {turn.id for turn in history})
            except BaseException:
                with contextlib.suppress(AgentError):  # what went wrong matters more
                    store.delete(other.name)
                raise
        return other

    def retry(self, text: str | None = None, **options: Any) -> Reply:
        """Ask the last request again, in other words if some are given; the new turn takes the place of the last.

        It is asked with the settings of that turn, and what this agent wants to approve is asked about as well.

        Raises:
            NothingToUndo: there is no turn, or the last one did not end.
        """
        return _last(self.retry_stream(text, **options))

    def retry_stream(self, text: str | None = None, **options: Any) -> Iterator[events.Event]:
        """Ask the last request again, and hear what happens."""
        cancel = options.pop("cancel", None)

        def again(place: Place) -> tuple[Any, TurnSettings, Question | None]:
            if place.open:
                raise NothingToUndo("the last request did not end: resume(), answer or discard() it first")
            ended = place.ended
            if not ended:
                raise NothingToUndo("nothing has been asked yet")
            last = self._history(ended)[-1]
            given = {**last.settings, "seed": None}
            if given.get("approve"):  # none at all was said so in the call
                given["approve"] = sorted({*given["approve"], *self.agent.settings.approve})
            if isinstance(options.get("limits"), dict):  # those that are not named stay
                options["limits"] = {**given.get("limits", {}), **options["limits"]}
            settings = self.agent.settings_with({**given, **options})
            return repeated_request(place, ended[-1], last, text, settings), settings, None

        return self._events(again, cancel)

    def history(self) -> list[Turn]:
        """The turns of this thread as it stands, the first one first; none where nothing was asked on it yet."""
        return list(self._history(self._look().ended))

    def delete(self) -> None:
        """Forget the thread, and the pictures that only it has.

        Raises:
            ThreadNotFound: it does not exist.
        """
        store = self.agent.store
        with store.lock(self.name, self._waiting()):
            existed = store.exists(self.name)
            self.agent.forget(self.name)
            store.delete(self.name)  # of a thread that never began, too, something may have been left by a crash
            self._known = History()
        if not existed:
            raise ThreadNotFound(f"there is no thread {self.name!r}: agent.threads() names those that there are")

    # --- looking ---

    @property
    def images(self) -> ThreadImages:
        """The pictures of this thread as it stands, by name."""
        return ThreadImages(self._history(self._look().ended).records, self._artifacts)

    def trace(self, path: str | Path, turn: int | None = None) -> Path:
        """Write a page about a turn (the last one if no number is given): its pictures, choices and times."""
        from genllava_agent.pages.trace import write_trace

        history = self.history()
        number = max(1, len(history)) if turn is None else turn
        if not isinstance(number, int):
            raise InvalidRequest(f"turn={turn!r} is no number of a turn")
        if number not in range(1, len(history) + 1):
            raise InvalidRequest(f"there is no turn {number} in this thread: it has {len(history)}")
        return write_trace(Path(path), self.name, self._artifacts, history, history[number - 1])

    def __repr__(self) -> str:
        return f"<thread {self.name!r}>"

    def _repr_html_(self) -> str:
        from genllava_agent.pages.trace import thread_html

        place = self._look()
        return thread_html(self.name, self._artifacts, self._history(place.ended), place.question)

    # --- how it is done ---

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
        running = state["messages"][sum(map(len, ended)) :]
        self.agent.runner.update(self.name, {**without(state, [running]), "turn": None, "trials": [], "steps": []})

    def _asking(
        self, text: str, images: Any, region: Any, options: dict[str, Any], heard: bool
    ) -> Iterator[events.Event]:
        cancel = options.pop("cancel", None)

        def given(place: Place) -> tuple[Any, TurnSettings, Question | None]:
            settings = self.agent.settings_with(options)
            ended = len(place.ended)
            first = self._opened_at in (None, ended)  # also where it failed, or was taken back
            shown = [*(self._opened_with if first else []), *listed(images)]
            question = place.question
            if question is not None and not shown and region is None and isinstance(text, str):
                answer = answer_in_words(question, text)
                if answer is not None:
                    checked_ = checked_answer(question, answer)
                    return resumed(question, checked_), self._settings_of(place), None
            history = self._history(place.ended)
            asked = new_request(self._artifacts, place, history, text, shown, region, settings)
            if self._opened_at is None:
                self._opened_at = ended
            return asked, settings, question

        return self._events(given, cancel, heard)

    def _events(
        self,
        prepare: Callable[[Place], tuple[Any, TurnSettings, Question | None]],
        cancel: Callable[[], bool] | None,
        heard: bool = True,
    ) -> Iterator[events.Event]:
        """Run a turn with the thread for ourselves."""
        _check_cancel(cancel)
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
        return 1 + max((turn.number for turn in self._history(place.ended)), default=0)

    def _reply(self, place: Place, replaced: Question | None) -> Reply:
        state, question = place.state, place.question
        self._asked_last = question
        store, records = self._artifacts, state["images"]
        history = self._history(place.ended)
        if question is None:
            turn = history[-1]
            steps, text, stopped, seed, seconds = turn.steps, turn.text, turn.stopped, turn.seed, turn.seconds
            number, new = turn.number, list(turn.images)
        else:
            running = state["turn"]
            assert running is not None
            steps, stopped, seed, seconds = tuple(state["steps"]), state["stopped"], running.seed, 0.0
            number = running.number
            text, new = reply_text(steps, "", question), [r for r in records.values() if r.turn == number]
        made = [record for record in new if record.origin not in ("user", "region")]
        made += [records[s.source] for s in steps if s.tool == "show_image" and s.source and s.source in records]
        images = tuple(ThreadImage(record, store, records) for record in made)
        return Reply(text, images, steps, self, number, question, stopped, seed, seconds, replaced)


def new_name() -> str:
    """A name that no other thread has."""
    return time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:8]


def _may_miss(event: events.Event) -> bool:
    return isinstance(event, events.Preview)


def _either(cancel: Callable[[], bool], also: Callable[[], bool] | None) -> Callable[[], bool]:
    """Whether one of them says so."""
    _check_cancel(also)
    return cancel if also is None else lambda: cancel() or also()


def _check_cancel(cancel: Any) -> None:
    """Raises:
    InvalidRequest: it is no function.
    """
    if cancel is not None and not callable(cancel):
        raise InvalidRequest(f"cancel={cancel!r} cannot be asked: give a function that returns true to stop")


def _never() -> bool:
    return False


def _last(heard: Iterator[events.Event]) -> Reply:
    """Listen to the end."""
    for event in heard:
        if isinstance(event, events.TurnFinished):
            reply = event.reply
    return reply
