"""Requests as people type them, as the model reads them."""

from __future__ import annotations

import time

import pytest

from genllava.protocols.shapes.sentences import plain_sentences

LONG = "draw a circle and a star and a square and a diamond and a cross"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("draw  a circle ", "draw a circle"),
        ("draw a circle\nmake it blue\r\n\nis it blue?\nThanks", "draw a circle. make it blue. is it blue? Thanks"),
        (" Do this:\n  - draw a circle\n  * dye it\n  • remove it ", "Do this: draw a circle. dye it. remove it"),
        ("1. draw a circle\n2. make it blue, \n10) remove it", "draw a circle. make it blue, remove it"),
        ("draw a circle\\ndye it", "draw a circle. dye it"),
        ("draw a circle\\\\ndye it", "draw a circle. dye it"),
        ("see image 1) dye it", "see image 1) dye it"),
        ("Please 1) draw a circle 2) make it blue", "Please. draw a circle. make it blue"),
        ("make it (2) and 3) blue", "make it (2) and 3) blue"),
        ("the shape (in image 1) and (in image 2) blue", "the shape (in image 1) and (in image 2) blue"),
        ("dye it (in image 1)\n2. row from the top", "dye it (in image 1). 2. row from the top"),
        ("a line\n---\n  >\nanother", "a line. another"),
        ("+ draw a circle\n+ dye it", "draw a circle. dye it"),
        ('"is it blue?"\n**Now:**\n-> dye it…\nstop', "is it blue? Now: dye it. stop"),
        ("draw a circle and\na star\nor a cross", "draw a circle and a star or a cross"),
        (f"{LONG} and a\nred ring\nmake it blue", f"{LONG} and a red ring. make it blue"),
        (f"{LONG}\nMake it blue", f"{LONG}. Make it blue"),
        (f"{LONG}\n\nmake it blue", f"{LONG}. make it blue"),
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
        ("draw a star\N{ARTIST PALETTE}\N{VARIATION SELECTOR-16} then stop", "draw a star then stop"),
        ("draw a circle \N{BLACK RIGHTWARDS ARROW}\N{VARIATION SELECTOR-16} dye it", "draw a circle. dye it"),
        ("draw a circle...dye it…stop", "draw a circle. dye it. stop"),
        ("images 1–3, 1...3 or 1.5, a star\u2011shape, 2*2", "images 1 to 3, 1 to 3 or 1.5, a star-shape, 2 2"),
        ("a cir\u00adcle, caf\u0065\u0301, हिन्दी", "a circle, caf\u00e9, हिन्दी"),
        ("don't, if you can't, draw", "don't, if you can't, draw"),
        ("\N{ARTIST PALETTE}", "\N{ARTIST PALETTE}"),
        (" *** ", " *** "),
        ("zeichne einen größeren Kreis", "zeichne einen größeren Kreis"),
    ],
)
def test_what_the_model_reads(text: str, said: str) -> None:
    assert plain_sentences(text) == said


@pytest.mark.parametrize("piece", ["!", "?!", "-", " ", "' ", "‘", "\n", "a\n", "1) ", "x_", "- ", ".", "=>", "*"])
@pytest.mark.slow
def test_long_texts_take_no_longer_for_what_they_are_of(piece: str) -> None:
    began = time.process_time()
    plain_sentences(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 10
