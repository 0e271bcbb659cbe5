"""Pictures in a terminal: every encoding is read back, and what is drawn in place leaves nothing behind."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from genllava_agent.terminal import terminal_pictures
from genllava_agent.terminal.chat_screen import _Moving
from genllava_agent.terminal.terminal_pictures import (
    CHUNK,
    TerminalPictures,
    ask_attributes,
    cells,
    find_protocol,
    half_blocks,
    has_sixel,
    iterm2,
    kitty,
    nearest_of_256,
    sixel,
)


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


def read_sixel(text: str) -> Image.Image:
    """What a terminal makes of it; pixels that are not painted are magenta."""
    found = re.fullmatch(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.S)
    assert found, text[:60]
    width, height = int(found[1]), int(found[2])
    pixels = np.full((-(-height // 6) * 6, width, 3), (255, 0, 255), np.uint8)
    palette: dict[int, tuple[int, ...]] = {}
    x = top = color = 0
    body, at = found[3], 0
    while at < len(body):
        if match := re.compile(r"#(\d+);2;(\d+);(\d+);(\d+)").match(body, at):
            assert all(0 <= int(level) <= 100 for level in match.groups()[1:])
            palette[int(match[1])] = tuple(round(int(level) * 255 / 100) for level in match.groups()[1:])
        elif match := re.compile(r"#(\d+)").match(body, at):
            color = int(match[1])
        elif match := re.compile(r"(?:!(\d+))?([?-~])").match(body, at):
            count = int(match[1] or 1)
            assert x + count <= width
            for bit in range(6):
                if (ord(match[2]) - 63) >> bit & 1:
                    pixels[top + bit, x : x + count] = palette[color]
            x += count
        elif match := re.compile(r"[$-]").match(body, at):
            x, top = 0, top + 6 * (match[0] == "-")
        else:
            raise AssertionError(f"not sixel: {body[at : at + 20]!r}")
        at = match.end()
    return Image.fromarray(pixels[:height])


def read_half_blocks(text: str) -> list[list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """For every character its codes of the upper and of the lower half; (49,) is the terminal's own background."""
    rows = []
    for line in text.split("\n"):
        assert line.endswith("\x1b[0m")
        row, upper, lower = [], (), ()
        for codes, char in re.findall(r"\x1b\[([\d;]*)m|(.)", line.removesuffix("\x1b[0m")):
            if char:
                assert char == "▀"
                row.append((upper, lower))
            rest = codes.split(";") if codes else []
            while rest:
                length = {"2": 5, "5": 3}[rest[1]] if rest[0] in ("38", "48") else 1
                if rest[0] == "38":
                    upper = tuple(rest[1:length])
                else:
                    lower = tuple(rest[1:length]) or ("49",)
                rest = rest[length:]
        rows.append(row)
    return rows


# --- encoders ---


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (128, 128)])
def test_kitty_sends_the_picture_in_pieces(size: tuple[int, int]) -> None:
    text = kitty(picture(*size), 30, 15)
    image, keys = read_kitty(text)
    assert same(image, picture(*size))
    assert (keys["a"], keys["f"], keys["c"], keys["r"], keys["C"], keys["q"]) == ("T", "100", "30", "15", "1", "2")
    assert "i" not in keys
    assert (text.count("\x1b_G") > 1) == (size == (128, 128))


def test_kitty_numbers_a_picture_that_is_replaced() -> None:
    assert read_kitty(kitty(picture(4, 4), 2, 1, 9))[1]["i"] == "9"
    assert "i=9" in TerminalPictures("kitty").forget(9)
    assert TerminalPictures("blocks").forget(9) == ""


def test_iterm2_sends_the_picture_with_its_size() -> None:
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", iterm2(picture(60, 40), 30, 10))
    assert found
    keys, data = dict(pair.split("=") for pair in found[1].split(";")), base64.b64decode(found[2], validate=True)
    assert same(Image.open(io.BytesIO(data)), picture(60, 40))
    assert (keys["inline"], keys["width"], keys["height"]) == ("1", "30", "10")
    assert int(keys["size"]) == len(data)


@pytest.mark.parametrize("size", [(1, 1), (5, 6), (30, 13), (64, 48)])
def test_sixel_shows_few_colours_as_they_are(size: tuple[int, int]) -> None:
    few = picture(*size).quantize(40).convert("RGB")
    read = read_sixel(sixel(few))
    assert read.size == size
    assert np.abs(np.asarray(read, int) - np.asarray(few, int)).max() <= 2, "levels are in hundredths"


def test_sixel_chooses_its_colours_by_the_picture() -> None:
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    planes = [np.tile(ramp, (60, 1)), np.tile(ramp[:60, None], (1, 96)), np.full((60, 96), 90, np.uint8)]
    image = Image.fromarray(np.stack(planes, -1))
    error = np.abs(np.asarray(read_sixel(sixel(image)), int) - np.asarray(image, int))
    assert error.mean() < 6
    coarse = np.abs(np.asarray(read_sixel(sixel(image, colors=8)), int) - np.asarray(image, int))
    assert coarse.mean() > 2 * error.mean()


def test_sixel_counts_repeats() -> None:
    assert len(sixel(Image.new("RGB", (300, 300), "red"))) < 1000


@pytest.mark.parametrize("size", [(1, 1), (9, 4), (9, 5), (20, 20)])
def test_half_blocks_have_two_pixels_each(size: tuple[int, int]) -> None:
    image = picture(*size)
    rows = read_half_blocks(half_blocks(image, truecolor=True))
    assert (len(rows), {len(row) for row in rows}) == (-(-size[1] // 2), {size[0]})
    for y, row in enumerate(rows):
        for x, halves in enumerate(row):
            for half, code in enumerate(halves):
                if 2 * y + half < size[1]:
                    color = image.getpixel((x, 2 * y + half))
                    assert isinstance(color, tuple)
                    assert code == ("2", *map(str, color))
                else:
                    assert code == ("49",)


def test_half_blocks_in_256_colours() -> None:
    ((halves,),) = read_half_blocks(half_blocks(Image.new("RGB", (1, 2), (255, 0, 0)), truecolor=False))
    assert halves == (("5", "196"), ("5", "196"))


@pytest.mark.parametrize(
    ("color", "index"),
    [((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196), ((95, 135, 175), 67), ((128, 128, 128), 244)],
)
def test_the_nearest_of_the_256_colours(color: tuple[int, int, int], index: int) -> None:
    assert nearest_of_256(*color) == index


def test_half_blocks_name_a_colour_only_where_it_changes() -> None:
    assert half_blocks(Image.new("RGB", (50, 2), "red"), truecolor=True).count("\x1b") == 2


@pytest.mark.parametrize(
    ("size", "columns", "rows", "cell", "expected"),
    [
        ((128, 128), 48, 24, (1, 2), (48, 24)),
        ((128, 128), 20, 24, (1, 2), (20, 10)),
        ((200, 50), 40, 20, (10, 20), (40, 5)),
        ((1, 1000), 40, 20, (10, 20), (1, 20)),
        ((1000, 1), 40, 20, (10, 20), (40, 1)),
    ],
)
def test_pictures_keep_their_proportions(
    size: tuple[int, int], columns: int, rows: int, cell: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert cells(size, columns, rows, cell) == expected


# --- what a terminal can do ---


@pytest.mark.parametrize(
    ("environ", "answer", "expected"),
    [
        ({"TERM": "xterm-kitty"}, None, "kitty"),
        ({"TERM": "xterm-ghostty"}, None, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, None, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, None, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm", "KITTY_WINDOW_ID": "1"}, None, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, None, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, None, "iterm2"),
        ({"TERM": "foot"}, None, "sixel"),
        ({"TERM": "mlterm-256color"}, None, "sixel"),
        ({"TERM": "xterm-sixel"}, None, "sixel"),
        ({"TERM": "xterm-256color"}, "\x1b[?62;4;22c", "sixel"),
        ({"TERM": "xterm-256color"}, "\x1b[?64;1;2c", "blocks"),
        ({"TERM": "xterm-256color"}, "", "blocks"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "", None),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "", "blocks"),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, None, "kitty"),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"}, "", "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, "\x1b[?1;4c", "sixel"),
        ({"TERM": "dumb"}, None, None),
        ({}, None, None),
    ],
)
def test_the_protocol_of_a_terminal(environ: dict[str, str], answer: str | None, expected: str | None) -> None:
    def ask() -> str:
        assert answer is not None, "asked although the environment tells"
        return answer

    assert find_protocol(environ, ask) == expected


def test_sixel_is_attribute_4_and_not_a_terminal_of_class_4() -> None:
    assert has_sixel("\x1b[?63;1;4c")
    assert not has_sixel("\x1b[?4;6c")
    assert not has_sixel("\x1b[?64;14;44c")
    assert not has_sixel("4;4;4")


def test_without_a_terminal_there_are_no_pictures() -> None:
    pictures = TerminalPictures.of(io.StringIO(), io.StringIO(), {"TERM": "xterm-kitty"})
    assert pictures.protocol is None
    assert pictures.drawn(picture(8, 8), 10, 10) is None


class Line:
    """Both ends of a pseudo-terminal; `said` is what the program wrote."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        self.stdin, self.stdout = os.fdopen(theirs, "r"), os.fdopen(os.dup(theirs), "w")
        self.said = b""

    def answers(self, answer: bytes) -> threading.Thread:
        """A terminal that answers when it is asked."""

        def answer_once() -> None:
            while not self.said.endswith(b"\x1b[c"):
                self.said += os.read(self.ours, 100)
            os.write(self.ours, answer)

        thread = threading.Thread(target=answer_once, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.stdin.close()
    line.stdout.close()
    os.close(line.ours)


def test_a_terminal_is_asked_for_what_it_can_do(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_pictures, "_ANSWER_WITHIN", 20.0)
    asked = line.answers(b"\x1b[?62;4c")
    assert TerminalPictures.of(line.stdin, line.stdout, {"TERM": "xterm-256color"}).protocol == "sixel"
    asked.join()
    os.write(line.ours, b"hello\n")
    assert line.stdin.readline() == "hello\n", "the terminal reads lines as before"


def test_a_terminal_that_does_not_answer_is_not_waited_for_long(line: Line) -> None:
    assert ask_attributes(line.stdin, line.stdout) == ""


def test_what_is_typed_ahead_is_left_for_the_prompt(line: Line) -> None:
    os.write(line.ours, b"draw a red circle\n")
    assert ask_attributes(line.stdin, line.stdout) == ""
    assert line.stdin.readline() == "draw a red circle\n"


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


@pytest.mark.parametrize("protocol", ["blocks", "kitty", "iterm2", "sixel"])
@pytest.mark.parametrize("above", [1, 20], ids=["at the top", "at the bottom"])
def test_what_moves_is_drawn_over_and_goes_without_a_trace(
    protocol: terminal_pictures.Protocol, above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    grid, pictures = Grid(60, 24), TerminalPictures(protocol)
    moving = _Moving(pictures)
    written = [f"line {number}" for number in range(above)]
    grid.feed("".join(f"{line}\r\n" for line in written))
    rows = 0
    for step in range(1, 5):
        image = None if step == 1 else picture(64, 64, step)
        grid.feed(moving.drawn("drawing " + "x" * 20 * step, image))
        rows = 12 if protocol == "blocks" and image is not None else 0
        lines = grid.lines()
        assert lines[-1] == ("drawing " + "x" * 20 * step)[:59]
        assert sum("▀" in line for line in lines) == rows
        shown = [line for line in lines if line.startswith("line")]
        assert shown == written[-len(shown) :]
        assert len(shown) >= min(above, 11), "no more is scrolled away than the picture needs"
    grid.feed(moving.cleared())
    assert grid.lines() == shown
    grid.feed("done\r\n")
    assert grid.lines() == [*shown, "done"]
    assert moving.cleared() == ""


def test_a_picture_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "12")
    drawn = TerminalPictures("blocks").drawn(picture(64, 64), 48, 24)
    assert drawn is not None
    assert drawn.rows == 8
    assert max(len(row) for row in read_half_blocks(drawn.text.removesuffix("\r\n").replace("\r\n", "\n"))) == 16
    monkeypatch.setenv("LINES", "3")
    assert TerminalPictures("blocks").drawn(picture(64, 64), 48, 24) is None
