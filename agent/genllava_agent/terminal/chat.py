"""`genllava chat`: a conversation in a terminal, or line by line from a pipe.

Ctrl-C ends the turn that is running, and not the program; whatever goes wrong is one line, and the next may be typed.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import Cancelled, GenLlavaError
from genllava_agent import events
from genllava_agent.errors import AnswerPending, InvalidAnswer
from genllava_agent.records import Question
from genllava_agent.reporting import unexpected
from genllava_agent.stores import MEMORY
from genllava_agent.terminal import chat_commands
from genllava_agent.terminal.chat_screen import Screen
from genllava_agent.terminal.typed_lines import TypedLines, history_file

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.reply import Reply
    from genllava_agent.threads import Thread
    from genllava_agent.user_config import ModelChoice

PROMPT: Final = "> "
ANSWER_PROMPT: Final = "answer> "
FAILED: Final = 1
"""Exit code where lines came from a file or a pipe, and one of them could not be done."""
_SAME: Final = {"y": "approve", "yes": "approve", "ok": "approve", "n": "reject", "no": "reject"}
"""Other words for an answer."""


def converse(
    name: str | None,
    store: str | None,
    choice: ModelChoice,
    images: list[str],
    *,
    shows_pictures: bool,
    options: dict[str, Any],
) -> int:
    """Load the model, talk, and say how to go on; returns the exit code.

    Args:
        name: of the thread; a new one if None.
        store, options: as for `VisualAgent`.
        choice: of the model.
        images: files of pictures for the first request.
        shows_pictures: in the terminal, if it can.

    Raises:
        GenLlavaError: there is no such model, thread or store.
        KeyboardInterrupt: Ctrl-C while the model is loaded, or while lines come from a file or a pipe.
    """
    from genllava_agent.agent import VisualAgent
    from genllava_agent.loading import load_pipeline
    from genllava_agent.progress import Progress
    from genllava_agent.stores import open_store

    with Progress() as progress:
        progress.stage("opening the store")
        opened = open_store(store)
        opened.exists(name or "new")  # before the wait for the model: refuses names of no thread, finds the store
        progress.stage("loading the model")
        pipeline = load_pipeline(choice.model, choice.device, **choice.others)
    live = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    screen = Screen(live, shows_pictures)
    with VisualAgent(pipeline, store=opened, **options) as agent:
        chat = Chat(agent, agent.thread(name), TypedLines(sys.stdin.isatty(), history_file(store)), screen)
        chat.attached = images
        code = chat.run()
        again = how_to_continue(chat.thread, store, **choice.typed)
        if again is not None:
            screen.note(f"To go on with this conversation: {again}")
    return code


class Chat:
    """One run of the program: a `chat_commands.Chat`."""

    def __init__(self, agent: VisualAgent, thread: Thread, lines: TypedLines, screen: Screen) -> None:
        self.agent = agent
        self.thread = thread
        self.lines = lines
        self.screen = screen
        self.attached: list[str] = []
        self.running = True
        self._failed = False

    def run(self) -> int:
        """Talk until the user leaves; returns the exit code.

        Raises:
            KeyboardInterrupt: Ctrl-C while lines come from a file or a pipe.
        """
        try:
            if self.screen.live:
                self.screen.note("Ask, or say what to draw; /help lists commands, Ctrl-D leaves.")
            self._guarded(self.enter, self.thread)
            pressed = 0
            while self.running and pressed < 2:
                try:
                    line = self.lines.read(PROMPT).strip()
                except EOFError:
                    if self.lines.typed:
                        self.screen.note("")
                    break
                except KeyboardInterrupt:
                    if not self.lines.typed:
                        raise
                    pressed += 1
                    self.screen.note("\nCtrl-C again, or Ctrl-D, leaves" if pressed == 1 else "")
                    continue
                pressed = 0
                if line.startswith("/"):
                    self._guarded(chat_commands.run, self, line)
                elif line:
                    self._guarded(self.ask, line)
        finally:
            self.lines.close()
        return FAILED if self._failed and not self.lines.typed else 0

    def enter(self, thread: Thread) -> None:
        """Go on with another thread, and say where it stands; what it asks is asked at once."""
        unfinished, turns = thread.unfinished, len(thread.history())
        self.thread = thread
        if self.screen.live:
            count = f"{turns} turn{'' if turns == 1 else 's'}"
            self.screen.note(f"Thread {thread.name}, {count if turns else 'new'}.")
        if unfinished is None:
            return
        if unfinished.question is None:
            self.screen.note(
                f"Its last turn was not finished: {unfinished.request.text!r}. "
                "/resume runs it again; ask something else, and it is forgotten."
            )
        else:
            self.screen.note(f"It waits for an answer to what was asked about {unfinished.request.text!r}.")
            self._settle(unfinished.question)

    # --- turns ---

    def ask(self, text: str) -> None:
        """A turn; its pictures stay attached if it fails."""
        taken, finished = list(self.attached), False
        try:
            finished = self.turn(lambda cancel: self.thread.stream(text, taken, cancel=cancel, **self.screen.options))
        finally:
            if finished:
                self.attached = self.attached[len(taken) :]
            elif taken:
                names = ", ".join(Path(path).name for path in taken)
                self.screen.note(f"Still attached: {names}; /detach takes off what is attached.")

    def retry(self, text: str | None) -> None:
        """The last turn once more, with another seed."""
        options = dict(self.screen.options)
        history = self.thread.history()
        if history and self.agent.settings.seed is not None:  # the seed that is set would give the same picture again
            options["seed"] = (history[-1].seed + 1) % 2**63
        self.turn(lambda cancel: self.thread.retry_stream(text, cancel=cancel, **options))

    def turn(self, begin: chat_commands.Begin) -> bool:
        """Run a turn to its end, with all that it asks in between; returns whether it was finished."""
        reply = self._heard(begin)
        return reply is not None and self._settle(reply.pending)

    def _settle(self, question: Question | None) -> bool:
        """Have the user answer until the turn asks no more; returns whether it was finished."""
        while question is not None:
            self.screen.say(question.text)
            try:
                answer = self._answer(question)
            except KeyboardInterrupt:
                self.thread.discard()
                if not self.lines.typed:
                    raise
                self.screen.note("\nGiven up: nothing of this turn is kept.")
                return False
            except EOFError:
                self.running = False
                self.screen.note("\nThe question stays open: it is asked again when the thread is opened.")
                return False
            try:
                reply = self._heard(lambda cancel, given=answer: self.thread.answer_stream(given, cancel))  # type: ignore[misc]
            except InvalidAnswer as error:
                self._fail(str(error))
                question = self.thread.pending  # which may be another by now
                continue
            if reply is None:
                if self.thread.pending is not None:  # what is cancelled after an answer would ask again
                    self.thread.discard()
                return False
            question = reply.pending
        return True

    def _answer(self, question: Question) -> dict[str, Any]:
        """What the user answers, once it is something that can be."""
        while True:
            self.screen.say("\n".join(f"  {each}" for each in possible_answers(question)))
            answer = parse_answer(question, self.lines.read(ANSWER_PROMPT))
            if answer is not None:
                return answer
            self._fail("that is not an answer" + ("; Ctrl-C gives up" * self.lines.typed))

    def _heard(self, begin: chat_commands.Begin) -> Reply | None:
        """Show what happens in a turn; None if it was cancelled."""
        reply = None
        with _ctrl_c() as unwanted, self.lines.held_back():
            try:
                for event in begin(unwanted):
                    self.screen.show(event)
                    if isinstance(event, events.TurnFinished):
                        reply = event.reply
            except Cancelled:
                self.screen.note("Cancelled: nothing of this turn is kept.")
            finally:
                self.screen.settle()
            was_unwanted = unwanted()
        if was_unwanted and not self.lines.typed:
            raise KeyboardInterrupt
        if was_unwanted and reply is not None:
            self.screen.note("That was too late to cancel: /undo takes the turn back.")
        return reply

    # --- what goes wrong ---

    def _guarded(self, work: Callable[..., object], *arguments: object) -> None:
        """Do it; what goes wrong is one line."""
        try:
            work(*arguments)
        except AnswerPending:
            self._fail("this thread waits for an answer to an earlier request: give it first, then ask again")
            self._guarded(lambda: self._settle(self.thread.pending))
        except GenLlavaError as error:
            self._fail(str(error))
        except KeyboardInterrupt:
            if not self.lines.typed:
                raise
            self.screen.note("\nInterrupted.")
        except BrokenPipeError:
            raise  # nobody reads any more
        except Exception as error:
            self._fail(f"unexpected: {unexpected(error)}")

    def _fail(self, text: str) -> None:
        self._failed = True
        self.screen.fail(text)


def possible_answers(question: Question) -> list[str]:
    """What may be typed as an answer, one line each."""
    if question.kind == "clarification":
        return [f"{number} {choice}" for number, choice in enumerate(question.choices, start=1)]
    words = {"approve": "approve", "edit": "edit OTHER WORDS", "reject": "reject [WHY]"}
    return [words[choice] for choice in question.choices]


def parse_answer(question: Question, line: str) -> dict[str, Any] | None:
    """A typed answer to what a turn asks; None if it is none."""
    said = line.strip()
    if question.kind == "clarification":
        words = [(str(number), choice) for number, choice in enumerate(question.choices, start=1)]
        return next(({"choice": pair[1]} for pair in words if said.lower() in pair), None)
    first, _, rest = said.partition(" ")
    word, rest = first.lower().rstrip(":,"), rest.strip()
    word = _SAME.get(word, word)
    if word == "approve" and not rest:
        return {"decision": "approve"}
    if word == "edit" and rest and "edit" in question.choices:
        return {"decision": "edit", "instruction": rest}
    return {"decision": "reject", "reason": rest or None} if word == "reject" else None


def how_to_continue(thread: Thread, store: str | None, model: str | None = None, **others: str) -> str | None:
    """The command that goes on with a thread; None if there is nothing to go on with.

    Args:
        model, others: the options about the model that were typed.
    """
    if store == MEMORY or thread.name not in thread.agent.threads():
        return None
    words = ["genllava", "chat", "--thread", thread.name]
    words += [] if store is None else ["--store", store]
    words += [] if model is None else ["--model", model]
    words += [word for name, value in others.items() for word in (f"--{name}", value)]
    return shlex.join(words)


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Ctrl-C only makes the given function say True, meanwhile."""
    pressed = False

    def press(*_: object) -> None:
        nonlocal pressed
        pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
