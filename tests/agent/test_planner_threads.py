"""What a chat model that decides does to its thread, and answers to what it asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from PIL import Image, ImageDraw
from pydantic import ValidationError
from scripted import RED, Scripted, call, draw, edit

from genllava_agent import create_genllava_agent, events
from genllava_agent.errors import InvalidAnswer
from genllava_agent.messages import image_block, records_in
from genllava_agent.records import Step

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangGraph).*"),
    pytest.mark.filterwarnings("error:.*deprecated.*:DeprecationWarning"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]


def test_the_same_plan_twice(planned: Any) -> None:
    agent, _ = planned(call(("generate", {"instruction": RED}), ("generate", {"instruction": RED})), draw(), "Three.")
    reply = agent("three of them")
    assert reply.text == "Three."
    assert len({image.record.key for image in reply.images}) == 3


# --- the thread itself ---


def test_it_takes_back_and_brings_back(planned: Any) -> None:
    agent, _ = planned(
        draw(), "Drawn.", edit("make the circle green", "image_1"), "Green.",
        call(("undo", {})), "It is gone.", call(("redo", {})), "It is there.",
    )  # fmt: skip
    thread = agent.thread()
    first = thread("draw a red circle").images[0]
    thread("now green")
    gone = thread("undo that")
    assert gone.text == "It is gone."
    assert [(step.tool, step.outcome) for step in gone.steps] == [("undo", "ok"), (None, "ok")]
    assert "now green" in gone.steps[0].text
    assert [turn.request.text for turn in thread.history()] == ["draw a red circle", "undo that"]
    assert list(thread.images) == ["image_1"]
    assert thread.images["image_1"].image.tobytes() == first.image.tobytes()
    back = thread("no, bring it back")
    assert back.steps[0].tool == "redo"
    assert [turn.request.text for turn in thread.history()] == [
        "draw a red circle", "undo that", "now green", "no, bring it back",
    ]  # fmt: skip
    assert list(thread.images) == ["image_1", "image_2"]
    assert thread.images["image_2"].record.parents == ("image_1",)


def test_there_may_be_nothing_to_take_back(planned: Any) -> None:
    agent, _ = planned(call(("undo", {})), call(("redo", {})), "There is nothing.")
    reply = agent("undo")
    assert [step.outcome for step in reply.steps] == ["error", "error"]
    agent, _ = planned(call(("retry", {})), "There is nothing.")
    reply = agent("again")
    assert [step.outcome for step in reply.steps] == ["error", "ok"]
    assert "nothing has been asked yet" in reply.steps[0].text


def test_it_tries_again(planned: Any) -> None:
    agent, model = planned(
        draw(), "Drawn.", call(("retry", {})), draw("a large blue circle at the top left"), "Drawn again.", "Hello."
    )
    thread = agent.thread()
    first = thread("draw a circle")
    again = thread("try again")
    assert again.text == "Drawn again."
    assert [turn.request.text for turn in thread.history()] == ["draw a circle"], "it takes the place of the last"
    assert thread.history()[0].text == "Drawn again."
    assert [(image.id, image.record.turn) for image in again.images] == [("image_1", thread.history()[0].number)]
    assert again.image.tobytes() != first.image.tobytes()
    assert list(thread.images) == ["image_1"]
    assert [m.text for m in model.heard[3] if isinstance(m, HumanMessage)] == ["draw a circle"]
    thread("hello")
    assert [turn.request.text for turn in thread.history()] == ["draw a circle", "hello"]


def test_it_shows_a_picture_again(planned: Any) -> None:
    agent, model = planned(
        draw(), edit("make the circle green", "image_1"), "Done.",
        call(("show_image", {"image": "image_7"})), call(("show_image", {"image": "image_1"})), "Here.",
        call(("edit", {"instruction": "make the circle blue", "image": "image_1"})), "Blue.",
    )  # fmt: skip
    thread = agent.thread()
    made = thread("draw and change").images
    heard = list(thread.stream("show me the first one"))
    reply = heard[-1].reply
    assert "image of show_image must be one of image_1, image_2, not 'image_7'" in model.heard[4][-1].text
    assert [image.id for image in reply.images] == ["image_1"]
    assert reply.image.tobytes() == made[0].image.tobytes()
    assert [event.record.id for event in heard if isinstance(event, events.ImageReady)] == ["image_1"]
    assert list(thread.images) == ["image_1", "image_2"]
    assert [image.id for image in thread.history()[-1].images] == [], "it is none of that turn's"
    assert agent.runner.look(thread.name).state["focus"] == "image_1"
    assert thread("blue").images[0].record.parents == ("image_1",)


# --- approvals ---

ANSWERS: dict[str, tuple[Any, str]] = {  # how the answer is given, and what comes of it
    "approve": ({"decision": "approve"}, "green"),
    "approve as LangChain": ({"decisions": [{"type": "approve"}]}, "green"),
    "approve as older front ends": ([{"type": "accept"}], "green"),
    "edit": ({"decision": "edit", "instruction": "make the circle blue"}, "blue"),
    "edit as LangChain": (
        {"decisions": [{"type": "edit", "edited_action": {
            "name": "edit", "args": {"instruction": "make the circle blue", "image": "image_1"}}}]},
        "blue",
    ),
    "edit as older front ends": (
        [{"type": "edit", "args": {"action": "edit", "args": {"instruction": "make the circle blue"}}}], "blue",
    ),
    "reject": ({"decision": "reject", "reason": "not today"}, ""),
    "reject as LangChain": ({"decisions": [{"type": "reject", "message": "not today"}]}, ""),
    "reject as older front ends": ([{"type": "response", "args": "not today"}], ""),
}  # fmt: skip
WRONG: list[Any] = [
    "sure", {}, {"decision": "maybe"}, {"decision": "edit"}, {"decision": "edit", "instruction": " "},
    {"decision": "approve", "instruction": "x"}, {"decisions": []}, {"decisions": [{"type": "approve"}] * 2},
    {"decisions": [{"type": "edit"}]}, {"decision": "approve", "color": "red"}, 7, None,
]  # fmt: skip


def two_calls() -> AIMessage:
    return call(
        ("edit", {"instruction": "make the circle green", "image": "image_1"}), ("generate", {"instruction": RED})
    )


def red_circle() -> Image.Image:
    picture = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(picture).ellipse((5, 5, 37, 37), fill=(220, 30, 35))
    return picture


def check_answer(steps: Any, records: Any, results: Sequence[ToolMessage], color: str) -> None:
    first, second = results
    if not color:
        assert [(step.action, step.outcome, step.text) for step in steps] == [("edit", "rejected", "not today")]
        assert first.text == "The user did not want this: not today"
        assert (first.status, second.status) == ("error", "error")
        assert "not done" in second.text
        return
    assert steps[0].action == "edit"
    assert color in (records[0].plan or "")
    assert records[0].parents == ("image_1",)
    if color == "blue":
        assert first.text.startswith("The user changed the instruction to 'make the circle blue'.")
        assert "not done, because the user changed" in second.text
    else:
        assert not first.text.startswith("The user")
        assert "image_3 was made" in second.text


@pytest.mark.parametrize("how", ANSWERS)
def test_answers_of_a_thread(planned: Any, how: str) -> None:
    answer, color = ANSWERS[how]
    agent, _ = planned(two_calls(), "Done.", approve="edit")
    thread = agent.thread()
    question = thread("change it, and draw", red_circle()).pending
    assert (question.kind, question.action, question.image) == ("approval", "edit", "image_1")
    for wrong in WRONG:
        with pytest.raises(InvalidAnswer):
            thread.answer(wrong)
        assert thread.pending == question, "it stays open"
    done = thread.answer(answer)
    results = [m for m in agent.runner.look(thread.name).state["messages"] if isinstance(m, ToolMessage)]
    by_id = sorted(results, key=lambda message: str(message.tool_call_id))
    check_answer(done.steps, [image.record for image in done.images], by_id, color)
    assert (thread.pending, thread.unfinished) == (None, None)


@pytest.mark.parametrize("how", ["approve as LangChain", "edit as LangChain", "reject as LangChain", "edit"])
def test_answers_of_a_graph(pipeline: GenLlavaPipeline, how: str) -> None:
    answer, color = ANSWERS[how]
    graph = create_genllava_agent(
        pipeline, decider=Scripted(script=[two_calls(), "Done."]), interrupt_on={"edit": True, "generate": False},
        checkpointer=InMemorySaver(), artifacts=":memory:", seed=1,
    )  # fmt: skip
    config: Any = {"configurable": {"thread_id": "t"}}
    blocks = [{"type": "text", "text": "change it"}, image_block(red_circle())]
    asked = graph.invoke({"messages": [HumanMessage(blocks)]}, config)  # type: ignore[arg-type]
    (question,) = asked["__interrupt__"]
    assert question.value["action_requests"][0]["name"] == "edit"
    for wrong in WRONG[2:-2]:  # nothing at all is no answer to LangGraph
        with pytest.raises(ValidationError):
            graph.invoke(Command(resume=wrong), config)
        assert [each.id for each in graph.get_state(config).interrupts] == [question.id], "it stays open"
    done = graph.invoke(Command(resume=answer), config)
    reply = done["messages"][-1]
    results = [message for message in done["messages"] if isinstance(message, ToolMessage)]
    steps = [Step.model_validate(step) for step in reply.response_metadata["turn"]["steps"]]
    records = [record for record in records_in(reply) if record.origin != "user"]
    check_answer(steps, records, sorted(results, key=lambda message: str(message.tool_call_id)), color)
    assert not graph.get_state(config).next


def test_tools_wait_by_name(planned: Any) -> None:
    """With other arguments, in the form of LangChain, it is called with those, and the chat model is told."""
    removed: list[str] = []

    @tool
    def remove(path: str) -> str:
        """Remove a file."""
        removed.append(path)
        return f"removed {path}"

    both = call(("remove", {"path": "/all"}), ("remove", {"path": "/more"}))
    agent, model = planned(both, "Done.", tools=[remove], approve="tool:remove")
    thread = agent("tidy up").thread
    edited = {"type": "edit", "edited_action": {"name": "remove", "args": {"path": "/tmp/x"}}}
    assert thread.answer({"decisions": [edited]}).text == "Done."
    assert removed == ["/tmp/x"]
    first, second = (message for message in model.heard[-1] if isinstance(message, ToolMessage))
    assert first.text == "The user changed the arguments. removed /tmp/x"
    assert second.status == "error"
    agent, model = planned(both, "Done.", tools=[remove], approve="tool")
    removed.clear()
    thread = agent("tidy up").thread
    assert thread.approve().pending.arguments == {"path": "/more"}, "each is asked about"
    assert removed == ["/all"]
    assert [step.outcome for step in thread.reject("no more").steps] == ["ok", "rejected"]
    assert removed == ["/all"]


# --- as a chat model that calls other people's tools ---
