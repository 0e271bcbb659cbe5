"""The agent as a tool of other agents."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from scripted import Scripted

from genllava.errors import InvalidRequest
from genllava_agent import VisualAgent, graph
from genllava_agent.nodes import ask

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangChain|LangGraph).*"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]
RED = "draw a large red circle at the top left"
THREAD: dict[str, Any] = {"configurable": {"thread_id": "theirs"}}


def call(key: str = "1", **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "genllava", "id": key, "args": arguments}])


def use(tool: BaseTool, thread: str | None = "t", **arguments: Any) -> ToolMessage:
    config: Any = {} if thread is None else {"configurable": {"thread_id": thread}}
    message = tool.invoke({"type": "tool_call", "name": tool.name, "id": "1", "args": arguments}, config)
    assert isinstance(message, ToolMessage)
    return message


@pytest.fixture
def agent(pipeline: GenLlavaPipeline) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1)


def loop(model: BaseChatModel, tool: BaseTool, saver: Any = None) -> Any:
    """The usual agent: a model and its tools in turn."""
    bound = model.bind_tools([tool])
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode([tool]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=saver)


def test_its_result_is_text_pictures_and_plain_data(agent: VisualAgent) -> None:
    result = use(agent.as_tool(pictures=True), request=RED)
    blocks: Any = result.content
    assert [block["type"] for block in blocks] == ["text", "image"]
    assert "image_1" in blocks[0]["text"]
    assert blocks[1]["mime_type"] == "image/png"
    assert json.loads(json.dumps(result.artifact)) == result.artifact
    assert result.artifact["images"][0]["plan"] == "at the top left a large red circle, on white"
    assert agent.thread(result.artifact["thread"]).images["image_1"].image.size == (128, 128)


def test_what_a_model_is_told_of_it(agent: VisualAgent) -> None:
    schema: Any = agent.as_tool(name="eyes", description="Sees.").tool_call_schema
    schema = schema.model_json_schema()
    assert set(schema["properties"]) == {"request", "images"}
    assert schema["required"] == ["request"]
    assert agent.as_tool(name="eyes").name == "eyes"


def test_calls_of_one_conversation_share_their_pictures(agent: VisualAgent) -> None:
    tool = agent.as_tool()
    use(tool, request=RED)
    second = use(tool, request="make it green")
    assert second.artifact["images"][0]["parents"] == ["image_1"]
    third = use(tool, request="make the circle blue", images=["image_1"])
    assert third.artifact["images"][0]["parents"] == ["image_1"]
    assert "blue circle" in third.artifact["images"][0]["plan"]
    other = use(tool, thread="somebody else", request="make it green")
    assert not any(image.get("parents") for image in other.artifact["images"]), "they share nothing"
    alone = [use(tool, thread=None, request=RED).artifact for _ in range(2)]
    assert alone[0]["thread"] != alone[1]["thread"]
    assert use(agent.as_tool(thread="mine"), request=RED).artifact["thread"] == "mine"


def test_what_is_wrong_goes_back_to_the_caller(agent: VisualAgent) -> None:
    tool = agent.as_tool()
    for arguments, why in (
        ({"request": "what is it?", "images": ["image_3"]}, "no image_3"),
        ({"request": "what is it?", "images": ["attached_1"]}, "attached 0"),
        ({"request": "what is it?", "images": ["/etc/passwd"]}, "no picture"),
        ({"request": "what is it?", "images": ["https://example.org/a.png"]}, "no picture"),
        ({"request": "what is it?", "images": ["data:image/png;base64,AAAA"]}, "picture"),
        ({"request": "  "}, "empty"),
    ):
        result = use(tool, **arguments)
        assert result.status == "error", arguments
        assert why in result.text


def test_pictures_that_the_user_attached_are_reached_by_number(agent: VisualAgent) -> None:
    picture: Any = use(agent.as_tool(pictures=True), request=RED).content[1]
    script = [call(request="what color is the circle?", images=["attached_1"]), AIMessage("It is red.")]
    graph = loop(Scripted(script=script), agent.as_tool())
    asked = HumanMessage([{"type": "text", "text": "What color is this?"}, picture])
    result = graph.invoke({"messages": [asked]}, version="v2").value["messages"]
    assert result[2].text.startswith("The circle is red.")
    data_url = f"data:image/png;base64,{picture['base64']}"
    assert use(agent.as_tool(), request="what color is the circle?", images=[data_url]).text == "The circle is red."
    chat_ui = {"type": "image", "mimeType": "image/png", "data": picture["base64"], "metadata": {"name": "a.png"}}
    for block in (chat_ui, {"type": "image_url", "image_url": {"url": data_url}}):
        script = [call(request="what color is the circle?", images=["attached_1"]), AIMessage("It is red.")]
        graph = loop(Scripted(script=script), agent.as_tool(), InMemorySaver())
        result = graph.invoke({"messages": [HumanMessage([block])]}, THREAD, version="v2").value["messages"]
        assert result[2].text == "The circle is red."


def test_an_agent_of_somebody_elses_uses_it(agent: VisualAgent) -> None:
    """With a checkpointer of its own, in an event loop, over two turns."""
    script = [
        call(request=RED),
        call(request="make the circle green", images=["image_1"]),
        AIMessage("Here they are."),
        call(request="how many shapes are there?"),
        AIMessage("One."),
    ]
    model = Scripted(script=script)
    graph = loop(model, agent.as_tool(pictures=True), InMemorySaver())

    async def talk() -> list[Any]:
        await graph.ainvoke({"messages": [HumanMessage("A red circle, then green.")]}, THREAD, version="v2")
        done = await graph.ainvoke({"messages": [HumanMessage("How many shapes?")]}, THREAD, version="v2")
        return list(done.value["messages"])

    messages = asyncio.run(talk())
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [result.status for result in results] == ["success"] * 3
    assert "green circle" in results[1].text
    assert results[2].text == "There is one shape."
    assert len({result.artifact["thread"] for result in results}) == 1
    assert any(block["type"] == "image" for message in model.heard[-1] for block in message.content_blocks)


def test_parallel_calls_take_turns(agent: VisualAgent) -> None:
    calls = [*call("1", request=RED).tool_calls, *call("2", request="draw a blue star").tool_calls]
    both = AIMessage("", tool_calls=calls)
    graph = loop(Scripted(script=[both, AIMessage("Done.")]), agent.as_tool(), InMemorySaver())
    messages = graph.invoke({"messages": [HumanMessage("Two pictures.")]}, THREAD, version="v2").value["messages"]
    names = [image["id"] for message in messages[2:4] for image in message.artifact["images"]]
    assert sorted(names) == ["image_1", "image_2"]


def test_a_question_about_what_is_meant_is_the_result(pipeline: GenLlavaPipeline) -> None:
    tool = VisualAgent(pipeline, store=":memory:", margin=1.0).as_tool()
    result = use(tool, request=RED)
    assert "not sure what you mean" in result.text
    assert result.artifact["question"]["kind"] == "clarification"
    assert "not sure" in use(tool, request=RED).text, "nothing waits: the next call is a new request"


def test_pictures_that_came_before_a_question_are_not_claimed(
    kept: VisualAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (graph, ask):
        monkeypatch.setattr(module, "is_unclear", lambda action, settings, thread: action.kind == "understand")
    result = use(kept.as_tool(), request=f"{RED}, then tell me what you see")
    assert "not sure what you mean" in result.text
    assert "nothing of this request was kept" in result.text
    assert [block["type"] for block in result.content_blocks] == ["text"]
    assert "image_1" not in result.text
    assert result.artifact["images"] == []
    assert kept.threads() == [], "nothing of it is kept"


def test_callers_that_read_text_alone(agent: VisualAgent) -> None:
    """As most of them do."""
    result = use(agent.as_tool(), request=RED)
    assert isinstance(result.content, str)
    assert "image_1" in result.content
    assert result.artifact["images"]
    assert result.content == use(agent.as_tool(pictures=False), thread="other", request=RED).content


def test_it_says_where_nothing_is_remembered(agent: VisualAgent) -> None:
    assert "the next call begins anew" in use(agent.as_tool(), thread=None, request=RED).text
    assert "anew" not in use(agent.as_tool(), request=RED).text
    assert "anew" not in use(agent.as_tool(thread="mine"), thread=None, request=RED).text
    told = agent.as_tool().description
    assert "It remembers this conversation, and nothing else of yours." in told
    assert "only the pictures that a call brings" in told
    assert "only the pictures" not in agent.as_tool(thread="mine").description


@pytest.mark.parametrize("awaited", [False, True])
def test_what_a_deciding_chat_model_takes_is_counted(pipeline: GenLlavaPipeline, awaited: bool) -> None:
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    about = {"model_name": "planner"}
    said = AIMessage("Hello.", usage_metadata=usage, response_metadata=about)  # type: ignore[arg-type]
    tool = VisualAgent(pipeline, store=":memory:", decider=Scripted(script=[said])).as_tool()
    heard = UsageMetadataCallbackHandler()
    asked: Any = {"type": "tool_call", "name": "genllava", "id": "1", "args": {"request": "who are you?"}}
    config: Any = {"callbacks": [heard], "configurable": {"thread_id": "t"}}
    result = asyncio.run(tool.ainvoke(asked, config)) if awaited else tool.invoke(asked, config)
    assert result.text == "Hello."
    assert heard.usage_metadata["planner"]["total_tokens"] == 10


def test_its_model_is_no_part_of_what_the_caller_streams(pipeline: GenLlavaPipeline) -> None:
    """What models say inside of it is no message of the caller's."""
    tool = VisualAgent(pipeline, store=":memory:", decider=Scripted(script=["Inside."])).as_tool()
    outer = loop(Scripted(script=[call(request="who are you?"), AIMessage("Outside.")]), tool, InMemorySaver())
    heard = [part[0] for part in outer.stream({"messages": [HumanMessage("go")]}, THREAD, stream_mode="messages")]
    assert [message.text for message in heard if isinstance(message, AIMessage)] == ["", "Outside."]
    assert [message.text for message in heard if isinstance(message, ToolMessage)] == ["Inside."]


def test_it_cannot_wait_for_approval(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", approve="edit")
    with pytest.raises(InvalidRequest, match="approve=\\(\\)"):
        agent.as_tool()
    with pytest.raises(InvalidRequest, match="sead"):
        agent.as_tool(approve=(), sead=1)
