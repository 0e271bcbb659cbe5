"""Pictures that are named by number, and what else such words may mean."""

from __future__ import annotations

import pytest

from genllava.protocols.shapes.picture_numbers import unknown_picture
from genllava_agent import VisualAgent

CIRCLE = "draw a large red circle at the top left and a small blue square in the middle"


@pytest.mark.parametrize(
    "words", ["in image 4, make the circle green", "describe image_4", "make the fourth picture black"]
)
def test_a_picture_that_does_not_exist_is_not_another(agent: VisualAgent, words: str) -> None:
    thread = agent(CIRCLE, seed=1).thread
    reply = thread(words)
    assert reply.text == "There is no picture of that number: there is one picture."
    assert not reply.images
    assert "red circle" in thread("describe image 1").text


@pytest.mark.parametrize(
    ("words", "pictures", "told"),
    [
        ("make the fourth one green", 2, True),
        ("Put the Third one's background behind the first", 2, True),
        ("use the background of the third one", 2, True),
        ("make the fourth one green", 4, False),
        ("make the second one green", 1, False),  # the second circle, perhaps
        ("make the third one green", 1, False),  # there is one picture: the third circle in it
        ("of the circles, make the third one green", 2, False),
        ("make the third one of the circles green", 2, False),
        ("make the third one from the left green", 2, False),
        ("in image 1, make the third one green", 2, False),
        ("make the third circle green", 2, False),
    ],
)
def test_one_may_be_a_picture_or_a_shape(words: str, pictures: int, told: bool) -> None:
    assert bool(unknown_picture(words, pictures)) == told


@pytest.mark.slow
def test_the_third_one_of_two_pictures_may_be_a_thing_in_one_of_them(agent: VisualAgent) -> None:
    three = "Draw a large red circle at the top left, a large blue square in the middle and a large cross at the right."
    thread = agent(three, seed=1).thread
    thread("draw a large yellow star at the bottom", seed=1)
    assert "There is no picture" not in thread("what color is the third one?").text
    assert "There is no picture" in thread("what color is the fourth one?").text
    assert "There is no picture" in thread("put the third one's background behind the first").text
    black = thread("change the background of image 1 to black and make the third one green", seed=1)
    assert "There is no picture" not in black.text


def test_one_that_does_not_exist_is_not_another(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    thread("draw a large yellow star at the bottom", seed=1)
    for words in ("make the fourth one green", "make the fourth picture green", "what is in the third one?"):
        reply = thread(words)
        assert reply.text == "There is no picture of that number: there are 2 pictures."
        assert not reply.images
        thread.undo()
    assert thread("make the first one's circle green", seed=1).images


def test_one_that_is_to_be_drawn_need_not_exist(agent: VisualAgent) -> None:
    thread = agent(CIRCLE, seed=1).thread
    thread("draw a large yellow star at the bottom", seed=1)
    for words in ("draw three circles, and the fourth one in green", "draw a small red star, the third one"):
        assert thread(words, seed=1).images
        thread.undo()
