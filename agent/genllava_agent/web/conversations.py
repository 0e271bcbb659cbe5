"""What people do on a page: requests, answers, ways back. Each act says what the page shows then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import Cancelled, GenLlavaError, InvalidRequest
from genllava_agent import events
from genllava_agent.background import stream_in_background
from genllava_agent.errors import NothingPending, ThreadBusy
from genllava_agent.reporting import one_line, unexpected
from genllava_agent.web.conversation_view import address, alt_text, messages, request_message
from genllava_agent.web.own_threads import OwnThreads
from genllava_agent.web.picture_strip import strip
from genllava_agent.web.running_turns import RunningTurns
from genllava_agent.web.shown import Asked, Shown, Visitor
from genllava_agent.web.steps_view import TurnSteps, kept_steps, question_step, steps_html
from genllava_agent.web.turn_queue import TurnQueue
from genllava_agent.web.uploads import Uploads

if TYPE_CHECKING:
    from genllava_agent.threads import Thread

Begin = Callable[[Callable[[], bool]], Iterator[events.Event]]
"""Starts a turn; is given what says whether it is no longer wanted."""
_OFTEN: Final = 0.15
"""Seconds between two looks at words that are being written, at least."""
_STOPPED: Final = "Stopped: nothing of this turn is kept."


class Conversations:
    """The acts of all people who have the page open.

    Args:
        threads: theirs.
        uploads: their pictures.
        queue: for the model.
        running: their turns.
        pictures: that go with one request at most.
    """

    def __init__(
        self, threads: OwnThreads, uploads: Uploads, queue: TurnQueue, running: RunningTurns, pictures: int = 10
    ) -> None:
        self.threads, self.uploads, self.queue, self.running = threads, uploads, queue, running
        self._most = pictures

    # --- turns ---

    async def ask(self, visitor: Visitor, name: str | None, asked: Asked) -> AsyncGenerator[Shown]:
        """Ask something; where a tool asks, what is said is the answer."""
        try:
            if len(asked.attached) > self._most:
                raise InvalidRequest(f"{len(asked.attached)} pictures at once are too many: at most {self._most}")
            files = [self.uploads.get(visitor.owner, each.token).data for each in asked.attached]
            region = None if asked.region is None else asked.region.region()
            thread, now = await self._opened(visitor, name)
        except GenLlavaError as error:
            yield Shown(notice=str(error))
            return
        options: dict[str, Any] = {"approve": asked.approve} if asked.approve else {}
        question = now.question
        if question and question.kind == "tool" and not files and region is None:
            begin: Begin = lambda cancel: thread.answer_stream(asked.text, cancel)  # noqa: E731
        else:
            begin = lambda cancel: thread.stream(asked.text, files, region=region, cancel=cancel, **options)  # noqa: E731
        pictures = f"\n\n*with {len(files)} picture{'' if len(files) == 1 else 's'}*" if files else ""
        said = [*(now.messages or ()), request_message(thread.name, asked.text + pictures)]
        attached = [each.model_dump() for each in asked.attached]
        async with contextlib.aclosing(self._turn(visitor, thread, begin, said, asked.text, attached)) as turn:
            async for shown in turn:
                yield shown
        if shown.attached is None:  # else they go with the next request
            for each in asked.attached:
                self.uploads.drop(visitor.owner, each.token)

    def answer(
        self, visitor: Visitor, name: str | None, answer: dict[str, Any], text: str | None = None
    ) -> AsyncGenerator[Shown]:
        """Answer what the turn asked.

        Args:
            answer: as `questions.Answer` has it.
            text: the words of the answer, taken from the box for requests.
        """
        return self._on(visitor, name, lambda thread, cancel: thread.answer_stream(answer, cancel), text)

    def retry(self, visitor: Visitor, name: str | None) -> AsyncGenerator[Shown]:
        """Ask the last request again, with another seed."""
        return self._on(visitor, name, lambda thread, cancel: thread.retry_stream(cancel=cancel))

    def resume(self, visitor: Visitor, name: str | None) -> AsyncGenerator[Shown]:
        """Go on with a turn that was cut off."""
        return self._on(visitor, name, lambda thread, cancel: thread.resume_stream(cancel))

    def stop(self, visitor: Visitor) -> Shown:
        """Stop the turn of this page, within a token or a step of drawing."""
        return Shown(notice="" if self.running.stop(visitor.session) else "No turn is running.")

    async def _on(
        self,
        visitor: Visitor,
        name: str | None,
        begin: Callable[[Thread, Callable[[], bool]], Iterator[events.Event]],
        text: str | None = None,
    ) -> AsyncGenerator[Shown]:
        try:
            thread, now = await self._opened(visitor, name)
        except GenLlavaError as error:
            yield Shown(notice=str(error))
            return
        started = self._turn(visitor, thread, lambda cancel: begin(thread, cancel), now.messages or (), text)
        async with contextlib.aclosing(started) as turn:
            async for shown in turn:
                yield shown

    async def _opened(self, visitor: Visitor, name: str | None) -> tuple[Thread, Shown]:
        thread = await asyncio.to_thread(self.threads.get, visitor.owner, name)
        return thread, await asyncio.to_thread(self.view, visitor, thread)

    async def _turn(
        self,
        visitor: Visitor,
        thread: Thread,
        begin: Begin,
        said: Sequence[dict[str, Any]],
        text: str | None = None,
        attached: Sequence[dict[str, Any]] | None = None,
    ) -> AsyncGenerator[Shown]:
        """Run a turn when its place in the line has come, and say what the page shows meanwhile and afterwards.

        Args:
            said: messages that are shown before those of the turn.
            text, attached: what is asked with; given back to the page where nothing comes of the turn.
        """
        if self.running.has(visitor.session):
            yield Shown(notice="A turn is running in this page: wait for its end, or stop it.")
            return
        asked = {name: given for name, given in (("text", text), ("attached", attached)) if given is not None}
        taken: dict[str, Any] = {name: type(given)() for name, given in asked.items()}
        steps, words, shown_at, notice = TurnSteps(), "", 0.0, ""
        try:
            with self.running.one(visitor.session, thread.name) as stop:
                yield Shown(busy=True, notice="", messages=said, steps=steps.html(), question=False, **taken)

                def start(cancel: Callable[[], bool]) -> Iterator[events.Event | int]:
                    return self._in_line(visitor.owner, lambda: cancel() or stop.is_set(), begin)

                async with contextlib.aclosing(stream_in_background(start, _may_miss)) as heard:
                    async for event in heard:
                        if isinstance(event, int):
                            steps.wait(event)
                        elif not steps.hear(event):
                            continue
                        if isinstance(event, events.TextDelta):
                            words += event.text
                            if time.monotonic() - shown_at < _OFTEN:
                                continue
                        shown_at = time.monotonic()
                        spoken = [*said, {"role": "assistant", "content": words}] if words else said
                        yield Shown(steps=steps.html(), messages=spoken)
        except Cancelled:
            notice = _STOPPED
        except GenLlavaError as error:
            notice = str(error)
        except Exception as error:
            notice = f"Unexpected: {one_line(unexpected(error))}"
        ended = await asyncio.to_thread(self._view_or_error, visitor, thread, notice)
        if ended.question:  # what was done before it asked is nowhere else
            ended = replace(ended, steps=steps.html())
        given_back: dict[str, Any] = asked if notice else {}
        yield replace(ended, busy=False, **given_back)

    def _in_line(self, owner: str, cancel: Callable[[], bool], begin: Begin) -> Iterator[events.Event | int]:
        """How many turns are before this one, whenever that changes; then what it tells."""
        with self.queue.place(owner) as ticket:
            yield from self.queue.wait(ticket, cancel)
            with contextlib.closing(begin(cancel)) as heard:  # type: ignore[type-var]
                yield from heard

    # --- ways back, and threads ---

    def undo(self, visitor: Visitor, name: str | None) -> Shown:
        """Take the last turn back."""
        return self._changed(visitor, name, lambda thread: thread.undo())

    def redo(self, visitor: Visitor, name: str | None) -> Shown:
        """Bring back what was taken back last."""
        return self._changed(visitor, name, lambda thread: thread.redo())

    def give_up(self, visitor: Visitor, name: str | None) -> Shown:
        """Forget the turn that waits or was cut off."""

        def forget(thread: Thread) -> None:
            with contextlib.suppress(NothingPending):  # it was given up in another tab
                thread.discard()

        return self._changed(visitor, name, forget)

    def branch(self, visitor: Visitor, name: str | None) -> Shown:
        """Go on from here on a thread of its own."""
        try:
            other = self.threads.branch(visitor.owner, self._at_rest(visitor, name))
        except GenLlavaError as error:
            return Shown(notice=str(error))
        return self._view_or_error(visitor, other, "This is a branch; the thread before stays as it is.")

    def open(self, visitor: Visitor, name: str | None, notice: str = "") -> Shown:
        """Go on with a thread; a new one where there is none of that name."""
        try:
            thread = self.threads.get(visitor.owner, name)
        except GenLlavaError as error:
            return self._view_or_error(visitor, self.threads.new(visitor.owner), str(error))
        return self._view_or_error(visitor, thread, notice)

    def rename(self, visitor: Visitor, name: str | None, title: str) -> Shown:
        """Call a thread something."""
        try:
            if not name:
                raise NothingPending("nothing was said on this thread yet: ask something, then give it a name")
            self.threads.rename(visitor.owner, name, title)
        except GenLlavaError as error:
            return Shown(notice=str(error))
        return Shown(threads=self.threads.listed(visitor.owner), thread=name, notice="")

    def delete(self, visitor: Visitor, name: str | None) -> Shown:
        """Forget a thread and its pictures, and begin a new one."""
        try:
            if name:
                self.threads.delete(visitor.owner, self._at_rest(visitor, name).name)
        except GenLlavaError as error:
            return Shown(notice=str(error))
        return self.open(visitor, None, "The thread is deleted." if name else "")

    # --- looking ---

    def view(self, visitor: Visitor, thread: Thread, notice: str = "") -> Shown:
        """All that the page shows of a thread.

        Raises:
            StoreFailed, ThreadQuarantined.
        """
        history, unfinished = thread.history(), thread.unfinished
        records = {record.id: record for turn in history for record in turn.images}
        if unfinished is not None:
            records.update({record.id: record for record in unfinished.images})
        addresses = {name: (address(thread.name, record), alt_text(record)) for name, record in records.items()}
        question = unfinished.question if unfinished is not None else None
        runs = self.running.runs(thread.name)
        steps = kept_steps(history[-1].steps, addresses) if history and unfinished is None else []
        if question is not None:
            steps.append(question_step(question))
        return Shown(
            thread=thread.name if history or unfinished is not None else "",
            threads=self.threads.listed(visitor.owner),
            messages=messages(thread.name, history, records, unfinished, runs),
            steps=steps_html(steps),
            pictures=strip(thread.name, records.values()),
            question=question or False,
            cut_off=unfinished is not None and question is None and not runs,
            notice=notice,
        )

    def _view_or_error(self, visitor: Visitor, thread: Thread, notice: str) -> Shown:
        """The thread; where it cannot be read, why, on an empty page."""
        try:
            return self.view(visitor, thread, notice)
        except GenLlavaError as error:
            return Shown(
                thread="", threads=self.threads.listed(visitor.owner), messages=(), steps=steps_html(()),
                pictures={"images": [], "selected": None}, question=False, cut_off=False, notice=str(error),
            )  # fmt: skip

    def _at_rest(self, visitor: Visitor, name: str | None) -> Thread:
        """A thread on which nothing runs: whoever changes it would wait.

        Raises:
            ThreadBusy: something does, maybe for another page.
        """
        thread = self.threads.get(visitor.owner, name)
        if self.running.runs(thread.name):
            raise ThreadBusy("a turn of this thread is running: wait for its end, or stop it where it was asked")
        return thread

    def _changed(self, visitor: Visitor, name: str | None, change: Callable[[Thread], object]) -> Shown:
        try:
            thread = self._at_rest(visitor, name)
            change(thread)
        except GenLlavaError as error:
            return Shown(notice=str(error))
        return self._view_or_error(visitor, thread, "")


def _may_miss(event: events.Event | int) -> bool:
    return isinstance(event, events.Preview)
