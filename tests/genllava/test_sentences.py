"""Requests as people type them, as the model reads them."""

from __future__ import annotations

import time

import pytest

from genllava.sentences import plain_sentences

LONG = "draw a circle and a star and a square and a diamond and a cross"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("draw  a circle ", "draw a circle"),
        ("draw a circle\nmake it blue\r\n\nis it blue?\nThanks", "draw a circle. make it blue. is it blue? Thanks"),
        (" Do this:\n  - draw a circle\n  * dye it\n  • remove it ", "Do this: draw a circle. dye it. remove it"),
        ("1. draw a circle\n2. make it blue, \n10) remove it", "draw a circle. make it blue, remove it"),
        ("Please 1) draw a circle 2) make it blue", "Please. draw a circle. make it blue"),
        ("make it (2) and 3) blue", "make it (2) and 3) blue"),
        (f"{LONG} and a\nred ring\nmake it blue", f"{LONG} and a red ring. make it blue"),
        (f"{LONG}\nMake it blue", f"{LONG}. Make it blue"),
        (f"- {LONG}\n- make it blue", f"{LONG}. make it blue"),
        ("draw a circle -> dye it => count | stop", "draw a circle. dye it. count. stop"),
        ("draw a circle—then a star – or two--or three", "draw a circle, then a star, or two, or three"),
        (
            "a star-shaped thing, make it red - only in picture 2",
            "a star-shaped thing, make it red - only in picture 2",
        ),
        ("what’s in ‘image_2’, or `picture #3`?!?", "what's in image 2, or picture 3?"),
        ("all the stars' colour, and 'red circle'", "all the stars' colour, and red circle"),
        ("a circle + a star & a cross… now!!!", "a circle and a star & a cross. now!"),
        ("draw a star\N{ARTIST PALETTE}\N{VARIATION SELECTOR-16}", "draw a star  "),
        ("\N{ARTIST PALETTE}", "\N{ARTIST PALETTE}"),
        (" *** ", " *** "),
        ("zeichne einen größeren Kreis", "zeichne einen größeren Kreis"),
    ],
)
def test_what_the_model_reads(text: str, said: str) -> None:
    assert plain_sentences(text) == said


@pytest.mark.parametrize("piece", ["!", "?!", "-", " ", "' ", "‘", "\n", "a\n", "1) ", "x_", "- ", ".", "=>", "*"])
def test_long_texts_take_no_longer_for_what_they_are_of(piece: str) -> None:
    began = time.process_time()
    plain_sentences(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 10
