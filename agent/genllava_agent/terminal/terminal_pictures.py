"""Pictures inside of a terminal: real ones where it has them (kitty, iTerm2, sixel), coloured half-blocks elsewhere.

The encoders are functions of a picture and give a string; what a terminal can do is found out by `find_protocol`.
"""

from __future__ import annotations

import base64
import io
import os
import re
import select
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, TextIO

if TYPE_CHECKING:
    from PIL import Image

Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]

CHUNK: Final = 4096
"""Characters of base64 that the kitty protocol allows in one piece; a multiple of 4."""
_CELL: Final = (10, 20)
"""Width and height of a character in pixels, where the terminal does not say."""
_ANSWER_WITHIN: Final = 0.25
"""Seconds that a terminal has to say what it can do."""
_CUBE: Final = (0, 95, 135, 175, 215, 255)
"""Levels of the 6x6x6 colours among the 256."""
_UPPER_HALF: Final = "\N{UPPER HALF BLOCK}"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as text; printed at the start of a line, it leaves the cursor at the start of the row under it.

    Attributes:
        text: with all its escape codes.
        rows: of the terminal that it takes; 0 where that is not known, so that it cannot be drawn over.
    """

    text: str
    rows: int


@dataclass(frozen=True, slots=True)
class TerminalPictures:
    """How a terminal shows pictures.

    Attributes:
        protocol: None shows none.
        truecolor: 24-bit colours, and not 256.
    """

    protocol: Protocol | None
    truecolor: bool = True

    @classmethod
    def of(cls, typed: TextIO, out: TextIO, environ: Mapping[str, str] = os.environ) -> TerminalPictures:
        """How the terminal behind `out` does, which `typed` is read from; not at all if there is none."""
        if not (typed.isatty() and out.isatty()):
            return cls(None)
        protocol = find_protocol(environ, lambda: ask_attributes(typed, out))
        if protocol == "blocks" and not _can_encode(out):
            protocol = None
        return cls(protocol, environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"))

    @property
    def redraws(self) -> bool:
        """Whether a picture can be drawn over another one, in place."""
        return self.protocol not in (None, "sixel")

    def drawn(self, image: Image.Image, columns: int, rows: int, number: int | None = None) -> Drawn | None:
        """`image` within so many columns and rows, and within the terminal; None where none are shown.

        Args:
            number: by which kitty knows it, so that another one of that number takes its place.
        """
        if self.protocol is None:
            return None
        width, height = shutil.get_terminal_size()
        columns, rows = min(columns, width - 1), min(rows, height - 4)
        if columns < 1 or rows < 1:
            return None
        if self.protocol == "blocks":
            columns, rows = cells(image.size, columns, rows, (1, 2))
            text = half_blocks(_resized(image, columns, 2 * rows), self.truecolor)
            return Drawn(text.replace("\n", "\r\n") + "\r\n", rows)
        size = _cell_size()
        columns, rows = cells(image.size, columns, rows, size)
        if self.protocol == "sixel":
            return Drawn(sixel(_resized(image, columns * size[0], rows * size[1])) + "\r\n", 0)
        code = kitty(image, columns, rows, number) if self.protocol == "kitty" else iterm2(image, columns, rows)
        # Room is made first, since some terminals would scroll in the middle of a picture and some would not.
        return Drawn("\r\n" * rows + f"\x1b[{rows}A\x1b7{code}\x1b8\x1b[{rows}B\r", rows)

    def forget(self, number: int) -> str:
        """What takes the picture of this number off the screen, where erasing its characters does not."""
        return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\" if self.protocol == "kitty" else ""


# --- what a terminal can do ---


def find_protocol(environ: Mapping[str, str], ask: Callable[[], str]) -> Protocol | None:
    """The best way of showing pictures in a terminal.

    Args:
        environ: its environment variables.
        ask: gives its answer to what it can do (`ESC [ ? 1 ; 2 c`); called only if the environment does not tell.
    """
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if term in ("", "dumb"):
        return None
    # Variables of the terminal outside get into tmux and screen; pictures get out only as sixel, if at all.
    if not ({"TMUX", "STY"} & set(environ) or term.startswith(("screen", "tmux"))):
        if term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
            return "kitty"
        if program in ("iTerm.app", "WezTerm"):
            return "iterm2"
        if "KITTY_WINDOW_ID" in environ:
            return "kitty"
        if environ.get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
        if "sixel" in term or term.startswith(("foot", "mlterm")):
            return "sixel"
    if has_sixel(ask()):
        return "sixel"
    return None if environ.get("NO_COLOR") else "blocks"


def has_sixel(attributes: str) -> bool:
    """Whether a terminal's answer names sixel graphics, attribute 4."""
    found = re.search(r"\x1b\[\?([\d;]+)c", attributes)
    return found is not None and "4" in found[1].split(";")[1:]


def ask_attributes(typed: TextIO, out: TextIO) -> str:
    """The terminal's own word on what it can do; empty where it does not answer, or the user is typing already."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return ""
    try:
        descriptor = typed.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return ""
    answer = b""
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        if select.select([descriptor], [], [], 0)[0]:
            return ""  # reading on would take what was typed
        out.write("\x1b[c")
        out.flush()
        deadline = time.monotonic() + _ANSWER_WITHIN
        while not answer.endswith(b"c") and select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0]:
            answer += os.read(descriptor, 64)
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
    return answer.decode("ascii", "replace")


def _can_encode(out: TextIO) -> bool:
    try:
        _UPPER_HALF.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _cell_size() -> tuple[int, int]:
    """Width and height of a character in pixels."""
    try:
        import fcntl
        import struct
        import termios

        size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
        rows, columns, width, height = struct.unpack("HHHH", size)
    except (ImportError, OSError, ValueError):
        return _CELL
    return (width // columns, height // rows) if columns and rows and width >= columns and height >= rows else _CELL


# --- encoders ---


def cells(size: tuple[int, int], columns: int, rows: int, cell: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows that a picture of `size` pixels takes, in its proportions and as large as fits.

    Args:
        columns, rows: at most.
        cell: width and height of a character.
    """
    scale = min(columns * cell[0] / size[0], rows * cell[1] / size[1])
    wide, high = round(size[0] * scale / cell[0]), round(size[1] * scale / cell[1])
    return max(1, min(columns, wide)), max(1, min(rows, high))


def kitty(image: Image.Image, columns: int, rows: int, number: int | None = None) -> str:
    """The kitty graphics protocol: a PNG in pieces of base64. The cursor stays where it is."""
    data = base64.b64encode(_png(image)).decode()
    pieces = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    name = "" if number is None else f",i={number}"
    keys = [f"a=T,f=100,C=1,q=2,c={columns},r={rows}{name},", *("q=2," for _ in pieces[1:])]
    more = [*(1 for _ in pieces[1:]), 0]
    return "".join(f"\x1b_G{k}m={m};{piece}\x1b\\" for k, m, piece in zip(keys, more, pieces, strict=True))


def iterm2(image: Image.Image, columns: int, rows: int) -> str:
    """iTerm2's inline pictures (OSC 1337): a PNG as base64."""
    data = _png(image)
    size = f"size={len(data)};width={columns};height={rows}"
    return f"\x1b]1337;File=inline=1;{size};preserveAspectRatio=1:{base64.b64encode(data).decode()}\x07"


def sixel(image: Image.Image, colors: int = 256) -> str:
    """Sixel graphics, in so many colours of the picture's own."""
    import numpy as np
    from PIL import Image

    paletted = image.convert("RGB").quantize(colors, dither=Image.Dither.NONE)
    pixels, palette = np.asarray(paletted), paletted.getpalette() or []
    height, width = pixels.shape
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    for index in np.unique(pixels).tolist():
        red, green, blue = (round(level * 100 / 255) for level in palette[3 * index : 3 * index + 3])
        parts.append(f"#{index};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = pixels[top : top + 6]
        weights = (1 << np.arange(len(band)))[:, None]
        lines = [
            f"#{index}" + _runs(bytes((63 + ((band == index) * weights).sum(0)).astype(np.uint8)).decode())
            for index in np.unique(band).tolist()
        ]
        parts.append("$".join(lines) + "-")
    return "".join(parts) + "\x1b\\"


def half_blocks(image: Image.Image, truecolor: bool) -> str:
    """Lines of half-blocks, each character two pixels, one above the other; an odd last row stands alone."""
    pixels = image.convert("RGB")
    paint = _rgb if truecolor else _indexed
    lines = []
    for top in range(0, pixels.height, 2):
        line, before = "", ("", "")
        for x in range(pixels.width):
            upper = "38;" + paint(_pixel(pixels, x, top))
            lower = "48;" + paint(_pixel(pixels, x, top + 1)) if top + 1 < pixels.height else "49"
            changed = ";".join(code for code, old in zip((upper, lower), before, strict=True) if code != old)
            line += (f"\x1b[{changed}m" if changed else "") + _UPPER_HALF
            before = (upper, lower)
        lines.append(line + "\x1b[0m")
    return "\n".join(lines)


def nearest_of_256(red: int, green: int, blue: int) -> int:
    """The index of the colour that is nearest, among those of the 256 that every terminal shows alike."""
    levels = [min(range(6), key=lambda i, v=value: abs(_CUBE[i] - v)) for value in (red, green, blue)]  # type: ignore[misc]
    grey = min(23, max(0, round(((red + green + blue) / 3 - 8) / 10)))
    in_cube = sum((_CUBE[i] - value) ** 2 for i, value in zip(levels, (red, green, blue), strict=True))
    in_greys = sum((8 + 10 * grey - value) ** 2 for value in (red, green, blue))
    return 232 + grey if in_greys < in_cube else 16 + 36 * levels[0] + 6 * levels[1] + levels[2]


def _runs(line: str) -> str:
    """Sixels with repeats counted, and without the empty ones at the end."""
    parts = []
    for char, group in groupby(line.rstrip("?")):
        count = len(list(group))
        parts.append(f"!{count}{char}" if count > 3 else char * count)
    return "".join(parts)


def _rgb(color: tuple[int, int, int]) -> str:
    return "2;{};{};{}".format(*color)


def _indexed(color: tuple[int, int, int]) -> str:
    return f"5;{nearest_of_256(*color)}"


def _pixel(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    color = image.getpixel((x, y))
    assert isinstance(color, tuple)
    red, green, blue = color
    return int(red), int(green), int(blue)


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    from PIL import Image

    return image.convert("RGB").resize((width, height), Image.Resampling.BOX if width < image.width else 1)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG")
    return file.getvalue()
