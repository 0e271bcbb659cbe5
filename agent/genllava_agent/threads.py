"""A thread: a conversation that is kept, with ways back."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest
from genllava.options import DESCRIBE
from genllava.requests import listed
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
from genllava_agent.records import Head, ImageRecord, Pending, Question, Request, Turn, image_name
from genllava_agent.reply import Reply, reply_text

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.pictures import ThreadImages
    from genllava_agent.running import Ended
    from genllava_agent.stores.base import ThreadStore


class Thread:
    """A conversation by name. Objects of this class are light: the conversation is in the store.

    Requests take `images` (one or several: PIL images, arrays, paths, bytes), `region` (a box, a point or a mask on
    the picture in question, see `regions`), and the options of `TurnSettings`.

    Attributes:
        name: of the thread.
        agent: whose it is.
    """

    def __init__(self, agent: VisualAgent, name: str) -> None:
        self.agent = agent
        self.name = name
        self._known = History()
        self._opened_with: list[Any] = []  # pictures for the first request
        self._opened_after: tuple[str | None] | None = None  # the turn before that request, once there was one
        self._asked_last: Pending | None = None  # with the question that was shown to the user last

    # --- asking ---

    def __call__(self, text: str, images: Any = None, *, region: Any = None, **options: Any) -> Reply:
        """Ask, and wait for the reply.

        Raises:
            InvalidRequest, ImageRejected, UnknownImage: what was asked cannot be.
            ThreadBusy, AnswerPending: not now.
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
        self._asked_last = self._head().pending
        return _question(self._asked_last)

    @property
    def unfinished(self) -> Pending | None:
        """The turn that is running, waits, or was cut off when its process ended."""
        self._asked_last = self._head().pending
        return self._asked_last

    def approve(self, instruction: str | None = None) -> Reply:
        """Let the turn go on, with another instruction if one is given."""
        if instruction is None:
            return self.answer({"decision": "approve"})
        return self.answer({"decision": "edit", "instruction": instruction})

    def reject(self, reason: str | None = None) -> Reply:
        """Do not let it do what it asked about."""
        return self.answer({"decision": "reject", "reason": reason})

    def choose(self, choice: str) -> Reply:
        """Say what was meant: `understand`, `generate` or `edit`."""
        return self.answer({"choice": choice})

    def answer(self, answer: dict[str, Any]) -> Reply:
        """Answer what the turn asked.

        Raises:
            NothingPending: it has not asked anything.
            InvalidAnswer: the answer does not fit, or another question is open by now; that stays open.
        """
        return _last(self.answer_stream(answer))

    def answer_stream(self, answer: dict[str, Any], cancel: Callable[[], bool] | None = None) -> Iterator[events.Event]:
        """Answer what the turn asked, and hear what happens."""
        if _question(self._asked_last) is None:
            self._asked_last = self._head().pending
        asked = self._asked_last

        def resumed(store: ThreadStore, head: Head) -> tuple[Head, Pending, dict[str, Any] | None]:
            if head.pending is None or head.pending.question is None:
                self._asked_last = None
                raise NothingPending("this thread has not asked anything: just ask it something")
            if _which(asked) != _which(head.pending):
                self._asked_last = head.pending
                raise InvalidAnswer(f"this thread asks something else by now: {head.pending.question.text}")
            return head, head.pending, _checked_answer(head.pending.question, answer)

        return self._events(resumed, cancel)

    async def aanswer(self, answer: dict[str, Any]) -> Reply:
        """Answer what the turn asked."""
        return await in_background(lambda cancel: _last(self.answer_stream(answer, cancel)))

    def resume(self) -> Reply:
        """Run a turn again that was cut off when its process ended; with the same seed it gives the same pictures.

        Raises:
            NothingPending: there is none.
            AnswerPending: the turn was not cut off, it waits for an answer.
        """
        return _last(self.resume_stream())

    def resume_stream(self, cancel: Callable[[], bool] | None = None) -> Iterator[events.Event]:
        """Run a turn again that was cut off, and hear what happens."""

        def again(store: ThreadStore, head: Head) -> tuple[Head, Pending, dict[str, Any] | None]:
            if head.pending is None:
                raise NothingPending("every turn of this thread is finished")
            self._refuse_pending(head)
            return head, head.pending, None

        return self._events(again, cancel)

    def discard(self) -> None:
        """Forget the turn that has not ended."""
        with self._locked() as (store, head):
            if head.pending is None:
                raise NothingPending("every turn of this thread is finished")
            store.save_head(head.model_copy(update={"pending": None}))
            self._forget_if_empty(store)

    # --- ways back ---

    def undo(self, turns: int = 1) -> None:
        """Take the last turns back; `redo` brings them again, until something else is asked.

        A turn that was cut off is the last one: it is taken back first, for good.

        Raises:
            NothingToUndo: there are not as many.
        """
        with self._locked() as (store, head):
            self._refuse_pending(head)
            history, cut_off = self._history(store, head.turn), head.pending is not None
            if not isinstance(turns, int) or not 1 <= turns <= len(history) + cut_off:
                raise NothingToUndo(f"cannot take back {turns} turns: there are {len(history) + cut_off}")
            turns -= cut_off
            if not turns:
                store.save_head(head.model_copy(update={"pending": None}))
                self._forget_if_empty(store)
                return
            undone = [turn.id for turn in reversed(history[-turns:])]
            target = history[-turns].parent
            store.save_head(Head(name=self.name, turn=target, undone=(*head.undone, *undone)))

    def redo(self, turns: int = 1) -> None:
        """Bring back what `undo` took.

        Raises:
            NothingToUndo: there is not as much.
        """
        with self._locked() as (store, head):
            self._refuse_pending(head)
            if head.pending is not None:
                raise NothingToUndo("something was asked since, and cut off: resume() or discard() it first")
            if not isinstance(turns, int) or not 1 <= turns <= len(head.undone):
                raise NothingToUndo(f"cannot bring back {turns} turns: {len(head.undone)} were taken back")
            kept = len(head.undone) - turns
            store.save_head(Head(name=self.name, turn=head.undone[kept], undone=head.undone[:kept]))

    def branch(self, name: str | None = None) -> Thread:
        """Another thread that goes on from here; both keep their own way from now on.

        Raises:
            InvalidRequest: there is a thread of that name.
        """
        other = Thread(self.agent, new_name() if name is None else name)
        stores = self.agent.store
        taken = InvalidRequest(f"there is a thread {other.name!r} already: choose another name, or delete it")
        if stores.exists(other.name):  # asked before the lock is: two threads that branch to each other's name would
            raise taken  # wait for each other
        with self._locked() as (store, head), stores.lock(other.name, self.agent.waiting()):
            if stores.exists(other.name):
                raise taken
            stores.open(other.name).copy_from(
                store, self._history(store, head.turn), Head(name=other.name, turn=head.turn)
            )
        return other

    def retry(self, text: str | None = None, **options: Any) -> Reply:
        """Ask the last request again, in other words if some are given; the new turn takes the place of the last.

        It is asked with the settings of that turn, and what this agent wants to approve is asked about as well.

        Raises:
            NothingToUndo: there is no turn, or the last one was cut off.
        """
        return _last(self.retry_stream(text, **options))

    def retry_stream(self, text: str | None = None, **options: Any) -> Iterator[events.Event]:
        """Ask the last request again, and hear what happens."""

        def again(store: ThreadStore, head: Head) -> tuple[Head, Pending, dict[str, Any] | None]:
            self._refuse_pending(head)
            if head.pending is not None:
                raise NothingToUndo("the last request was cut off: resume() it, or discard() it first")
            history = self._history(store, head.turn)
            if not history:
                raise NothingToUndo("nothing has been asked yet")
            from genllava_agent.regions import as_given

            last = history[-1]
            given = {**last.settings, "seed": None}
            if given.get("approve"):  # none at all was said so in the call
                given["approve"] = sorted({*given["approve"], *self.agent.settings.approve})
            if isinstance(options.get("limits"), dict):  # those that are not named stay
                options["limits"] = {**given.get("limits", {}), **options["limits"]}
            given |= options
            shown = [record for record in last.images if record.origin == "user"]
            pictures = [_Shown(record) for record in shown]
            before = head.model_copy(update={"turn": last.parent})
            region = None if last.request.region is None else as_given(store, last.request.region)
            words = last.request.text if text is None else text
            _, pending, _ = self._asked(store, before, words, pictures, region, given)
            return head, pending, None

        return self._events(again, options.pop("cancel", None))

    def history(self) -> list[Turn]:
        """The turns of this thread as it stands, the first one first; none where nothing was asked on it yet."""
        head = self._head()
        return list(self._history(self.agent.store.open(self.name), head.turn))

    def delete(self) -> None:
        """Forget the thread, and the pictures that only it has.

        Raises:
            ThreadNotFound: it does not exist.
        """
        stores = self.agent.store
        with stores.lock(self.name, self.agent.waiting()):
            existed = stores.exists(self.name)
            with contextlib.suppress(AgentError):  # what is damaged can be deleted as well
                self.agent.engine.live.forget(stores.turns_of_its_own(self.name))
            stores.delete(self.name)  # of a thread that never began, too, something may have been left by a crash
            self._known = History()
        if not existed:
            raise ThreadNotFound(f"there is no thread {self.name!r}: agent.threads() names those that there are")

    # --- looking ---

    @property
    def images(self) -> ThreadImages:
        """The pictures of this thread as it stands, by name."""
        from genllava_agent.pictures import ThreadImages

        store = self.agent.store.open(self.name)
        return ThreadImages(self._history(store, self._head().turn).records, store)

    def trace(self, path: str | Path, turn: int | None = None) -> Path:
        """Write a page about a turn (the last one if no number is given): its pictures, choices and times."""
        from genllava_agent.pages.trace import write_trace

        history = self.history()
        number = max(1, len(history)) if turn is None else turn
        if not isinstance(number, int):
            raise InvalidRequest(f"turn={turn!r} is no number of a turn")
        if number not in range(1, len(history) + 1):
            raise InvalidRequest(f"there is no turn {number} in this thread: it has {len(history)}")
        return write_trace(Path(path), self, history, history[number - 1])

    def __repr__(self) -> str:
        return f"<thread {self.name!r}>"

    def _repr_html_(self) -> str:
        from genllava_agent.pages.trace import thread_html

        return thread_html(self, self.history())

    # --- how it is done ---

    def _head(self) -> Head:
        return self.agent.store.open(self.name).head() or Head(name=self.name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[ThreadStore, Head]]:
        """The thread for ourselves.

        Raises:
            ThreadNotFound: it does not exist.
        """
        with self.agent.store.lock(self.name, self.agent.waiting()):
            store = self.agent.store.open(self.name)
            head = store.head()
            if head is None:
                raise ThreadNotFound(f"there is no thread {self.name!r}: ask something on it first")
            yield store, head

    def _history(self, store: ThreadStore, last: str | None) -> History:
        history = store.history(last, self._known)
        self._known = history  # others may be reading this thread now, and set it too
        return history

    def _asking(
        self, text: str, images: Any, region: Any, options: dict[str, Any], heard: bool
    ) -> Iterator[events.Event]:
        cancel = options.pop("cancel", None)

        def prepare(store: ThreadStore, head: Head) -> tuple[Head, Pending, dict[str, Any] | None]:
            first = self._opened_after in (None, (head.turn,))  # also where it failed, or was taken back
            shown = [*(self._opened_with if first else []), *listed(images)]
            asked = self._asked(store, head, text, shown, region, options)
            self._opened_after = self._opened_after or (head.turn,)
            return asked

        return self._events(prepare, cancel, heard)

    def _asked(
        self, store: ThreadStore, head: Head, text: str, images: Sequence[Any], region: Any, options: dict[str, Any]
    ) -> tuple[Head, Pending, dict[str, Any] | None]:
        """A new turn after `head`, with its pictures admitted and stored."""
        from genllava_agent.inbox import admitted, check_count, check_request, jpeg_file, keep, record_of
        from genllava_agent.running import stored_settings

        settings = self.agent.settings_with(options)
        text = check_request(text or DESCRIBE if images else text)
        check_count(images)
        self._refuse_pending(head)
        history = self._history(store, head.turn)
        records = list(history.records.values())
        loaded = [(source, None if isinstance(source, _Shown) else admitted(source)) for source in images]
        number, turn = len(records), len(history) + 1
        shown = [
            source.record.model_copy(update={"id": image_name(place), "turn": turn})
            if image is None
            else record_of(image, place, turn, _label(source))
            for place, (source, image) in enumerate(loaded, start=number + 1)
        ]
        whole = [record for record in (*records, *shown) if record.origin != "region"]
        focus = whole[-1].id if whole else None
        if settings.task == "edit" and focus is None:
            raise InvalidRequest("there is no picture to edit: send one, or ask for one first")
        where = None
        if region is not None:
            from genllava_agent.regions import part_of, resolve_region

            where = resolve_region(store, region, [*records, *shown])
        for place, (source, image) in enumerate(loaded):  # nothing is kept of a request that cannot be
            if image is not None:
                shown[place] = keep(store, shown[place], image, jpeg_file(source))
        if where is not None:
            shown.append(part_of(store, where, [*records, *shown], turn))
            focus = shown[-1].id
        request = Request(text=text, images=tuple(record.id for record in shown), task=settings.task, region=where)
        pending = Pending(
            id=uuid.uuid4().hex,
            parent=head.turn,
            number=turn,
            at=time.time(),
            request=request,
            images=tuple(shown),
            seed=settings.seed if settings.seed is not None else secrets.randbits(32),
            focus=focus,
            settings=stored_settings(settings, options),
        )
        return head, pending, None

    def _refuse_pending(self, head: Head) -> None:
        if head.pending is not None and head.pending.question is not None:
            self._asked_last = head.pending
            choices = ", ".join(head.pending.question.choices)
            raise AnswerPending(
                f"this thread waits for an answer ({choices}) to: {head.pending.question.text} "
                "Answer it with approve(), reject() or choose(), or discard() the turn"
            )

    def _events(
        self,
        prepare: Callable[[ThreadStore, Head], tuple[Head, Pending, dict[str, Any] | None]],
        cancel: Callable[[], bool] | None,
        heard: bool = True,
    ) -> Iterator[events.Event]:
        """Run a turn with the thread for ourselves."""
        from genllava_agent.running import Ended

        _check_cancel(cancel)
        with self.agent.store.lock(self.name, self.agent.waiting(cancel)):
            store = self.agent.store.open(self.name)
            known = store.head()
            try:
                head, pending, answer = prepare(store, known or Head(name=self.name))
                history = self._history(store, pending.parent)
                running = self.agent.runner.run(store, head, pending, history, cancel or _never, answer, heard)
                with contextlib.closing(running):  # type: ignore[type-var]
                    for event in running:
                        if not isinstance(event, Ended):
                            yield event
                            continue
                        if event.turn is not None:
                            self._known = history.then(event.turn)
                        finished = self._reply(store, history, pending, event)
            except BaseException:
                if known is None:
                    self._forget_if_empty(store)
                raise
        if finished.pending is not None:
            yield events.AnswerNeeded(finished.pending)
        yield events.TurnFinished(finished)

    def _forget_if_empty(self, store: ThreadStore) -> None:
        """A thread whose first turn came to nothing is none."""
        with contextlib.suppress(AgentError):  # what is said of the turn matters more
            if store.head() in (None, Head(name=self.name)):
                self.agent.store.delete(self.name)

    def _reply(self, store: ThreadStore, history: History, pending: Pending, ended: Ended) -> Reply:
        from genllava_agent.pictures import ThreadImage

        self._asked_last = ended.pending
        state, question = ended.state, _question(ended.pending)
        records = history.records | state["images"]
        steps = tuple(state["steps"])
        made = [ThreadImage(records[step.image], store, records) for step in steps if step.image is not None]
        text = ended.turn.text if ended.turn is not None else reply_text(steps, "", question)
        seconds = 0.0 if ended.turn is None else ended.turn.seconds
        return Reply(text, tuple(made), steps, self, pending.number, question, state["stopped"], pending.seed, seconds)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A picture that a turn showed before."""

    record: ImageRecord


def new_name() -> str:
    """A name that no other thread has."""
    return time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:8]


def _label(source: Any) -> str | None:
    if not isinstance(source, (str, Path)):
        return None
    return os.fsencode(Path(source).name).decode(errors="replace")  # the name of a file need not be text


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


def _question(pending: Pending | None) -> Question | None:
    return None if pending is None else pending.question


def _which(pending: Pending | None) -> tuple[str, str] | None:
    """What tells the question of a turn from all others."""
    question = _question(pending)
    return None if pending is None or question is None else (pending.id, question.interrupt)


def _never() -> bool:
    return False


def _last(heard: Iterator[events.Event]) -> Reply:
    """Listen to the end."""
    for event in heard:
        if isinstance(event, events.TurnFinished):
            reply = event.reply
    return reply


def _checked_answer(question: Question, answer: dict[str, Any]) -> dict[str, Any]:
    from genllava_agent.questions import Approval, Clarification, checked_answer

    schema = Approval if question.kind == "approval" else Clarification
    return checked_answer(question, schema, answer).model_dump(exclude_none=True)  # type: ignore[type-var]
