"""Pictures in a terminal: every encoding is read back, and what is drawn in place leaves nothing behind."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from genllava_agent import events
from genllava_agent.records import ImageRecord
from genllava_agent.terminal.chat_screen import CHUNK, Screen, cells, find_protocol, half_blocks, iterm2, kitty


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture that no two encoders would confuse: noise, which PNG cannot shrink, with a plain corner."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = (200, 30, 40)
    return Image.fromarray(pixels)


def same(image: Image.Image, other: Image.Image) -> bool:
    return image.size == other.size and image.convert("RGB").tobytes() == other.convert("RGB").tobytes()


# --- reading back ---


def read_kitty(text: str) -> tuple[Image.Image, dict[str, str]]:
    """The picture of one transmission, and the keys of its first piece."""
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in pieces) == text, "something is between the pieces"
    assert all(len(data) <= CHUNK and len(data) % 4 == 0 for _, data in pieces)
    keys = [dict(pair.split("=") for pair in keys.split(",")) for keys, _ in pieces]
    assert [k["m"] for k in keys] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(set(k) <= {"m", "q"} for k in keys[1:])
    data = base64.b64decode("".join(data for _, data in pieces), validate=True)
    return Image.open(io.BytesIO(data)), keys[0]


def read_half_blocks(image: Image.Image, columns: int, rows: int, colors: str) -> list[list[tuple[str, str]]]:
    """For every character the codes of the colours of its upper and of its lower half, as a terminal gets them."""
    file = io.StringIO()
    system = {"24 bits": "truecolor", "256": "256"}[colors]
    console = Console(file=file, force_terminal=True, color_system=system, width=200, legacy_windows=False)
    console.print(half_blocks(image, columns, rows))
    read = []
    for line in file.getvalue().splitlines():
        found = re.findall(r"\x1b\[38;([\d;]+?);48;([\d;]+)m(▀+)\x1b\[0m", line)
        read.append([(upper, lower) for upper, lower, run in found for _ in run])
        assert sum(map(len, (run for *_, run in found))) == line.count("▀")
    return read


# --- encoders ---


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (128, 128)])
def test_kitty_sends_the_picture_in_pieces(size: tuple[int, int]) -> None:
    text = kitty(picture(*size), 30)
    image, keys = read_kitty(text)
    assert same(image, picture(*size))
    assert (keys["a"], keys["f"], keys["c"], keys["q"]) == ("T", "100", "30", "2")
    assert (text.count("\x1b_G") > 1) == (size == (128, 128))


def test_iterm2_sends_the_picture_with_its_size() -> None:
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", iterm2(picture(60, 40), 30, 10))
    assert found
    keys, data = dict(pair.split("=") for pair in found[1].split(";")), base64.b64decode(found[2], validate=True)
    assert same(Image.open(io.BytesIO(data)), picture(60, 40))
    assert (keys["inline"], keys["width"], keys["height"]) == ("1", "30", "10")
    assert int(keys["size"]) == len(data)


@pytest.mark.parametrize("size", [(1, 2), (9, 4), (20, 20)])
def test_half_blocks_have_two_pixels_each(size: tuple[int, int]) -> None:
    image = picture(*size)
    rows = read_half_blocks(image, size[0], size[1] // 2, "24 bits")
    assert (len(rows), {len(row) for row in rows}) == (size[1] // 2, {size[0]})
    for y, row in enumerate(rows):
        for x, halves in enumerate(row):
            for half, code in enumerate(halves):
                color = image.getpixel((x, 2 * y + half))
                assert isinstance(color, tuple)
                assert code == ";".join(map(str, (2, *color)))


def test_half_blocks_in_256_colours() -> None:
    assert read_half_blocks(Image.new("RGB", (1, 2), (255, 0, 0)), 1, 1, "256") == [[("5;196", "5;196")]]


@pytest.mark.parametrize(
    ("size", "columns", "rows", "expected"),
    [
        ((128, 128), 48, 24, (48, 24)),
        ((128, 128), 20, 24, (20, 10)),
        ((200, 50), 40, 20, (40, 5)),
        ((1, 1000), 40, 20, (1, 20)),
        ((1000, 1), 40, 20, (40, 1)),
    ],
)
def test_pictures_keep_their_proportions(
    size: tuple[int, int], columns: int, rows: int, expected: tuple[int, int]
) -> None:
    assert cells(size, columns, rows) == expected


# --- what a terminal can do ---


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm", "KITTY_WINDOW_ID": "1"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "blocks"),
    ],
)
def test_the_protocol_of_a_terminal(environ: dict[str, str], expected: str) -> None:
    assert find_protocol(environ, colors=True) == expected
    assert find_protocol(environ, colors=False) == (None if expected == "blocks" else expected)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a plain terminal of 60 columns and 24 rows, which a test may change."""
    for name in ("KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL", "TMUX", "STY", "NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "60", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_where_there_are_no_colours_or_no_terminal_there_are_no_pictures(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for screen in (Screen(False), Screen(True, shows_pictures=False)):
        assert not screen.picture(picture(8, 8))
        assert screen.options == {}
    assert Screen(True).options == {"previews": 8}
    terminal.setenv("NO_COLOR", "1")
    assert not Screen(True).picture(picture(8, 8))
    assert capsys.readouterr().out == ""
    terminal.setenv("TERM", "xterm-kitty")
    assert Screen(True).picture(picture(8, 8))


# --- on the screen ---


class Grid:
    """As much of a terminal as is needed to see what stays on the screen."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [" " * width for _ in range(height)]
        self.x = self.y = 0
        self.saved = (0, 0)

    def feed(self, text: str) -> None:
        codes = r"\x1b\[([\d;?]*)([A-Za-z])|\x1b([78])|\x1b[_P][^\x1b]*\x1b\\|\x1b\][^\x07]*\x07|(.)"
        for values, letter, keep, char in re.findall(codes, text, re.S):
            count = int(values or 1) if letter in ("A", "B") else 0
            if letter == "A":
                self.y = max(0, self.y - count)
            elif letter == "B":
                self.y = min(self.height - 1, self.y + count)
            elif letter in ("K", "J"):
                self.rows[self.y] = self.rows[self.y][: self.x].ljust(self.width)
                for below in range(self.y + 1, self.height if letter == "J" else 0):
                    self.rows[below] = " " * self.width
            elif keep == "7":
                self.saved = (self.x, self.y)
            elif keep == "8":
                self.x, self.y = self.saved
            elif char == "\r":
                self.x = 0
            elif char == "\n":
                self.y += 1
                if self.y == self.height:
                    self.rows, self.y = [*self.rows[1:], " " * self.width], self.height - 1
            elif char:
                assert self.x < self.width, "a line is too long for the screen"
                self.rows[self.y] = self.rows[self.y][: self.x] + char + self.rows[self.y][self.x + 1 :]
                self.x += 1

    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


def drawing(step: int) -> events.Preview:
    return events.Preview(step, 20, 1, None if step == 1 else picture(64, 64, step))


@pytest.mark.parametrize("term", ["xterm-256color", "xterm-kitty"])
@pytest.mark.parametrize("above", [1, 20], ids=["at the top", "at the bottom"])
def test_what_moves_is_drawn_over_and_goes_without_a_trace(
    term: str, above: int, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("TERM", term)
    grid, screen = Grid(60, 24), Screen(True)

    def lines() -> list[str]:
        grid.feed(capsys.readouterr().out.replace("\n", "\r\n"))
        return grid.lines()

    written = [f"line {number}" for number in range(above)]
    screen.say("\n".join(written))
    for step in range(1, 5):
        screen.show(drawing(step))
        now = lines()
        assert re.fullmatch(rf"drawing \[=* *\] {step}/20", now[-1])
        assert sum("▀" in line for line in now) == (0 if step == 1 else 12)
        shown = [line for line in now if line.startswith("line")]
        assert shown == written[-len(shown) :]
        assert len(shown) >= min(above, 11), "no more is scrolled away than the picture needs"
    screen.settle()
    left = lines()
    assert left == written[-len(left) :], "the picture is gone"
    assert len(left) >= min(above, 10)
    record = ImageRecord(id="image_1", key="0" * 64, width=64, height=64, origin="generate", turn=1, plan="noise")
    screen.show(events.ImageReady(record, picture(64, 64)))
    screen.settle()
    assert lines()[-1] == "image_1: noise"


def test_a_probability_does_not_look_like_progress(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(True).show(events.ActionChosen("edit", {"[I2I]": 0.984, "[I2T]": 0.016}, image="image_2"))
    said = capsys.readouterr().out
    assert "edit image_2, probability 0.98" in said
    assert "%" not in said


def test_a_picture_fits_into_the_terminal(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.setenv("COLUMNS", "30")
    terminal.setenv("LINES", "12")
    assert Screen(True).picture(picture(64, 64))
    rows = [line.count("▀") for line in capsys.readouterr().out.splitlines()]
    assert rows == [16] * 8
