"""Pictures inside of a terminal: real ones where it has them (kitty, iTerm2), coloured half-blocks elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from rich.color import Color
from rich.style import Style
from rich.text import Text

from genllava_agent.pages.markup import png_bytes

if TYPE_CHECKING:
    from PIL import Image

CHUNK: Final = 4096
"""Characters of base64 that the kitty protocol allows in one piece; a multiple of 4."""


def find_protocol(environ: Mapping[str, str], colors: bool) -> Literal["kitty", "iterm2", "blocks"] | None:
    """The best way of showing pictures in a terminal with these environment variables; None if there is none.

    Args:
        colors: whether it shows colours, and characters that are not ASCII.
    """
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
    data, written = base64.b64encode(png_bytes(image.convert("RGB"))).decode(), ""
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
