"""Turns that wait or were cut off, in a real browser: given up, forgotten, gone on with; and what is stored then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cut_off import cut_off
from visiting import RED, Visit, until

from genllava_agent import Thread, VisualAgent

pytestmark = pytest.mark.slow
Open = Callable[..., Visit]
Stored = list[tuple[str, str, bytes]]


def stored(thread: Thread) -> Stored:
    """The turns of a thread that have ended: what was asked, what was said, and the pixels of each picture."""
    images = thread.images
    return [
        (turn.request.text, turn.text, b"".join(images[record.id].image.tobytes() for record in turn.images))
        for turn in thread.history()
    ]


def gone(visit: Visit, button: str) -> None:
    """Wait until a button is shown nowhere."""
    until(lambda: visit.page.locator(f"#{button}:visible").count() == 0)


def drawn(visit: Visit, agent: VisualAgent) -> tuple[Thread, Stored]:
    """Somebody's thread once they have drawn a circle, and what is stored of it."""
    visit.ask(RED)
    visit.answered()
    thread = agent.thread(visit.thread())
    before = stored(thread)
    assert len(before) == 1
    assert before[0][2]
    return thread, before


def goes_on(visit: Visit, thread: Thread, before: Stored) -> None:
    """The thread is as it was before the turn that was given up, and can be asked something."""
    assert visit.pictures() == ["image_1"]
    assert RED in visit.page.inner_text("#chat")
    assert "make it green" not in visit.page.inner_text("#chat")
    assert thread.unfinished is None
    assert stored(thread) == before
    visit.ask("how many shapes are there?")
    assert "one" in visit.answered().lower()
    assert stored(thread)[:-1] == before


def test_give_up_takes_the_question_away(visit: Open, agent: VisualAgent) -> None:
    her = visit()
    thread, before = drawn(her, agent)
    her.page.get_by_label("editing").check()
    her.ask("make it green")
    her.page.locator("#approve").wait_for()
    her.answered()
    assert thread.pending is not None
    her.click("give-up")
    gone(her, "give-up")
    goes_on(her, thread, before)


def interrupted(visit: Visit, thread: Thread) -> None:
    """An edit is cut off in its midst, as by the end of the process; the page is opened again."""
    cut_off(thread, "make it green", "edit")
    assert thread.unfinished is not None
    visit.page.reload()
    visit.page.locator("#forget").wait_for()
    assert "This turn was cut off." in visit.said()
    assert visit.pictures() == ["image_1"]


def test_a_turn_that_was_cut_off_is_forgotten(visit: Open, agent: VisualAgent) -> None:
    her = visit()
    thread, before = drawn(her, agent)
    interrupted(her, thread)
    her.click("forget")
    gone(her, "forget")
    goes_on(her, thread, before)


def test_a_turn_that_was_cut_off_is_gone_on_with(visit: Open, agent: VisualAgent) -> None:
    her = visit()
    thread, before = drawn(her, agent)
    interrupted(her, thread)
    her.click("resume")
    until(lambda: her.pictures() == ["image_1", "image_2"])
    assert "green" in her.answered()
    gone(her, "resume")
    assert "This turn was cut off." not in her.page.inner_text("#chat")
    assert thread.unfinished is None
    after = stored(thread)
    assert after[:-1] == before
    assert after[-1][0] == "make it green"
    (edited,) = thread.history()[-1].images
    assert edited.parents == ("image_1",)
    red, green, blue = thread.images[edited.id].image.getpixel((21, 21))
    assert green > max(red, blue)
