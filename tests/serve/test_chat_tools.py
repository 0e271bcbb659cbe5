"""Chats where another chat model decides, and LangChain's client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from drawn import shapes
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from scripted import Scripted, call, draw
from serving import MODEL, RED, Serving, data_url, opened, served, user

from genllava_agent import VisualAgent

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


@tool
def weather(place: str) -> str:
    """The weather somewhere."""
    return f"rain in {place}"


def chat_openai(server: Serving) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=f"{server.url}/v1", api_key="none", max_retries=0)  # type: ignore[arg-type]


@pytest.fixture
def decider() -> Scripted:
    return Scripted(script=[])


@pytest.fixture
def decided(pipeline: GenLlavaPipeline, decider: Scripted) -> Iterator[Serving]:
    with VisualAgent(pipeline, store=":memory:", decider=decider, tools=()) as agent, served(agent) as server:
        yield server


def test_langchain_asks_about_a_picture(server: Serving, drawing: bytes) -> None:
    shown = {"type": "image_url", "image_url": {"url": data_url(drawing)}}
    question = HumanMessage([{"type": "text", "text": "What colour is the circle?"}, shown])
    model = chat_openai(server)
    assert model.invoke([question]).text == "The circle is red."
    pieces = list(model.stream([question]))
    assert len(pieces) > 3
    assert "".join(piece.text for piece in pieces) == "The circle is red."


def test_langchain_sends_a_conversation(server: Serving) -> None:
    model = chat_openai(server)
    first = model.invoke([HumanMessage(RED)])
    assert f"{server.url}/files/" in first.text
    assert first.usage_metadata is not None
    then = model.invoke([HumanMessage(RED), first, HumanMessage("what colour is the circle?")])
    assert then.text == "The circle is red."


def test_the_callers_tools_go_to_what_decides(decided: Serving, decider: Scripted) -> None:
    decider.script += [call(("weather", {"place": "Rome"})), "It rains in Rome."]
    model = chat_openai(decided).bind_tools([weather])
    asked = [HumanMessage("weather in Rome?")]
    said = model.invoke(asked)
    assert [(each["name"], each["args"]) for each in said.tool_calls] == [("weather", {"place": "Rome"})]
    assert said.response_metadata["finish_reason"] == "tool_calls"
    assert "weather" in [spec["function"]["name"] for spec in decider.bound[-1]]
    done = weather.invoke(said.tool_calls[0])
    last = model.invoke([*asked, said, done])
    assert last.text == "It rains in Rome."
    assert [message.text for message in decider.heard[-1]][-1] == "rain in Rome"


def test_tool_calls_are_streamed(decided: Serving, decider: Scripted) -> None:
    decider.script += [call(("weather", {"place": "Rome"}), ("weather", {"place": "Oslo"}))]
    whole: Any = None
    for piece in chat_openai(decided).bind_tools([weather]).stream("weather?"):
        whole = piece if whole is None else whole + piece
    assert isinstance(whole, AIMessage)
    assert [each["args"]["place"] for each in whole.tool_calls] == ["Rome", "Oslo"]


def test_a_picture_and_a_call_in_one_reply(decided: Serving, decider: Scripted) -> None:
    decider.script += [draw(), call(("weather", {"place": "Rome"}))]
    made: Any = decided.client().chat.completions.create(
        model=MODEL, messages=[user("draw, and the weather?")], seed=1,
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    )  # fmt: skip
    message = made.choices[0].message
    assert [each.function.name for each in message.tool_calls] == ["weather"]
    assert shapes(opened(message.images[0]["image_url"]["url"])) == {("large", "red", "circle", "top left")}


def test_a_decider_that_calls_what_there_is_not(decided: Serving, decider: Scripted) -> None:
    decider.script += [call(("nothing", {})), call(("nothing", {})), "I could not."]
    answer = decided.chat(user("go on"))
    assert answer.status_code == 200
    assert "went wrong twice" in str(answer.json()["genllava"]["steps"])
    decider.script[:] = ["fine"]
    assert decided.chat(user("again")).json()["choices"][0]["message"]["content"] == "fine"


def test_on_a_thread_the_callers_tools_are_refused(decided: Serving) -> None:
    spec: Any = {"type": "function", "function": {"name": "weather"}}
    answer = decided.chat(user("weather?"), user="alice", tools=[spec])
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tools"
