"""A thread: a conversation that is kept, with ways back."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from genllava.errors import InvalidRequest
from genllava_agent import events
from genllava_agent.background import in_background, stream_in_background
from genllava_agent.errors import (
    AgentError,
    AnswerPending,
    InvalidAnswer,
    NothingPending,
    NothingToUndo,
    ThreadNotFound,
)
from genllava_agent.history import History
from genllava_agent.messages import records_in
from genllava_agent.pictures import ThreadImage, ThreadImages
from genllava_agent.questions import checked_answer
from genllava_agent.records import Pending, Question, Turn, latest_picture
from genllava_agent.reply import Reply
from genllava_agent.running import Place, resumed
from genllava_agent.settings import TurnSettings
from genllava_agent.thread_requests import repeated_request
from genllava_agent.thread_state import artifacts_of, unfinished_turn
from genllava_agent.thread_turns import ThreadTurns, check_cancel
from genllava_agent.thread_verbs import bring_back, take_back


class Thread(ThreadTurns):
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

    def call_tool(self, name: str, /, **arguments: Any) -> Reply:
        """Call a tool oneself, with approval, limits and lineage as where the model does; a turn of its own.

            thread.call_tool("crop", image="image_1", box=[0, 0, 0.5, 1]).image

        Args:
            name: of the tool, one of `agent.tools`.
            arguments: as the model gives them: pictures by their names in this thread, or as `thread.images` has them.

        Raises:
            InvalidRequest: there is no such tool.
        """
        args = {key: _named(value) for key, value in arguments.items()}
        said = ", ".join(f"{key}={json.dumps(value, default=str)}" for key, value in args.items())
        return self(f"{name}({said})", call={"name": name, "args": args})

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
            ended = place.stands
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
            ended = place.stands
            messages = [message for said in ended for message in said]
            images = {record.id: record for message in messages for record in records_in(message)}
            named = set[tuple[str, str]]()
            history = self._history(ended)
            for turn in history:
                named |= artifacts_of(turn)
            try:
                store.branch(self.name, other.name, named)
                focus = latest_picture(images)
                self.agent.runner.update(other.name, {"messages": messages, "images": images, "focus": focus})
                self.agent.share(other.name, {turn.id for turn in history})
            except BaseException:
                with contextlib.suppress(AgentError):  # what went wrong matters more
                    store.delete(other.name)
                raise
        return other

    def retry(self, text: str | None = None, **options: Any) -> Reply:
        """Ask the last request again, in other words if some are given; once the new turn has ended it takes the place
        of the last.

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
        return list(self._history(self._look().stands))

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
        return ThreadImages(self._history(self._look().stands).records, self._artifacts)

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
        return thread_html(self.name, self._artifacts, self._history(place.stands), place.question)


def new_name() -> str:
    """A name that no other thread has."""
    return time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:8]


def _may_miss(event: events.Event) -> bool:
    return isinstance(event, events.Preview)


def _either(cancel: Callable[[], bool], also: Callable[[], bool] | None) -> Callable[[], bool]:
    """Whether one of them says so."""
    check_cancel(also)
    return cancel if also is None else lambda: cancel() or also()


def _last(heard: Iterator[events.Event]) -> Reply:
    """Listen to the end."""
    for event in heard:
        if isinstance(event, events.TurnFinished):
            reply = event.reply
    return reply


def _named(value: Any) -> Any:
    """An argument with the names of pictures in their places."""
    if isinstance(value, (list, tuple)):
        return [_named(each) for each in value]
    return value.id if isinstance(value, ThreadImage) else value
