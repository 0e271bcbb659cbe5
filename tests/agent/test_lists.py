"""Things to do as people type them: lists, arrows, quotes; and messages that nothing answered."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from genllava_agent import VisualAgent

DRAW, TURN, COUNT = "draw a large red circle at the left", "make it blue", "how many shapes are there?"


@pytest.mark.parametrize("mark", ["", "- ", "{}. ", "{}) "])
@pytest.mark.parametrize("between", ["\n", "\n\n  "])
def test_every_line_is_done(agent: VisualAgent, mark: str, between: str) -> None:
    reply = agent(between.join(mark.format(n) + line for n, line in enumerate((DRAW, TURN, COUNT), start=1)), seed=1)
    drawn, turned, counted = reply.steps
    assert [step.action for step in reply.steps] == ["generate", "edit", "understand"]
    assert "large red circle" in (drawn.plan or "")
    assert "large blue circle" in (turned.plan or "")
    assert counted.text == "There is one shape."


def test_a_line_that_was_broken_for_want_of_room_goes_on(agent: VisualAgent) -> None:
    reply = agent(f"{DRAW} and a small green star at the right, then make the\nstar pink", seed=1)
    assert [step.action for step in reply.steps] == ["generate", "edit"]
    assert "small pink star" in (reply.steps[1].plan or "")


@pytest.mark.parametrize(
    "text",
    [
        f"{DRAW} -> {TURN} -> {COUNT}",
        f"{DRAW} | {TURN} | {COUNT}",
        f"**{DRAW}** — then *{TURN}* — {COUNT}",
        f"{DRAW}… {TURN}… {COUNT}",
        f"{DRAW} \N{ARTIST PALETTE}, then “{TURN}”. {COUNT}??",
    ],
)
def test_marks_say_what_they_say_to_people(agent: VisualAgent, text: str) -> None:
    drawn, turned, counted = agent(text, seed=1).steps
    assert "large red circle" in (drawn.plan or "")
    assert "large blue circle" in (turned.plan or "")
    assert counted.text == "There is one shape."


@pytest.mark.parametrize("name", ["image_1", "`image_1`", "picture #1", '"image 1"', "(image 1)"])
def test_a_picture_is_named_as_the_agent_names_it(agent: VisualAgent, name: str) -> None:
    thread = agent.thread()
    thread(f"{DRAW}. draw a small green star at the right", seed=1)
    (step,) = thread(f"make the shape in {name} blue").steps
    assert step.source == "image_1"
    assert "large blue circle" in (step.plan or "")


@pytest.mark.parametrize("blocks", [False, True], ids=["messages", "blocks of a message"])
def test_messages_that_nothing_answered_are_done_one_after_the_other(agent: VisualAgent, blocks: bool) -> None:
    lines = [f"{DRAW} and a small blue square at the right", "draw a small green star at the right"]
    messages = [HumanMessage([{"type": "text", "text": line} for line in lines])] if blocks else lines
    reply = agent.graph.invoke({"messages": messages}, version="v2").value["messages"][-1]
    assert [block["type"] for block in reply.content_blocks].count("image") == 2
