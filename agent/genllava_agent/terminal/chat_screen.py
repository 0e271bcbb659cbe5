"""What a conversation looks like in a terminal: what is being done, previews in place, pictures; or plain lines."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.color import Color
from rich.console import Console, Group
from rich.live import Live
from rich.style import Style
from rich.text import Text

from genllava.protocols.task_tokens import I2I, I2T, T2I, TOOL
from genllava_agent import events
from genllava_agent.answers import compose
from genllava_agent.records import ImageRecord
from genllava_agent.reporting import one_line
from genllava_tools.picture_files import png_base64, png_bytes

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.reply import Reply

_PICTURE, _PREVIEW, _BAR = (48, 24), (24, 12), 24
"""Columns and rows, at most; and columns of a bar."""
CHUNK: Final = 4096
"""Characters of base64 that the kitty protocol allows in one piece; a multiple of 4."""
_TOKENS: Final = {"understand": I2T, "generate": T2I, "edit": I2I, "tool": TOOL}


class Screen:
    """Writes to a terminal, if it is `live`: text as it comes, progress, and pictures where they can be shown. Else a
    turn is written when it is over, in plain lines without a single escape code."""

    def __init__(self, live: bool, shows_pictures: bool = True) -> None:
        self.live = live
        settings: dict[str, Any] = {"soft_wrap": True, "markup": False, "highlight": False, "emoji": False}
        self._console = Console(file=sys.stdout, force_terminal=live, **settings)
        colors = self._console.color_system is not None and not self._console.no_color
        colors = colors and not self._console.options.ascii_only
        self._protocol = find_protocol(os.environ, colors) if live and shows_pictures else None
        self.options: dict[str, Any] = {} if self._protocol is None else {"previews": 8}  # of turns
        self._moving: Live | None = None
        self._preview: Text | None = None
        self._told: list[str] = []
        """What the model has said in this turn, word for word."""
        self._line_is_open = False

    # --- lines ---

    def say(self, text: str) -> None:
        """Write a line, or several."""
        self.settle()
        print(printable(text), flush=True)

    def note(self, text: str) -> None:
        """Write a line that is about the program or the turn, and not what the assistant says."""
        self.settle()
        if self.live:
            self._console.print(printable(text), style="dim")
        else:
            print(printable(text), file=sys.stderr, flush=True)

    def fail(self, text: str) -> None:
        """Write one line about what went wrong."""
        self.settle()
        print(f"error: {one_line(text)}", file=sys.stdout if self.live else sys.stderr, flush=True)

    def picture(self, image: Image.Image) -> bool:
        """Show a picture, if this terminal can."""
        self.settle()
        columns, rows = self._cells(image, _PICTURE)
        if self._protocol == "blocks":
            self._console.print(half_blocks(image, columns, rows))
        elif self._protocol is not None:
            print(kitty(image, columns) if self._protocol == "kitty" else iterm2(image, columns, rows), flush=True)
        return self._protocol is not None

    def settle(self) -> None:
        """Take away what moves, and end the line that is open."""
        if self._moving is not None:
            self._moving.stop()
            self._moving = self._preview = None
        if self._line_is_open:
            print(flush=True)
            self._line_is_open = False

    # --- turns ---

    def show(self, event: events.Event) -> None:
        """Show what a running turn tells."""
        match event:
            case events.TurnFinished():
                self._finished(event.reply)
            case _ if not self.live:
                pass
            case events.TurnStarted():
                self._told.clear()
                self._move("thinking")
            case events.ActionChosen():
                likely = event.probabilities.get(_TOKENS[event.kind])  # not in percent, as progress would be
                what = " ".join(filter(None, (event.tool or event.kind, event.image)))
                self.note(what if likely is None else f"{what}, probability {likely:.2f}")
                self._move("planning" if event.kind in ("generate", "edit") else "thinking")
            case events.PlanWritten():
                self.note(f"plan: {event.plan}" + (f" (from {event.source})" if event.source else ""))
                self._move("drawing")
            case events.Preview():
                filled = "=" * round(_BAR * event.step / max(1, event.total))
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self._move(f"drawing [{filled:{_BAR}}] {event.step}/{event.total}{again}", event.image)
            case events.Verified():
                if event.again:
                    self.note(f"attempt {event.attempt}: {event.unsure}; drawing it again")
                self._move("thinking")
            case events.ImageReady():
                self.picture(event.image)
                self.say(described(event.record))
                self._move("thinking")
            case events.TextDelta():
                if not self._line_is_open:
                    self.settle()
                    self._told.append("")
                self._told[-1] += event.text
                print(printable(event.text), end="", flush=True)
                self._line_is_open = True
            case events.ToolStarted():
                self._move(f"running {event.tool}")
            case events.ToolFinished():
                self.note(f"{event.tool}: {event.text}")

    def _finished(self, reply: Reply) -> None:
        """Write whatever of the turn has not been written yet."""
        self.settle()
        if reply.replaced is not None:
            self.note(f"This took the place of what waited for an answer: {reply.replaced.text}")
        shown = {picture.id: picture.record for picture in reply.images}
        for step in reply.steps:
            if not self.live and step.image in shown:
                self.say(described(shown[step.image]))
            unsure = f"I am not sure about {step.image}: {step.unsure}." if step.unsure else ""
            for line in (step.text, unsure) if step.outcome == "ok" else (compose([step], ""),):
                if line and not any(line.strip() in told for told in self._told):
                    self.say(line)
        if reply.stopped:
            self.say(f"Stopped early ({reply.stopped}): whatever else was asked for is not done.")
        told = compose(reply.steps, reply.stopped)
        if reply.pending is None and reply.text.startswith(f"{told} "):  # with what was left out
            self.say(reply.text.removeprefix(told).strip())
        self._told.clear()

    def _move(self, text: str, image: Image.Image | None = None) -> None:
        """Draw over the end of the output: a small picture, the last one if none is given, and a line under it."""
        if self._line_is_open:
            self.settle()
        if image is not None and self._protocol is not None:
            self._preview = half_blocks(image, *self._cells(image, _PREVIEW))
        if self._moving is None:
            still: dict[str, Any] = {"auto_refresh": False, "redirect_stdout": False, "redirect_stderr": False}
            self._moving = Live(console=self._console, transient=True, **still)
            self._moving.start()
        line = Text(printable(text), no_wrap=True, overflow="ellipsis")
        self._moving.update(Group(*filter(None, (self._preview, line))), refresh=True)

    def _cells(self, image: Image.Image, most: tuple[int, int]) -> tuple[int, int]:
        width, height = self._console.size
        return cells(image.size, max(1, min(most[0], width - 1)), max(1, min(most[1], height - 4)))


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


# --- pictures: real ones where a terminal has them (kitty, iTerm2), coloured half-blocks elsewhere ---


def find_protocol(environ: Mapping[str, str], colors: bool) -> Literal["kitty", "iterm2", "blocks"] | None:
    """The best way of showing pictures in a terminal with these environment variables, and maybe `colors` and more
    characters than ASCII; None if there is none."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    # Variables of the terminal outside get into tmux and screen; pictures do not get out.
    if not ({"TMUX", "STY"} & set(environ) or term.startswith(("screen", "tmux"))):
        if term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
            return "kitty"
        if program in ("iTerm.app", "WezTerm"):
            return "iterm2"
        if "KITTY_WINDOW_ID" in environ:
            return "kitty"
        if environ.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
    return "blocks" if colors else None


def cells(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """Columns and rows that a picture of `size` pixels takes, in its proportions and as large as fits; a character is
    taken to be twice as high as wide."""
    scale = min(columns / size[0], 2 * rows / size[1])
    return max(1, min(columns, round(size[0] * scale))), max(1, min(rows, round(size[1] * scale / 2)))


def kitty(image: Image.Image, columns: int) -> str:
    """The kitty graphics protocol: a PNG in pieces of base64, as high as its proportions ask for."""
    data, written = png_base64(image.convert("RGB")), ""
    for start in range(0, len(data), CHUNK):
        keys = "q=2" if start else f"a=T,f=100,q=2,c={columns}"
        written += f"\x1b_G{keys},m={int(start + CHUNK < len(data))};{data[start : start + CHUNK]}\x1b\\"
    return written


def iterm2(image: Image.Image, columns: int, rows: int) -> str:
    """iTerm2's inline pictures (OSC 1337): a PNG as base64."""
    data = png_bytes(image.convert("RGB"))
    size = f"size={len(data)};width={columns};height={rows}"
    return f"\x1b]1337;File=inline=1;{size};preserveAspectRatio=1:{base64.b64encode(data).decode()}\x07"


def half_blocks(image: Image.Image, columns: int, rows: int) -> Text:
    """Lines of half-blocks, each character two pixels, one above the other."""
    from PIL import Image

    how = Image.Resampling.BOX if columns < image.width else Image.Resampling.NEAREST
    small = image.convert("RGB").resize((columns, 2 * rows), how)
    pixels = [Color.from_rgb(*pixel) for pixel in zip(*[iter(small.tobytes())] * 3, strict=True)]
    text = Text(no_wrap=True)
    for top in range(0, len(pixels), 2 * columns):
        text.append("\n" if top else "")
        for upper, lower in zip(pixels[top : top + columns], pixels[top + columns : top + 2 * columns], strict=True):
            text.append("\N{UPPER HALF BLOCK}", Style(color=upper, bgcolor=lower))
    return text
