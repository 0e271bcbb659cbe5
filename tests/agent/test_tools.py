"""What the agent's tools may be like, and what of them comes into the thread."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState, ToolRuntime
from langgraph.types import Command, interrupt
from PIL import Image
from pydantic import BaseModel, Field
from scripted import Scripted, call, shown

from genllava.errors import Cancelled
from genllava_agent import VisualAgent, create_genllava_agent
from genllava_agent.deciders.base import Possible, TellText, last_words
from genllava_agent.session import Session
from genllava_agent.state import AgentState
from genllava_agent.workers import VerbWorker

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

BLUE = Image.new("RGB", (64, 64), "blue")


def planned(pipeline: GenLlavaPipeline, *script: Any, tools: list[Any]) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1, decider=Scripted(script=list(script)), tools=tools)


def model_of(agent: VisualAgent) -> Scripted:
    decider: Any = agent._decider
    assert isinstance(decider, Scripted)
    return decider


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


def png() -> bytes:
    file = io.BytesIO()
    BLUE.save(file, "PNG")
    return file.getvalue()


def block() -> dict[str, Any]:
    return {"type": "image", "base64": base64.b64encode(png()).decode(), "mime_type": "image/png"}


class Wrapped(Image.Image):
    """As agent frameworks wrap one: an image by class, whose pixels are elsewhere."""

    def to_raw(self) -> Image.Image:
        return BLUE


URL = {"type": "image", "url": "https://example.org/blue.png"}
GIVEN: dict[str, tuple[Any, int]] = {  # what a tool returns, and how many pictures that is
    "an image": (BLUE, 1),
    "an array": (np.asarray(BLUE), 1),
    "an array of floats": (np.asarray(BLUE) / 255, 1),
    "a file": (png(), 1),
    "wrapped": (Wrapped(), 1),
    "a list": ([BLUE, np.asarray(BLUE)], 2),
    "words and an image": (("blue", BLUE), 1),
    "a dictionary": ({"name": "blue", "image": BLUE}, 1),
    "blocks": ([{"type": "text", "text": "blue"}, block(), block()], 2),
    "a block": (block(), 1),
    "an image and a block": ([BLUE, block()], 2),
    "an address": ([{"type": "text", "text": "blue"}, URL], 0),
    "no picture": (b"nothing that can be seen", 0),
    "numbers": (np.arange(6).reshape(2, 3), 0),
    "no picture among others": ([b"nothing", BLUE], 1),
}


@pytest.mark.parametrize("how", GIVEN)
@pytest.mark.parametrize("artifact", [False, True], ids=["returned", "as the artifact"])
def test_pictures_that_tools_give(pipeline: GenLlavaPipeline, how: str, artifact: bool) -> None:
    given, count = GIVEN[how]

    @tool
    def paint(shade: str) -> Any:
        """Paint it."""
        return given

    @tool("paint", response_format="content_and_artifact")
    def paint_too(shade: str) -> Any:
        """Paint it."""
        return ("Painted.", given)

    agent = planned(pipeline, call(("paint", {"shade": "b"})), "So be it.", tools=[paint_too if artifact else paint])
    reply = agent("paint")
    step, heard = reply.steps[0], model_of(agent).heard[-1]
    said = next(message for message in heard if isinstance(message, ToolMessage))
    assert step.outcome == "ok"
    assert [image.id for image in reply.images] == [f"image_{number}" for number in range(1, count + 1)]
    for image in reply.images:
        assert image.image.tobytes() == BLUE.tobytes()
        record = image.record
        assert (record.origin, record.parents, record.turn) == ("tool", (), 1)
        assert record.params == {"tool": "paint", "shade": "b"}
        assert f"{image.id} was made." in said.text
        assert image.id in reply.thread.images
    assert step.image == (f"image_{count}" if count else None)
    assert len(shown(heard)) == count
    left_out = how in ("no picture", "no picture among others", "an address", "numbers")
    assert ("A picture of this result was not kept" in said.text) == left_out
    assert isinstance(said.content, str)
    assert len(said.text) < 500, "no pixels in words"
    if artifact:
        assert "Painted." in step.text
    elif how in ("words and an image", "a dictionary", "blocks", "an address"):
        assert "blue" in step.text
    elif how == "numbers":
        assert "[3 4 5]" in step.text


def test_pictures_come_from_pictures(pipeline: GenLlavaPipeline) -> None:
    """A picture that is annotated as one comes by its name, and is the parent of what is made of it."""

    @tool
    def beside(left: Image.Image, right: Image.Image, gap: int = 0) -> Image.Image:
        """Put two side by side."""
        both = Image.new("RGB", (left.width + right.width + gap, left.height))
        both.paste(left)
        both.paste(right, (left.width + gap, 0))
        return both

    given = {"left": "image_2", "right": "image_1", "gap": 8}
    agent = planned(pipeline, call(("beside", given)), "Done.", tools=[beside])
    reply = agent("put them side by side", [BLUE, Image.new("RGB", (64, 64), "red")])
    record = reply.images[0].record
    assert (record.id, record.origin, record.parents) == ("image_3", "tool", ("image_2", "image_1"))
    assert record.params == {"tool": "beside", **given}
    assert (reply.steps[0].source, reply.steps[0].arguments) == ("image_2", given)
    assert reply.image is not None
    assert [reply.image.getpixel((x, 0)) for x in (0, 135)] == [(255, 0, 0), (0, 0, 255)]
    assert reply.thread.images["image_3"].record == record


def test_two_calls_of_one_message(pipeline: GenLlavaPipeline) -> None:
    """They are made in their order; a later one may name what an earlier one makes."""

    @tool
    def paint(shade: str) -> Any:
        """Paint it."""
        return Image.new("RGB", (64, 64), shade)

    @tool
    def turn(image: Image.Image) -> Any:
        """Turn it."""
        return image.rotate(90)

    agent = planned(
        pipeline,
        call(("paint", {"shade": "blue"}), ("turn", {"image": "image_1"}), ("paint", {"shade": "red"})),
        "Done.",
        tools=[paint, turn],
    )
    reply = agent("paint two")
    assert [image.record.parents for image in reply.images] == [(), ("image_1",), ()]
    assert [step.image for step in reply.steps] == ["image_1", "image_2", "image_3", None]
    results = [message for message in model_of(agent).heard[-1] if isinstance(message, ToolMessage)]
    assert [result.tool_call_id for result in results] == ["call_0_paint", "call_1_turn", "call_2_paint"]


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"{amount}: user said {interrupt('Really pay?')}"


@tool
def pay_too(amount: int) -> str:
    """Pay."""
    return f"{amount}: user said {interrupt({'kind': 'approval', 'text': 'Really pay?'})}"


PAID: list[str] = []


@tool
def note_down(text: str) -> str:
    """Note something down."""
    PAID.append(text)
    return "noted"


@pytest.mark.parametrize("one", [pay, pay_too], ids=["words", "a dictionary"])
def test_a_tool_that_asks(pipeline: GenLlavaPipeline, tmp_path: Path, one: Any) -> None:
    PAID.clear()
    script = [call(("note_down", {"text": "a"}), (one.name, {"amount": 5}), ("note_down", {"text": "b"})), "Paid."]
    model = Scripted(script=script)
    with VisualAgent(pipeline, store=tmp_path / "asks", tools=[one, note_down], decider=model) as agent:
        thread = agent.thread("t")
        reply = thread("pay 5")
        assert reply.pending is not None
        assert (reply.pending.kind, reply.pending.text) == ("tool", "Really pay?")
        assert thread.pending == reply.pending
        assert reply.text.endswith("Really pay?")
        assert PAID == ["a"]
    with VisualAgent(pipeline, store=tmp_path / "asks", tools=[one, note_down], decider=model) as agent:
        thread = agent.thread("t")  # as in another process
        assert thread.pending is not None
        done = thread.answer("yes")
        assert done.text == "Paid."
        assert [step.text for step in done.steps] == ["noted", "5: user said yes", "noted", "Paid."]
        assert (thread.pending, thread.unfinished) == (None, None)
        assert PAID == ["a", "b"], "what was done before the question is not done again"
        assert [turn.text for turn in thread.history()] == ["Paid."]


def test_two_tools_that_ask(pipeline: GenLlavaPipeline) -> None:
    agent = planned(pipeline, call(("pay", {"amount": 1}), ("pay_too", {"amount": 2})), "Paid.", tools=[pay, pay_too])
    thread = agent("pay both").thread
    assert thread.answer({"any": "thing"}).pending is not None
    done = thread.answer("no")
    assert [step.text for step in done.steps] == ["1: user said {'any': 'thing'}", "2: user said no", "Paid."]


def test_a_tool_that_asks_in_a_graph(pipeline: GenLlavaPipeline) -> None:
    graph = create_genllava_agent(
        pipeline, [pay], decider=Scripted(script=[call(("pay", {"amount": 5})), "Paid."]), artifacts=":memory:",
        checkpointer=InMemorySaver(),
    )  # fmt: skip
    config: Any = {"configurable": {"thread_id": "t"}}
    asked = graph.invoke({"messages": [HumanMessage("pay 5")]}, config)
    assert [each.value for each in asked["__interrupt__"]] == ["Really pay?"]
    done = graph.invoke(Command(resume="yes"), config)
    assert done["messages"][-1].text == "Paid."
    assert [m.text for m in done["messages"] if isinstance(m, ToolMessage)] == ["5: user said yes"]
    assert not graph.get_state(config).next


def test_tools_as_langgraph_has_them(pipeline: GenLlavaPipeline) -> None:
    seen: dict[str, Any] = {}

    @tool
    def note(text: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Note."""
        return Command(update={"messages": [ToolMessage("noted", tool_call_id=tool_call_id)]})

    @tool
    def count(text: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Count."""
        seen["state"] = state
        return str(len(state["messages"]))

    @tool
    def where(text: str, runtime: ToolRuntime) -> str:
        """Where."""
        seen["runtime"] = runtime
        return f"{runtime.tool_call_id} {text}"

    tools = [note, count, where]
    calls = call(("note", {"text": "a"}), ("count", {"text": "a"}), ("where", {"text": "a"}))
    agent = planned(pipeline, calls, "Done.", tools=tools)
    reply = agent("do it")
    assert [(step.outcome, step.text) for step in reply.steps[:3]] == [
        ("ok", "noted"), ("ok", "4"), ("ok", "call_2_where a"),
    ]  # fmt: skip
    assert isinstance(seen["state"]["messages"][0], HumanMessage)
    assert seen["runtime"].state["messages"][0].text == "do it"
    assert seen["runtime"].config["configurable"]["thread_id"] == reply.thread.name
    for spec in model_of(agent).bound[0]:
        if spec["function"]["name"] in ("note", "count", "where"):
            assert list(spec["function"]["parameters"]["properties"]) == ["text"], "what is injected is not asked for"


def test_a_command_with_more_to_say(pipeline: GenLlavaPipeline) -> None:
    @tool
    def look_up(tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Look it up."""
        said = [ToolMessage([block()], tool_call_id=tool_call_id), HumanMessage("and be quick")]
        return Command(update={"messages": said})

    agent = planned(pipeline, call(("look_up", {}), ("look_up", {})), "Done.", tools=[look_up])
    reply = agent("look it up")
    assert [(step.tool, step.outcome) for step in reply.steps] == [("look_up", "ok"), (None, "ok")]
    assert reply.images[0].image.tobytes() == BLUE.tobytes()
    heard = model_of(agent).heard[-1][1:]
    assert [type(message) for message in heard] == [HumanMessage, AIMessage, ToolMessage, ToolMessage, HumanMessage]
    assert heard[3].text.startswith("This was not done")
    assert heard[4].text.endswith("and be quick")
    model_of(agent).script[:] = ["So."]
    assert reply.thread("so?").text == "So."
    assert [turn.number for turn in reply.thread.history()] == [1, 2]


class Size(BaseModel):
    """Of a frame."""

    width: int = Field(gt=0)


class Loops:
    """A tool that can only be awaited, and remembers the loop on which it was."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.cancelled = 0

        async def weather(place: str) -> str:
            """The weather."""
            self.seen.append(asyncio.get_running_loop())
            await asyncio.sleep(0.01)
            return f"sunny in {place}"

        async def hang() -> str:
            """Wait for ever."""
            self.seen.append(asyncio.get_running_loop())
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return "never"

        self.weather = StructuredTool.from_function(coroutine=weather)
        self.hang = StructuredTool.from_function(coroutine=hang)


@pytest.mark.parametrize("how", ["acall", "astream", "graph", "a graph with a checkpointer"])
def test_it_is_awaited_on_the_loop_of_the_caller(pipeline: GenLlavaPipeline, how: str) -> None:
    loops, script = Loops(), [call(("weather", {"place": "Oslo"})), "It is sunny."]

    async def main() -> str:
        loop = asyncio.get_running_loop()
        if how in ("acall", "astream"):
            thread = planned(pipeline, *script, tools=[loops.weather]).thread()
            if how == "acall":
                text = (await thread.acall("the weather?")).text
            else:
                text = [event async for event in thread.astream("the weather?")][-1].reply.text
        else:
            saver = InMemorySaver() if "checkpointer" in how else None
            graph = create_genllava_agent(
                pipeline, [loops.weather], decider=Scripted(script=script), artifacts=":memory:", checkpointer=saver
            )
            config: Any = {"configurable": {"thread_id": "t"}} if saver else {}
            text = (await graph.ainvoke({"messages": [HumanMessage("the weather?")]}, config))["messages"][-1].text
        assert loops.seen == [loop]
        return text

    assert asyncio.run(main()) == "It is sunny."


@pytest.mark.parametrize("how", ["thread", "acall", "graph"])
def test_a_tool_that_hangs_is_cancelled(pipeline: GenLlavaPipeline, how: str) -> None:
    loops = Loops()
    agent = planned(pipeline, call(("hang", {})), "Never.", "Hello.", tools=[loops.hang])
    thread = agent.thread("t")
    began = time.monotonic()
    if how == "thread":
        with pytest.raises(Cancelled):
            thread("wait", cancel=lambda: bool(loops.seen))
    else:

        async def main() -> None:
            if how == "acall":
                task = asyncio.ensure_future(thread.acall("wait"))
            else:
                task = asyncio.ensure_future(agent.graph.ainvoke({"messages": [HumanMessage("wait")]}))
            while not loops.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
    assert time.monotonic() - began < 20
    while not loops.cancelled and time.monotonic() - began < 20:  # the loop of its own may be a moment later
        time.sleep(0.01)
    assert loops.cancelled == 1
    assert (thread.history(), thread.unfinished) == ([], None)
    model_of(agent).script[:] = ["Hello."]
    assert thread("hello").text == "Hello."


@pytest.mark.parametrize("given", [None, object(), {1: 2}, 7.5, [], ""], ids=lambda given: type(given).__name__)
def test_a_tool_that_returns_nonsense(pipeline: GenLlavaPipeline, given: Any) -> None:
    @tool
    def odd() -> Any:
        """Do something odd."""
        return given

    agent = planned(pipeline, call(("odd", {})), "Done.", tools=[odd])
    reply = agent("do it")
    assert reply.text == "Done."
    assert [(step.outcome, step.image) for step in reply.steps] == [("ok", None), ("ok", None)]
    assert reply.steps[0].text


def test_a_tool_that_raises(pipeline: GenLlavaPipeline) -> None:
    """What it raises is told, and what was called behind it is not done."""
    done: list[str] = []

    @tool
    def fails(amount: int) -> str:
        """Fail."""
        raise TimeoutError("no answer in time")

    @tool
    def works() -> str:
        """Work."""
        done.append("works")
        return "done"

    agent = planned(
        pipeline,
        call(("works", {}), ("fails", {"amount": 1}), ("works", {}), ("generate", {"instruction": "a red circle"})),
        call(("works", {})),
        "It did not work.",
        tools=[fails, works],
    )
    reply = agent("do it")
    assert [step.outcome for step in reply.steps] == ["ok", "error", "ok", "ok"]
    assert reply.steps[1].text == "TimeoutError: no answer in time"
    assert done == ["works", "works"]
    assert not reply.images
    results = [message for message in model_of(agent).heard[1] if isinstance(message, ToolMessage)]
    assert [result.status for result in results] == ["success", "error", "error", "error"]
    assert ["This was not done, because what came before it failed" in result.text for result in results[2:]] == [
        True, True,
    ]  # fmt: skip


def test_a_picture_that_is_not_there_by_then(pipeline: GenLlavaPipeline) -> None:
    """A call may name what an earlier one was to make; where that made none, this is said."""

    @tool
    def nothing() -> str:
        """Make nothing."""
        return "nothing"

    @tool
    def turn(image: Image.Image) -> Any:
        """Turn it."""
        return image.rotate(90)

    agent = planned(
        pipeline, call(("nothing", {}), ("turn", {"image": "image_2"})), "There is none.", tools=[nothing, turn]
    )
    reply = agent("turn what you make", BLUE)
    assert [step.outcome for step in reply.steps] == ["ok", "error", "ok"]
    assert reply.steps[1].text == "there is no picture 'image_2' in this thread: image_1"


def test_wrong_arguments(pipeline: GenLlavaPipeline) -> None:
    @tool
    def frame(size: Size) -> str:
        """Frame it."""
        return f"{size.width}"

    script = [call(("frame", {"size": {"width": -1}})), "It cannot be framed."]
    agent = planned(pipeline, *script, tools=[frame])
    reply = agent("frame it")
    assert [step.outcome for step in reply.steps] == ["error", "ok"]
    assert "greater than 0" in reply.steps[0].text


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_that_asks_its_own_thread(pipeline: GenLlavaPipeline, awaited: bool) -> None:
    """It is told that the thread is busy; nobody waits for ever."""

    @tool
    def back(text: str) -> str:
        """Ask the agent."""
        return agent.thread("t")(text).text

    async def aback(text: str) -> str:
        return (await agent.thread("t").acall(text)).text

    once = StructuredTool.from_function(coroutine=aback, name="back", description="Ask the agent.")
    agent = planned(pipeline, call(("back", {"text": "hello"})), "Busy.", tools=[once if awaited else back])
    replies: list[Any] = []

    def ask() -> None:
        thread = agent.thread("t")
        replies.append(asyncio.run(thread.acall("ask yourself")) if awaited else thread("ask yourself"))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)
    assert replies, "it waits for itself"
    assert replies[0].text == "Busy."
    assert replies[0].steps[0].outcome == "error"
    assert "in the middle of the turn that asks" in replies[0].steps[0].text


def test_a_tool_may_ask_other_threads(pipeline: GenLlavaPipeline) -> None:
    @tool
    def back(text: str) -> str:
        """Ask the agent."""
        return agent.thread("other")(text).text

    agent = planned(pipeline, call(("back", {"text": "hello"})), "Inside.", "Outside.", tools=[back])
    reply = agent.thread("t")("ask yourself")
    assert (reply.steps[0].text, reply.text) == ("Inside.", "Outside.")


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
        if elsewhere:  # as another process would find it
            agent.parts.sessions.clear()
        done = thread.approve("which colour is the circle?")
        assert "red" in done.steps[1].text
        assert len(done.images) == 1
        first, second, *dropped = (m.text for m in model.heard[-1] if isinstance(m, ToolMessage))
    assert "changed" not in first
    assert second.startswith("The user changed the instruction to 'which colour is the circle?'. ")
    assert ["the user changed" in text for text in dropped] == [True]


def test_what_is_cancelled_at_the_end_is_not_kept(pipeline: GenLlavaPipeline) -> None:
    """Where nothing asks whether the turn is still wanted, as with a tool that takes its time."""
    done: list[str] = []

    class Quick:
        worker = VerbWorker()
        needs_model = False
        speaks = True

        def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
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
