"""A conversation in a terminal: requests are asked, and what a turn asks back is answered, until it has ended."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import Cancelled, GenLlavaError
from genllava_agent import events
from genllava_agent.errors import InvalidAnswer
from genllava_agent.pages.markup import counted
from genllava_agent.reporting import unexpected
from genllava_agent.terminal.chat_screen import Screen

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.records import Question
    from genllava_agent.reply import Reply
    from genllava_agent.threads import Thread

Begin = Callable[[Callable[[], bool]], "Iterator[events.Event]"]
"""Starts a turn; is given what says whether it is no longer wanted."""
_ANSWERS: Final = {"approve": "approve", "edit": "edit OTHER WORDS", "reject": "reject [WHY]"}
_SAME: Final = {"y": "approve", "yes": "approve", "ok": "approve", "n": "reject", "no": "reject"}


class Conversation:
    """The thread that requests go to. Lines are `typed` by a person, who may interrupt, or come from a file."""

    def __init__(self, agent: VisualAgent, thread: Thread, typed: bool, screen: Screen) -> None:
        self.agent, self.thread, self.typed, self.screen = agent, thread, typed, screen
        self.attached: list[str] = []  # files of pictures that go with the next request
        self.running = True  # another line is read
        self.failed = False  # something could not be done

    def guarded(self, work: Callable[..., object], *arguments: object) -> None:
        """Do it; what goes wrong is one line."""
        try:
            work(*arguments)
        except GenLlavaError as error:
            self.fail(str(error))
        except KeyboardInterrupt:
            if not self.typed:
                raise
            self.screen.note("\nInterrupted.")
        except BrokenPipeError:
            raise  # nobody reads any more
        except Exception as error:
            self.fail(f"unexpected: {unexpected(error)}")

    def fail(self, text: str) -> None:
        """Say that something could not be done."""
        self.failed = True
        self.screen.fail(text)

    def enter(self, thread: Thread) -> None:
        """Go on with another thread, and say where it stands; what it asks is asked at once."""
        unfinished, turns = thread.unfinished, len(thread.history())
        self.thread = thread
        if self.screen.live:
            self.screen.note(f"Thread {thread.name}, {counted(turns, 'turn') if turns else 'new'}.")
        if unfinished is not None and unfinished.question is not None:
            self.screen.note(f"It waits for an answer to what was asked about {unfinished.request.text!r}.")
            self.settle(unfinished.question)
        elif unfinished is not None:
            asked = f"Its last turn was cut off: {unfinished.request.text!r}."
            self.screen.note(f"{asked} /resume goes on with it; ask something else, and it ends there.")

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

    def turn(self, begin: Begin) -> bool:
        """Run a turn to its end, with all that it asks in between; returns whether it was finished."""
        reply = self._heard(begin)
        return reply is not None and self.settle(reply.pending)

    def settle(self, question: Question | None) -> bool:
        """Have the user answer until the turn asks no more; returns whether it was finished."""
        while question is not None:
            if (answer := self._answer(question)) is None:
                return False
            try:
                reply = self._heard(partial(self.thread.answer_stream, answer))
            except InvalidAnswer as error:
                self.fail(str(error))
                question = self.thread.pending  # which may be another by now
                continue
            if reply is None:
                if self.thread.pending is not None:  # what is cancelled after an answer would ask again
                    self.thread.discard()
                return False
            question = reply.pending
        return True

    def _answer(self, question: Question) -> Any:
        """What the user answers, once it is something that can be; None if the user leaves, or gives the turn up."""
        self.screen.say(question.text)
        try:
            while True:
                for line in possible_answers(question):
                    self.screen.say(f"  {line}")
                answer = parse_answer(question, read_line("answer> ", self.typed))
                if answer is not None:
                    return answer
                self.fail("that is not an answer" + ("; Ctrl-C gives up" * self.typed))
        except KeyboardInterrupt:
            self.thread.discard()
            if not self.typed:
                raise
            self.screen.note("\nGiven up: nothing of this turn is kept.")
        except EOFError:
            self.running = False
            self.screen.note("\nThe question stays open: it is asked again when the thread is opened.")
        return None

    def _heard(self, begin: Begin) -> Reply | None:
        """Show what happens in a turn; None if it was cancelled. Ctrl-C meanwhile only asks the turn to end."""
        reply, unwanted = None, list[object]()
        before = signal.signal(signal.SIGINT, lambda *_: unwanted.append(True))
        try:
            with held_back(self.typed):
                for event in begin(lambda: bool(unwanted)):
                    self.screen.show(event)
                    if isinstance(event, events.TurnFinished):
                        reply = event.reply
        except Cancelled:
            self.screen.note("Cancelled: nothing of this turn is kept.")
        finally:
            self.screen.settle()
            signal.signal(signal.SIGINT, before)
        if unwanted and not self.typed:
            raise KeyboardInterrupt
        if unwanted and reply is not None:
            self.screen.note("That was too late to cancel: /undo takes the turn back.")
        return reply


def possible_answers(question: Question) -> list[str]:
    """What may be typed as an answer, one line each; none where a tool asks, which takes whatever is typed."""
    if question.kind == "clarification":
        return [f"{number} {choice}" for number, choice in enumerate(question.choices, start=1)]
    return [_ANSWERS[choice] for choice in question.choices]


def parse_answer(question: Question, line: str) -> Any:
    """A typed answer to what a turn asks; None if it is none."""
    said = line.strip()
    if question.kind == "tool":
        return said
    if question.kind == "clarification":
        words = {word: choice for n, choice in enumerate(question.choices, start=1) for word in (str(n), choice)}
        return {"choice": words[said.lower()]} if said.lower() in words else None
    first, _, rest = said.partition(" ")
    word, rest = first.lower().rstrip(":,"), rest.strip()
    word = _SAME.get(word, word)
    if word == "approve" and not rest:
        return {"decision": "approve"}
    if word == "edit" and rest and "edit" in question.choices:
        return {"decision": "edit", "instruction": rest}
    return {"decision": "reject", "reason": rest or None} if word == "reject" else None


# --- lines that are typed, or come from a file or a pipe ---


def read_line(prompt: str, typed: bool) -> str:
    """The next line, without its end; `EOFError` where there are no more. `typed` by a person, it has a prompt."""
    if typed and not sys.stdout.isatty():
        print(prompt, end="", file=sys.stderr, flush=True)  # what the program says goes elsewhere
    return input(prompt if typed and sys.stdout.isatty() else "").rstrip("\r")


@contextmanager
def held_back(typed: bool) -> Iterator[None]:
    """Meanwhile what is typed waits unseen for `read_line`, and Ctrl-C does not drop what is being written."""
    if not typed or sys.platform == "win32":
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    held: list[Any] = list(before)
    held[3] = held[3] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, held)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
