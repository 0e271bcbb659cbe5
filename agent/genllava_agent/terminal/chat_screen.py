"""What a conversation looks like in a terminal: what is being done, previews in place, pictures; or plain lines."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Final, TextIO

from genllava_agent import events
from genllava_agent.answers import compose
from genllava_agent.records import ImageRecord, Step
from genllava_agent.reporting import one_line
from genllava_agent.terminal.terminal_pictures import TerminalPictures
from genllava_agent.workers import TASK_TOKENS

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.reply import Reply

PREVIEWS: Final = 8
"""Small pictures shown of each while it is drawn."""
_PICTURE: Final = (48, 24)
_PREVIEW: Final = (24, 12)
"""Columns and rows, at most."""
_PREVIEW_NUMBER: Final = 4_711_001
_BAR: Final = 24
_DOING: Final = {"understand": "answering in words", "generate": "drawing", "edit": "editing", "tool": "calling a tool"}


class Screen:
    """Writes to a person's terminal, or plain lines to whoever reads them.

    Args:
        live: this is a terminal: text as it comes, progress, and pictures. Otherwise a turn is written when it is over,
            without a single escape code.
        pictures: how it shows them.
    """

    def __init__(self, live: bool, pictures: TerminalPictures) -> None:
        self.live = live
        self.pictures = pictures
        self._styled = live and not os.environ.get("NO_COLOR")
        self._moving = _Moving(pictures)
        self._told: list[str] = []
        """What the model has said in this turn, word for word."""
        self._line_is_open = False

    # --- lines ---

    def say(self, text: str) -> None:
        """Write a line, or several."""
        self.settle()
        _write(sys.stdout, printable(text) + "\n")

    def note(self, text: str) -> None:
        """Write a line that is about the program or the turn, and not what the assistant says."""
        self.settle()
        if self.live:
            line = printable(text)
            _write(sys.stdout, f"\x1b[2m{line}\x1b[0m\n" if self._styled else f"{line}\n")
        else:
            _write(sys.stderr, printable(text) + "\n")

    def fail(self, text: str) -> None:
        """Write one line about what went wrong."""
        self.settle()
        _write(sys.stdout if self.live else sys.stderr, f"error: {one_line(text)}\n")

    def picture(self, image: Image.Image) -> bool:
        """Show a picture, if this terminal can."""
        self.settle()
        drawn = self.pictures.drawn(image, *_PICTURE) if self.live else None
        if drawn is not None:
            _write(sys.stdout, drawn.text)
        return drawn is not None

    def settle(self) -> None:
        """Take away what moves, and end the line that is open."""
        if self.live:
            _write(sys.stdout, self._moving.cleared())
        if self._line_is_open:
            _write(sys.stdout, "\n")
            self._line_is_open = False

    # --- turns ---

    def show(self, event: events.Event) -> None:
        """Show what a running turn tells."""
        if isinstance(event, events.TurnFinished):
            self._finished(event.reply)
        elif self.live:
            self._show_live(event)

    def _show_live(self, event: events.Event) -> None:
        match event:
            case events.TurnStarted():
                self._told.clear()
                self._move("thinking")
            case events.ActionChosen():
                self.note(_choice(event))
                self._move("planning" if event.kind in ("generate", "edit") else "thinking")
            case events.PlanWritten():
                self.note(f"plan: {event.plan}" + (f" (from {event.source})" if event.source else ""))
                self._move("drawing")
            case events.Preview():
                self._move(_progress(event), event.image)
            case events.Verified():
                if event.again:
                    self.note(f"attempt {event.attempt}: {event.unsure}; drawing it again")
                self._move("thinking")
            case events.ImageReady():
                self.picture(event.image)
                self.say(described(event.record))
                self._move("thinking")
            case events.TextDelta():
                self._tell(event.text)
            case events.ToolStarted():
                self._move(f"running {event.tool}")
            case events.ToolFinished():
                self.note(f"{event.tool}: {event.text}")
            case _:
                pass

    def _tell(self, text: str) -> None:
        if not self._line_is_open:
            self.settle()
            self._told.append("")
        self._told[-1] += text
        _write(sys.stdout, printable(text))
        self._line_is_open = True

    def _finished(self, reply: Reply) -> None:
        """Write whatever of the turn has not been written yet."""
        self.settle()
        shown = {picture.id: picture.record for picture in reply.images}
        for step in reply.steps:
            if not self.live and step.image in shown:
                self.say(described(shown[step.image]))
            for line in _said(step):
                if not any(line.strip() in told for told in self._told):
                    self.say(line)
        if reply.stopped:
            self.say(f"Stopped early ({reply.stopped}): whatever else was asked for is not done.")
        told = compose(list(reply.steps), reply.stopped)
        if reply.pending is None and reply.text.startswith(f"{told} "):  # with what was left out
            self.say(reply.text.removeprefix(told).strip())
        self._told.clear()

    def _move(self, text: str, image: Image.Image | None = None) -> None:
        if self._line_is_open:
            self.settle()
        _write(sys.stdout, self._moving.drawn(printable(text), image))


class _Moving:
    """The end of the output, which is drawn over: a small picture, and a line under it."""

    def __init__(self, pictures: TerminalPictures) -> None:
        self._pictures = pictures
        self._rows = 0
        self._shown = False

    def drawn(self, line: str, image: Image.Image | None = None) -> str:
        """What draws it, with the picture that it has if no other is given."""
        before, drawn = "", None
        if image is not None and self._pictures.redraws:
            drawn = self._pictures.drawn(image, *_PREVIEW, number=_PREVIEW_NUMBER)
        if drawn is not None:
            before = self.cleared() if drawn.rows != self._rows else f"\r\x1b[{self._rows}A"
            before += drawn.text
            self._rows = drawn.rows
        self._shown = True
        width = shutil.get_terminal_size().columns
        return f"{before}\r\x1b[K{line[: width - 1]}"

    def cleared(self) -> str:
        """What takes it away; nothing if it is not there."""
        if not self._shown:
            return ""
        text = "\r" + (f"\x1b[{self._rows}A" + self._pictures.forget(_PREVIEW_NUMBER) if self._rows else "") + "\x1b[J"
        self._shown, self._rows = False, 0
        return text


def described(record: ImageRecord) -> str:
    """A picture in a line: its name, and what it is."""
    if record.origin == "user":
        return f"{record.id}: yours, {record.label or 'without a name'}, {record.width}x{record.height}"
    source = f" from {', '.join(record.parents)}" if record.parents else ""
    seed = "" if record.seed is None else f" (seed {record.seed})"
    return f"{record.id}{source}: {record.plan or record.instruction or record.origin}{seed}"


def printable(text: str) -> str:
    """`text` without characters that would steer the terminal; line breaks stay."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _choice(event: events.ActionChosen) -> str:
    likely = event.probabilities.get(TASK_TOKENS.get(event.kind, "[TOOL]"))
    what = _DOING[event.kind] if event.tool is None else f"calling {event.tool}"
    target = f" {event.image}" if event.image else ""
    return f"{what}{target}" + ("" if likely is None else f" ({likely:.0%})")


def _progress(event: events.Preview) -> str:
    filled = round(_BAR * event.step / max(1, event.total))
    again = f", attempt {event.attempt}" if event.attempt > 1 else ""
    return f"drawing [{'=' * filled}{' ' * (_BAR - filled)}] {event.step}/{event.total}{again}"


def _said(step: Step) -> list[str]:
    """What the assistant says about a step, besides showing its picture."""
    if step.outcome != "ok":
        return [compose([step], "")]
    unsure = f"I am not sure about {step.image}: {step.unsure}." if step.unsure else ""
    return [line for line in (step.text, unsure) if line]


def _write(out: TextIO, text: str) -> None:
    if not text:
        return
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()
