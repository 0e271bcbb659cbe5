"""The page in a real browser, by somebody who has a keyboard and no mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drawn import CIRCLE
from visiting import Visit, until

from genllava_agent import VisualAgent

pytestmark = pytest.mark.slow
NAMES = ("Left", "Top", "Right", "Bottom")


def send(visit: Visit, text: str) -> None:
    """Type a request where the cursor is, and press Enter."""
    visit.page.keyboard.type(text)
    visit.page.keyboard.press("Enter")


def field(visit: Visit, name: str) -> Any:
    """A field for a number, by what a screen reader calls it."""
    return visit.page.get_by_role("group", name="A part by numbers").get_by_role("spinbutton", name=name, exact=True)


def test_a_part_is_given_by_numbers(visit: Callable[..., Visit], agent: VisualAgent) -> None:
    her = visit()
    assert her.page.locator("#text textarea").evaluate("text => text === document.activeElement")
    send(her, CIRCLE)
    until(lambda: her.pictures() == ["image_1"])
    her.answered()
    her.tab_to(her.page.get_by_role("group", name="Pictures of this thread").get_by_role("button", name="image_1"))
    her.page.keyboard.press("Enter")
    for name, number in zip(NAMES, ("40", "0", "40", "30"), strict=True):
        her.tab_to(field(her, name))
        her.page.keyboard.type(number)
    says = her.page.locator("#pictures .region")
    assert "no part yet" in says.inner_text()
    her.page.keyboard.press("Enter")
    send(her, "what is this?")
    assert "these numbers are no part of the picture" in her.notice()
    assert her.page.input_value("#text textarea") == "what is this?"
    her.tab_to(field(her, "Left"))
    her.page.keyboard.type("0")  # in the place of what stood there
    assert "a box of image_1" in says.inner_text()
    her.page.keyboard.press("Enter")
    her.page.keyboard.press("Enter")  # what was typed before is there
    until(lambda: "from 0%, 0% to 40%, 30%" in her.page.inner_text("#chat"))
    until(lambda: "circle" in her.answered().lower())
    assert "square" not in her.said()
    assert [field(her, name).input_value() for name in NAMES] == [""] * 4
    for name in ("Left", "Top"):
        her.tab_to(field(her, name))
        her.page.keyboard.type("50")
    assert "what is there in image_1" in says.inner_text()
    her.page.keyboard.press("Enter")
    send(her, "make it green")
    until(lambda: len(her.pictures()) == 2)
    her.answered()
    turns = agent.thread(her.thread()).history()
    regions = [turn.request.region for turn in turns]
    assert regions[0] is None
    assert regions[1] is not None
    assert regions[1].box == (0, 0, 0.4, 0.3)
    assert regions[2] is not None
    assert regions[2].point == (0.5, 0.5)
    assert "green square" in str(turns[2].images[-1].caption or turns[2].images[-1].plan)
