"""The contact sheet: everything is on it, inside its borders, and no word is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from genllava_agent.demo import COLUMNS, SIDE, Tile, contact_sheet, wrap

FONT = ImageFont.load_default(16)


@given(text=st.text(st.characters(codec="latin-1"), max_size=300), width=st.integers(30, 400))
@settings(max_examples=60, deadline=None)
def test_wrapping_keeps_every_character_and_the_width(text: str, width: int) -> None:
    lines = wrap(text, FONT, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(FONT.getlength(line) <= width or len(line) == 1 for line in lines)


def test_all_pictures_are_on_the_sheet() -> None:
    colors = [(220 - 10 * k, 20 + 5 * k, 30 * k) for k in range(2 * COLUMNS - 1)]
    tiles = tuple(Tile(f"number {k}", image=Image.new("RGB", (9, 9), color)) for k, color in enumerate(colors))
    pixels = np.asarray(contact_sheet({"Colours": tiles})).reshape(-1, 3)
    for color in colors:
        assert (pixels == color).all(axis=1).sum() >= SIDE * SIDE * 0.95


def test_the_sheet_grows_with_its_words_and_leaves_its_border_clean() -> None:
    picture = Tile("wide", "a word " * 60, Image.new("L", (300, 20)))
    short = contact_sheet({"One": (picture, Tile("asked", "no " * 500))})
    long = contact_sheet({"One": (picture,), "Two": [Tile(f"question {k}?", "answer " * 90) for k in range(9)]})
    assert long.height > short.height
    for sheet in (short, long):
        frame = np.asarray(sheet)
        edges = np.concatenate([frame[:12].reshape(-1, 3), frame[-12:].reshape(-1, 3), frame[:, -12:].reshape(-1, 3)])
        assert (edges == frame[0, 0]).all()
