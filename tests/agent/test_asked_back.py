"""Answers to what the model asks back ("Which red shape do you mean?"), and what is no answer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage

from genllava.protocols.shapes.asking_back import completed
from genllava_agent import VisualAgent
from genllava_agent.history import History
from genllava_agent.records import Request, Step, Turn
from genllava_agent.workers import _said_last

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

TWO_RED = "draw a large red circle at the left and a small red star at the right, on white"
TWO_SQUARES = "draw a small blue square at the top and a large blue square at the bottom, on black"
QUICK: dict[str, Any] = {"num_inference_steps": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drawn", "asked", "answer", "plan"),
    [
        (TWO_RED, "make the red shape green", "the star", {"small green star", "large red circle"}),
        (TWO_RED, "make the red shape green", "The circle.", {"small red star", "large green circle"}),
        (TWO_RED, "make the red shape green", "the small one", {"small green star", "large red circle"}),
        (TWO_RED, "make the red shape green", "i mean the one at the left", {"small red star", "large green circle"}),
        (TWO_RED, "remove the red object", "the large one!", {"small red star"}),
        (TWO_SQUARES, "remove the square", "the small one", {"large blue square"}),
        (TWO_SQUARES, "remove the square", "the one at the bottom", {"small blue square"}),
        (TWO_SQUARES, "make the square a circle", "the large one", {"small blue square", "large blue circle"}),
        (TWO_SQUARES, "how many shapes are there? remove the square", "the top one", {"large blue square"}),
    ],
)
def test_an_answer_completes_what_was_asked(
    agent: VisualAgent, drawn: str, asked: str, answer: str, plan: set[str]
) -> None:
    thread = agent.thread()
    thread(drawn, seed=1, **QUICK)
    assert "Which" in thread(asked).text
    (step,) = thread(answer, **QUICK).steps
    assert step.action == "edit"
    assert {" ".join(part.split()[-3:]) for part in (step.plan or "").split(", ")[:-1]} == plan
    assert thread.history()[-1].request.text == answer
    assert step.request.startswith(answer.strip(".!"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "action", "text"),
    [
        ("thanks", "understand", "You are welcome!"),
        ("never mind", "understand", "You are welcome!"),
        ("hello", "understand", "Hello!"),
        ("the green one", "understand", "There is no green shape."),
        ("what is at the left", "understand", "A large red circle."),
        ("and count the stars", "understand", "There is one star."),
        ("is there a star?", "understand", "Yes, there is a star."),
        ("draw a blue circle", "generate", "a small blue circle|a large blue circle"),
        ("make the background black", "edit", "on black"),
        ("make the circle yellow", "edit", "large yellow circle"),
    ],
)
def test_what_is_no_answer_is_taken_for_itself(agent: VisualAgent, said: str, action: str, text: str) -> None:
    thread = agent.thread()
    thread(TWO_RED, seed=1, **QUICK)
    assert "Which" in thread("make the red shape green").text
    (step,) = thread(said, **QUICK).steps
    assert step.action == action
    assert any(part in (step.plan or step.text) for part in text.split("|"))
    assert "Which" not in step.text


WHICH = "Which red shape do you mean? There are two."


def turn(text: str, *steps: Step) -> History:
    return History(
        [Turn(id="a", parent=None, number=1, at=0.0, request=Request(text="dye it"), text=text, steps=steps)]
    )


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("the star", "the star: dye it"),
        (" The star…\n", "The star: dye it"),
        ("the one that is a circle!", "the one that is a circle: dye it"),
        ("number of stars", ""),
        ("the background color", ""),
        ("the star is small", ""),
        ("is it a star", ""),
        ("the star?", ""),
        ("any of them", ""),
        ("not the star", ""),
        ("the small red star that you see at the bottom right", ""),
    ],
)
def test_what_may_be_an_answer(text: str, whole: str) -> None:
    assert completed([(WHICH, "dye it")], text) == whole


def test_what_the_question_was_about() -> None:
    steps = [Step(action="understand", text=WHICH, request="erase it"), Step(action="understand", text="One.")]
    assert completed(_said_last(turn("", *steps)), "the star") == "the star: erase it"
    assert completed(_said_last(turn(WHICH)), "the star") == "the star: dye it"
    assert completed(_said_last(turn("One.", steps[1])), "the star") == ""
    assert completed(_said_last(turn("One.")), "the star") == ""
    assert completed(_said_last(History()), "the star") == ""


@pytest.mark.slow
@pytest.mark.parametrize("said", ["thanks, draw a cross", "the star, then draw a cross", "hello! draw a star"])
def test_several_requests_are_no_answer(agent: VisualAgent, said: str) -> None:
    thread = agent.thread()
    thread(TWO_RED, seed=1, **QUICK)
    thread("make the red shape green")
    reply = thread(said, **QUICK)
    assert "Which" not in reply.text
    assert not any("make the red" in step.request for step in reply.steps)


def test_what_comes_with_more_is_taken_for_itself(agent: VisualAgent) -> None:
    thread = agent.thread()
    red = thread(TWO_RED, seed=1, **QUICK).image
    thread("make the red shape green")
    assert red is not None
    assert "star" in thread.branch()("the star", task="understand").text
    shown = thread.branch()
    shown("the star", red, **QUICK)
    assert shown.images["image_2"].record.origin == "user"
    (step,) = thread.branch()("the star", region=(0.0, 0.0, 0.5, 1.0)).steps
    assert step.action == "understand"


@pytest.mark.slow
def test_the_approval_of_an_answer_says_what_is_done(pipeline: GenLlavaPipeline) -> None:
    with VisualAgent(pipeline, store=":memory:", approve=("edit",), **QUICK) as agent:
        thread = agent.thread()
        thread(TWO_RED, seed=1)
        thread("make the red shape green")
        pending = thread("the star").pending
        assert pending is not None
        assert "the star: make the red shape green" in pending.text
        reply = thread.approve("la pequeña estrella roja que está abajo")  # tokens that the words before do not have
        assert reply.pending is None
        thread("make the red shape green")
        assert thread("the circle").pending is not None
        (step,) = thread.approve().steps
        assert "large green circle" in (step.plan or "")


def test_an_answer_is_to_the_last_turn_alone(agent: VisualAgent) -> None:
    thread = agent.thread()
    thread(TWO_RED, seed=1, **QUICK)
    thread("make the red shape green")
    thread("thanks")
    assert [step.action for step in thread("the star").steps] == ["understand"]
    thread.undo(2)
    assert [step.action for step in thread("the star", **QUICK).steps] == ["edit"]


@pytest.mark.slow
def test_an_answer_in_somebody_elses_graph(agent: VisualAgent) -> None:
    messages = agent.graph.invoke({"messages": [HumanMessage(TWO_RED)]}, version="v2").value["messages"]
    for said in ("make the red shape green", "the star"):
        messages = agent.graph.invoke({"messages": [*messages, HumanMessage(said)]}, version="v2").value["messages"]
    assert [block["type"] for block in messages[-1].content_blocks] == ["text", "image"]
