"""What the agent's tools may be like, and what of them comes into the thread."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from PIL import Image
from scripted import Scripted, call

from genllava.errors import Cancelled
from genllava_agent import VisualAgent
from genllava_agent.deciders.base import Possible, TellText, last_words
from genllava_agent.session import Session
from genllava_agent.state import AgentState
from genllava_agent.workers import VerbWorker

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

BLUE = Image.new("RGB", (64, 64), "blue")


def planned(pipeline: GenLlavaPipeline, *script: Any, tools: list[Any]) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1, decider=Scripted(script=list(script)), tools=tools)


@pytest.mark.parametrize("running", [False, True], ids=["", "in an event loop"])
def test_a_tool_that_can_only_be_awaited(pipeline: GenLlavaPipeline, running: bool) -> None:
    async def weather(place: str) -> str:
        await asyncio.sleep(0.01)
        return f"sunny in {place}"

    only = StructuredTool.from_function(coroutine=weather, name="weather", description="The weather.")
    agent = planned(pipeline, call(("weather", {"place": "Oslo"})), "It is sunny.", tools=[only])

    async def sync_call() -> Any:  # as in a notebook
        return agent("how is the weather?")

    reply = asyncio.run(sync_call()) if running else agent("how is the weather?")
    assert (reply.steps[0].outcome, reply.steps[0].text) == ("ok", "sunny in Oslo")


@pytest.mark.parametrize("how", ["artifact", "a list", "content", "two", "two in content", "address"])
def test_pictures_that_tools_give(pipeline: GenLlavaPipeline, how: str) -> None:
    file = io.BytesIO()
    BLUE.save(file, "PNG")
    block = {"type": "image", "base64": base64.b64encode(file.getvalue()).decode(), "mime_type": "image/png"}

    @tool(response_format="content_and_artifact")
    def paint() -> tuple[Any, Any]:
        """Paint it blue."""
        given: dict[str, tuple[Any, Any]] = {
            "artifact": ("blue", BLUE),
            "a list": ("blue", [BLUE]),
            "content": ([{"type": "text", "text": "blue"}, block], None),
            "two": ("blue", [BLUE, BLUE]),
            "two in content": ([{"type": "text", "text": "blue"}, block, block], None),
            "address": (
                [{"type": "text", "text": "blue"}, {"type": "image", "url": "https://example.org"}],
                None,
            ),
        }
        return given[how]

    reply = planned(pipeline, call(("paint", {})), "Painted.", tools=[paint])("paint")
    if how == "two":
        assert "2 pictures: a call may give one" in reply.steps[0].text
        assert (reply.steps[0].outcome, list(reply.thread.images)) == ("error", [])
        return
    assert (reply.steps[0].outcome, reply.steps[0].text) == ("ok", "blue")
    if how in ("two in content", "address"):  # nothing was promised of those
        assert not reply.images
        return
    assert reply.images[0].image.tobytes() == BLUE.tobytes()
    assert reply.images[0].record.origin == "tool"


def test_arguments_that_no_file_keeps_as_they_are(pipeline: GenLlavaPipeline, tmp_path: Path) -> None:
    @tool
    def scale(by: float) -> str:
        """Scale it."""
        return f"scaled by {by}"

    script = [call(("scale", {"by": float("inf")})), "Scaled."]
    with VisualAgent(pipeline, store=tmp_path, decider=Scripted(script=script), tools=[scale], approve="tool") as agent:
        assert agent.thread("t")("scale it").pending
        assert agent.thread("t").approve().text == "Scaled."


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_planner_is_told_of_other_words(pipeline: GenLlavaPipeline, elsewhere: bool) -> None:
    model = Scripted(
        script=[
            call(("generate", {"instruction": "a large red circle at the top left \n"})),
            call(
                ("understand", {"instruction": "how many shapes are there?", "image": "image_1"}),
                ("edit", {"instruction": "make it blue", "image": "image_1"}),
            ),
            "It is red.",
        ]
    )
    with VisualAgent(pipeline, store=":memory:", seed=1, decider=model, approve="understand") as agent:
        thread = agent("draw a circle, and tell me about it").thread
        if elsewhere:
            agent.runner._waiting.clear()
        done = thread.approve("which colour is the circle?")
        assert "red" in done.steps[1].text
        assert len(done.images) == 1
        first, second, *dropped = (m.text for m in model.heard[-1] if isinstance(m, ToolMessage))
    assert "changed" not in first
    assert second.startswith("The user changed the instruction to 'which colour is the circle?'. ")
    assert ["the user changed" in text for text in dropped] == [True] * (not elsewhere)


def test_what_is_cancelled_at_the_end_is_not_kept(pipeline: GenLlavaPipeline) -> None:
    """Where nothing asks whether the turn is still wanted, as with a tool that takes its time."""
    done: list[str] = []

    class Quick:
        worker = VerbWorker()
        needs_model = False
        speaks = True

        def decide(
            self, session: Session, state: AgentState, possible: Possible, tell: TellText
        ) -> list[AnyMessage]:
            done.append("decided")
            return [last_words("Hello.")]

        def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
            raise AssertionError("nobody changes anything here")

    with VisualAgent(pipeline, store=":memory:", decider=Quick()) as agent:
        thread = agent.thread("t")
        with pytest.raises(Cancelled):
            thread("hello", cancel=lambda: bool(done))
        assert (thread.history(), thread.unfinished, agent.threads()) == ([], None, [])
        assert thread("hello").text == "Hello."
