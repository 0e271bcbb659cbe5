"""Other people's graphs in which ours is a node: what is kept, who answers, and what goes on elsewhere."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from PIL import Image
from scripted import Scripted, call

from genllava.errors import ImageRejected, InvalidRequest
from genllava_agent import VisualAgent, create_genllava_agent
from genllava_agent.messages import records_in
from genllava_agent.nodes import base
from genllava_agent.settings import TurnSettings

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangChain|LangGraph|unregistered).*"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]
ROOT = Path(__file__).parents[2]
RED = "draw a large red circle at the top left"
THREAD: dict[str, Any] = {"configurable": {"thread_id": "theirs"}}
FORMS: list[tuple[Any, bool]] = [
    ({"decisions": [{"type": "approve"}]}, True),
    ({"decision": "approve"}, True),
    ([{"type": "accept"}], True),
    ({"decisions": [{"type": "reject", "message": "not now"}]}, False),
    ({"decision": "reject"}, False),
    ({"decision": "reject", "reason": "not now"}, False),
    ([{"type": "ignore"}], False),
    ([{"type": "response", "args": "not now"}], False),
]
BLUE: list[Any] = [
    {"decisions": [{"type": "edit", "edited_action": {"name": "edit", "args": {"instruction": "make it blue"}}}]},
    {"decision": "edit", "instruction": "make it blue"},
    [{"type": "edit", "args": {"action": "edit", "args": {"instruction": "make it blue"}}}],
]


def host(node: Any, saver: Any = None) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("genllava", node)
    builder.add_edge(START, "genllava")
    return builder.compile(checkpointer=saver)


def ask(*content: Any) -> dict[str, list[AnyMessage]]:
    words: Any = content[0] if len(content) == 1 else list(content)
    return {"messages": [HumanMessage(words)]}


def say(graph: Any, *content: Any, config: Any = THREAD) -> Any:
    """The last message after a request."""
    return graph.invoke(ask(*content), config)["messages"][-1]


def pictures(message: AnyMessage) -> list[Any]:
    return [block for block in message.content_blocks if block["type"] == "image"]


def block_of(image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"type": "image", "base64": base64.b64encode(file.getvalue()).decode(), "mime_type": "image/png"}


def held(saver: Any) -> int:
    """Bytes of all that a saver keeps."""
    if isinstance(saver, SqliteSaver):
        rows = (
            "SELECT sum(length(checkpoint) + length(metadata)) FROM checkpoints",
            "SELECT sum(length(value)) FROM writes",
        )
        return sum(saver.conn.execute(query).fetchone()[0] or 0 for query in rows)
    return len(repr((dict(saver.storage), dict(saver.writes), dict(saver.blobs))).encode("latin-1", "replace")) // 2


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Any]:
    if kind == "memory":
        yield InMemorySaver()
    else:
        with SqliteSaver.from_conn_string(str(folder / "theirs.sqlite")) as saver:
            yield saver


@pytest.fixture(scope="module")
def photo(pipeline: GenLlavaPipeline) -> dict[str, Any]:
    """A picture of a red circle that takes 0.67 MB."""
    drawn = VisualAgent(pipeline, store=":memory:", seed=1)(RED).image
    assert drawn is not None
    large = np.asarray(drawn.resize((580, 580)), dtype=np.int16)
    noise = np.random.default_rng(0).integers(-14, 15, large.shape)
    block = block_of(Image.fromarray((large + noise).clip(0, 255).astype(np.uint8)))
    assert 0.6e6 < len(block["base64"]) < 0.72e6
    return block


@pytest.fixture
def seeded(pipeline: GenLlavaPipeline) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_picture_is_kept_about_once(seeded: VisualAgent, photo: dict[str, Any], tmp_path: Path, kind: str) -> None:
    """And not once more with every turn, as where nobody makes a reference of it."""
    with opened(kind, tmp_path) as saver:
        graph = host(seeded.graph, saver)
        say(graph, {"type": "text", "text": "what color is the circle?"}, photo)
        first = held(saver)
        for _ in range(10):
            say(graph, "how many shapes are there?")
        ours = held(saver)
    (tmp_path / "others").mkdir()
    with opened(kind, tmp_path / "others") as saver:
        graph = host(lambda state: {"messages": [AIMessage("I see.")]}, saver)
        say(graph, {"type": "text", "text": "what color is the circle?"}, photo)
        for _ in range(10):
            say(graph, "how many shapes are there?")
        theirs = held(saver)
    assert ours < 4.2e6
    assert ours - first < 1e6, "ten turns without pictures"
    assert kind == "memory" or theirs > 4 * ours, (ours, theirs)


def test_later_turns_know_the_picture(seeded: VisualAgent, photo: dict[str, Any], tmp_path: Path) -> None:
    with opened("sqlite", tmp_path) as saver:
        graph = host(seeded.graph, saver)
        first = say(graph, {"type": "text", "text": "what color is the circle?"}, photo)
        assert first.text == "The circle is red."
        edited = say(graph, "make it green")
        (picture,) = pictures(edited)
        assert picture["id"] == "image_2"
        assert picture["extras"]["genllava"]["parents"] == ["image_1"]
        assert "green circle" in edited.text
        again = say(graph, "in image 1, what color is the circle?")
        assert "red" in again.text
        asked = graph.get_state(THREAD).values["messages"][0]
        assert pictures(asked)[0]["file_id"], "a reference has taken its place"
        assert "base64" not in pictures(asked)[0]


def test_another_agent_with_the_same_folder_goes_on(
    pipeline: GenLlavaPipeline, photo: dict[str, Any], tmp_path: Path
) -> None:
    with opened("sqlite", tmp_path) as saver, VisualAgent(pipeline, store=tmp_path / "artifacts", seed=1) as agent:
        say(host(agent.graph, saver), {"type": "text", "text": "what color is the circle?"}, photo)
        assert say(host(agent.graph, saver), "draw a small blue square in the middle").text
    with opened("sqlite", tmp_path) as saver, VisualAgent(pipeline, store=tmp_path / "artifacts", seed=1) as agent:
        edited = say(host(agent.graph, saver), "in image 1, make the circle green")
        assert pictures(edited)[0]["extras"]["genllava"]["parents"] == ["image_1"]
    other = VisualAgent(pipeline, store=tmp_path / "others", seed=1)
    with opened("sqlite", tmp_path) as saver, pytest.raises(ImageRejected, match=r"image_1 .* send it"):
        say(host(other.graph, saver), "what color is the circle?")


@pytest.mark.slow
def test_another_process_goes_on(tmp_path: Path) -> None:
    script = """
        import sys
        from langchain_core.messages import HumanMessage
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.graph import START, MessagesState, StateGraph
        from langgraph.types import Command
        from genllava_agent import create_genllava_agent
        folder, *said = sys.argv[1:]
        agent = create_genllava_agent(artifacts=folder + "/artifacts", interrupt_on={"edit": True}, seed=1)
        builder = StateGraph(MessagesState).add_node("genllava", agent).add_edge(START, "genllava")
        thread = {"configurable": {"thread_id": "theirs"}}
        with SqliteSaver.from_conn_string(folder + "/theirs.sqlite") as saver:
            graph = builder.compile(checkpointer=saver)
            for text in said:
                given = Command(resume={"decision": "approve"}) if text == "yes" else {"messages": [HumanMessage(text)]}
                result = graph.invoke(given, thread, version="v2")
            print(result.interrupts and "waits" or result.value["messages"][-1].text)
            print([b["id"] for m in result.value["messages"] for b in m.content_blocks if b["type"] == "image"])
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agent"))), "LANGGRAPH_STRICT_MSGPACK": "true",
    }  # fmt: skip
    heard = []
    for said in ([RED, "make it green"], ["yes"], ["what color is the circle?"]):
        ran = subprocess.run(
            [sys.executable, "-W", "error:.*unregistered.*", "-c", textwrap.dedent(script), str(tmp_path), *said],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "unregistered" not in ran.stderr.lower()
        heard.append(ran.stdout.splitlines()[-2:])
    assert heard[0][0] == "waits"
    assert "green circle" in heard[1][0]
    assert heard[2][0] == "The circle is green."


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, THREAD], ids=["no thread", "a thread id that nobody keeps"])
def test_without_a_checkpointer_pictures_are_in_the_messages(seeded: VisualAgent, config: Any) -> None:
    graph = host(seeded.graph)
    messages = graph.invoke(ask(f"{RED}, then make it green"), config)["messages"]
    shown = [pictures(message) for message in messages]
    assert [block["id"] for blocks in shown for block in blocks] == ["image_1", "image_2"], "in the reply, once each"
    assert all(Image.open(io.BytesIO(base64.b64decode(block["base64"]))).size == (128, 128) for block in shown[-1])
    assert isinstance(messages[-1].content, str)
    json.dumps([message.model_dump(mode="json") for message in messages])
    then = graph.invoke({"messages": [*messages, HumanMessage("what color is the circle?")]}, config)["messages"]
    assert then[-1].text == "The circle is green."
    edited = graph.invoke({"messages": [*then, HumanMessage("in image 1, make the circle blue")]}, config)["messages"]
    assert "blue circle" in edited[-1].text
    assert pictures(edited[-1])[0]["id"] == "image_3"
    assert not seeded.parts.sessions
    assert not seeded.threads()


@pytest.mark.parametrize("config", [None, THREAD], ids=["no thread", "a thread id that nobody keeps"])
@pytest.mark.parametrize("awaited", [False, True])
def test_without_a_checkpointer_nobody_can_approve(pipeline: GenLlavaPipeline, config: Any, awaited: bool) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="generate")
    graph = host(agent.graph)
    with pytest.raises(InvalidRequest, match=r"without a checkpointer.*interrupt_on"):
        asyncio.run(graph.ainvoke(ask(RED), config)) if awaited else graph.invoke(ask(RED), config)
    assert not agent.parts.sessions


def test_without_a_checkpointer_what_is_unclear_is_done(pipeline: GenLlavaPipeline) -> None:
    agent, after = VisualAgent(pipeline, store=":memory:", seed=1, margin=1.0), list[int]()
    builder = StateGraph(MessagesState).add_node("v", agent.graph).add_node("after", lambda state: after.append(1))
    graph = builder.add_edge(START, "v").add_edge("v", "after").compile()
    result = graph.invoke(ask("what is two plus two?"), version="v2")
    assert not result.interrupts
    assert isinstance(result.value["messages"][-1], AIMessage)
    assert result.value["messages"][-1].text
    assert after == [1]
    assert agent.chat_model().invoke("what is two plus two?").text


@pytest.mark.slow
def test_more_threads_wait_than_are_kept_in_memory(pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_KEPT", 3)
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="edit", verify=0, num_inference_steps=1)
    graph = host(agent.graph, InMemorySaver())
    places: list[Any] = [{"configurable": {"thread_id": str(number)}} for number in range(5)]
    for place in places:
        graph.invoke(ask("draw a red circle, then make it blue"), place)
    assert len(agent.parts.sessions) == 3
    for place in (places[4], places[0], places[1]):
        done = graph.invoke(Command(resume={"decision": "approve"}), place)["messages"]
        assert [block["id"] for block in pictures(done[-1])] == ["image_1", "image_2"]


@pytest.mark.parametrize(("answer", "goes_on"), FORMS, ids=repr)
@pytest.mark.parametrize("by_id", [False, True])
def test_every_form_of_an_answer(pipeline: GenLlavaPipeline, answer: Any, goes_on: bool, by_id: bool) -> None:
    graph = host(create_genllava_agent(pipeline, interrupt_on={"generate": True}, artifacts=":memory:", seed=1))
    graph.checkpointer = InMemorySaver()
    (question,) = graph.invoke(ask(RED), THREAD, version="v2").interrupts
    for wrong in ("yes", {"decision": "maybe"}, {**answer, "more": 1} if isinstance(answer, dict) else [*answer, 1]):
        with pytest.raises(ValueError, match="validation error"):
            graph.invoke(Command(resume={question.id: wrong} if by_id else wrong), THREAD)
        assert graph.get_state(THREAD).interrupts == (question,)
    done = graph.invoke(Command(resume={question.id: answer} if by_id else answer), THREAD, version="v2")
    assert not done.interrupts
    reply = done.value["messages"][-1]
    assert len(pictures(reply)) == goes_on
    if "not now" in repr(answer):
        assert "not now" in done.value["messages"][-2].text + reply.text


@pytest.mark.slow
@pytest.mark.parametrize("answer", BLUE, ids=repr)
def test_other_words_are_an_answer(pipeline: GenLlavaPipeline, answer: Any) -> None:
    graph = host(create_genllava_agent(pipeline, interrupt_on={"edit": True}, artifacts=":memory:", seed=1))
    graph.checkpointer = InMemorySaver()
    say(graph, RED)
    assert graph.invoke(ask("make it green"), THREAD, version="v2").interrupts
    done = graph.invoke(Command(resume=answer), THREAD)["messages"]
    assert "blue circle" in done[-1].text


@pytest.mark.parametrize(
    "answer", [{"choice": "generate"}, {"decision": "approve"}, {"decisions": [{"type": "approve"}]}]
)
def test_what_is_meant_is_said_through_the_host(pipeline: GenLlavaPipeline, answer: Any) -> None:
    graph = host(VisualAgent(pipeline, store=":memory:", seed=1, margin=1.0).graph, InMemorySaver())
    (question,) = graph.invoke(ask(RED), THREAD, version="v2").interrupts
    assert question.value["question"]["kind"] == "clarification"
    done = graph.invoke(Command(resume=answer), THREAD, version="v2")
    assert not done.interrupts
    assert len(pictures(done.value["messages"][-1])) == 1


@tool
def confirm(what: str) -> str:
    """Ask the user."""
    return f"The user says {interrupt({'text': what})}."


def test_a_tool_asks_through_the_host(pipeline: GenLlavaPipeline) -> None:
    script = [call(("confirm", {"what": "Really?"})), AIMessage("Fine.")]
    agent = VisualAgent(pipeline, store=":memory:", tools=[confirm], decider=Scripted(script=script))
    graph = host(agent.graph, InMemorySaver())
    (question,) = graph.invoke(ask("go"), THREAD, version="v2").interrupts
    assert question.value == {"text": "Really?"}
    done = graph.invoke(Command(resume={"anything": [1, "two"]}), THREAD)["messages"]
    assert "'anything'" in next(message for message in done if isinstance(message, ToolMessage)).text
    assert done[-1].text == "Fine."


@pytest.mark.slow
@pytest.mark.parametrize("which", ["turn", "request", "reply", "middle"])
def test_messages_that_are_removed_take_their_pictures_along(
    seeded: VisualAgent, photo: dict[str, Any], which: str
) -> None:
    graph = host(seeded.graph, InMemorySaver())
    say(graph, {"type": "text", "text": "make the circle green"}, photo)
    say(graph, "draw a small blue square in the middle")
    messages = graph.get_state(THREAD).values["messages"]
    first, _ = (p for p, m in enumerate(messages) if isinstance(m, AIMessage) and not m.tool_calls)
    gone = {
        "turn": messages[: first + 1], "request": messages[:1], "reply": messages[first : first + 1],
        "middle": messages[1 : first + 1],
    }[which]  # fmt: skip
    graph.update_state(THREAD, {"messages": [RemoveMessage(id=message.id) for message in gone]}, "genllava")
    left = {record.id for m in graph.get_state(THREAD).values["messages"] for record in records_in(m)}
    assert left == {"turn": {"image_3"}, "request": {"image_2", "image_3"}}.get(which, left)
    lost = "image_2" if which == "middle" else "image_1"
    reply = say(graph, f"in {lost.replace('_', ' ')}, make the circle yellow")
    if lost in left:
        assert pictures(reply)[0]["extras"]["genllava"]["parents"] == [lost]
        return
    assert "send it again" in reply.text
    assert not pictures(reply)
    edited = say(graph, "in image 3, make the square yellow")
    (picture,) = pictures(edited)
    assert picture["extras"]["genllava"]["parents"] == ["image_3"]
    assert picture["id"] == "image_4"
    assert "yellow square" in edited.text


@pytest.mark.parametrize("inside", [False, True], ids=["by itself", "in a host"])
@pytest.mark.parametrize("forgotten", [False, True], ids=["same process", "as in another process"])
def test_an_ordinary_message_takes_the_place_of_a_turn_that_waits(
    pipeline: GenLlavaPipeline, tmp_path: Path, inside: bool, forgotten: bool
) -> None:
    def made(saver: Any) -> Any:
        options: dict[str, Any] = {"interrupt_on": {"edit": True}, "artifacts": tmp_path / "kept", "seed": 1}
        if inside:  # what has begun in a node is known in its next run where it has a memory of its own
            return host(create_genllava_agent(pipeline, checkpointer=True, **options), saver)
        return create_genllava_agent(pipeline, checkpointer=saver, **options)

    saver = InMemorySaver()
    graph = made(saver)
    say(graph, RED)
    assert graph.invoke(ask("make it green"), THREAD, version="v2").interrupts
    if forgotten:
        graph = made(saver)
    done = graph.invoke(ask("what color is the circle?"), THREAD, version="v2")
    assert not done.interrupts
    messages = done.value["messages"]
    assert messages[-1].text == "The circle is red."
    said = [message.text for message in messages if isinstance(message, HumanMessage)]
    assert said == [RED, "make it green", "what color is the circle?"]
    ended = next(m for m in messages if isinstance(m, AIMessage) and "a new request took its place" in m.text)
    assert not ended.tool_calls
    if not inside:  # a host puts what it did not know last
        assert messages[messages.index(ended) + 1].text == "what color is the circle?"
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    called = {made["id"] for message in messages if isinstance(message, AIMessage) for made in message.tool_calls}
    assert called == answered, "no API takes a call without a result"


def test_savers_of_others_need_to_know_no_types(pipeline: GenLlavaPipeline, caplog: pytest.LogCaptureFixture) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="edit")
    graph = host(agent.graph, InMemorySaver())
    with warnings.catch_warnings(), caplog.at_level("WARNING"):
        warnings.filterwarnings("error", message=".*unregistered.*")
        graph.invoke(ask(f"{RED}, then make it green"), THREAD)
        agent.parts.sessions.clear()
        (task,) = graph.get_state(THREAD, subgraphs=True).tasks
        values = task.state.values
        json.dumps({name: value for name, value in values.items() if name != "messages"})
        graph.invoke(Command(resume={"decision": "approve"}), THREAD)
        values = graph.get_state(THREAD).values
    assert set(values) == {"messages"}
    assert "unregistered" not in caplog.text.lower()


@pytest.mark.slow
def test_strict_savers_read_all_that_is_kept(tmp_path: Path) -> None:
    script = """
        import json, sys
        from langchain_core.messages import HumanMessage
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.types import Command
        from genllava_agent import create_genllava_agent
        saver, thread = InMemorySaver(), {"configurable": {"thread_id": "a"}}
        graph = create_genllava_agent(
            checkpointer=saver, artifacts=":memory:", interrupt_on={"edit": True}, seed=1
        )
        text = "draw a large red circle at the top left, then make it green"
        graph.invoke({"messages": [HumanMessage(text)]}, thread)
        values = graph.get_state(thread).values
        json.dumps({name: value for name, value in values.items() if name != "messages"})
        graph.invoke(Command(resume={"decision": "approve"}), thread)
        values = graph.get_state(thread).values
        json.dumps({name: value for name, value in values.items() if name != "messages"})
        print(values["messages"][-1].text, [type(m).__name__ for m in values["messages"]])
        print(len(list(graph.get_state_history(thread))) > 5)
    """
    for strict in ("true", "false"):
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "agent"))),
                              "LANGGRAPH_STRICT_MSGPACK": strict},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "green circle" in ran.stdout
        assert "unregistered" not in ran.stderr.lower(), ran.stderr
        assert "blocked" not in ran.stderr.lower(), ran.stderr


class Old(InMemorySaver):
    """As savers were before there were channels that keep what was added."""

    def __getattribute__(self, name: str) -> Any:
        if name == "get_delta_channel_history":
            raise AttributeError(name)
        return super().__getattribute__(name)


def test_a_checkpointer_that_is_too_old_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"Old is too old.*langgraph-checkpoint"):
        create_genllava_agent(checkpointer=Old(), artifacts=":memory:")
    with pytest.raises(InvalidRequest, match=r"Old is too old"):
        VisualAgent(checkpointer=Old(), store=":memory:")
    with pytest.raises(InvalidRequest, match="no LangGraph checkpointer"):
        create_genllava_agent(checkpointer="memory", artifacts=":memory:")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_saver_of_the_users_own(pipeline: GenLlavaPipeline, tmp_path: Path, kind: str) -> None:
    with opened(kind, tmp_path) as saver:
        with VisualAgent(pipeline, store=tmp_path / "kept", checkpointer=saver, seed=1) as agent:
            first = agent.thread("mine")(RED)
            assert first.image is not None
            assert agent.threads() == ["mine"]
        with VisualAgent(pipeline, store=tmp_path / "kept", checkpointer=saver, seed=1) as agent:
            thread = agent.thread("mine", must_exist=True)
            assert "green circle" in thread("make it green").text
            assert len(thread.history()) == 2
            thread.undo()
            assert len(thread.history()) == 1
            other = thread.branch("other")
            assert "blue" in other("make it blue").text
            thread.delete()
            assert agent.threads() == ["other"]
        assert not list(saver.list({"configurable": {"thread_id": "mine"}}))


def test_stream_modes(seeded: VisualAgent) -> None:
    graph = create_genllava_agent(seeded.engine.pipeline, checkpointer=InMemorySaver(), artifacts=":memory:", seed=1)
    modes: Any = ["messages", "updates", "custom", "values"]
    heard: dict[str, list[Any]] = {mode: [] for mode in modes}
    for mode, data in graph.stream(ask(RED), THREAD, stream_mode=modes):
        heard[mode].append(data)
    assert all(heard.values()), {mode: len(parts) for mode, parts in heard.items()}
    assert next(name for update in heard["updates"] for name in update) == "ingest"
    assert heard["values"][-1]["messages"][-1].text == heard["messages"][-1][0].text
    assert heard["messages"][-1][1]["langgraph_node"] == "finish"
    assert any(type(event).__name__ == "ImageReady" for event in heard["custom"])

    async def listen() -> list[tuple[str, Any]]:
        return [part async for part in graph.astream(ask("what color is it?"), THREAD, stream_mode=modes)]

    parts = asyncio.run(listen())
    assert {mode for mode, _ in parts} == set(modes)
    assert "red" in parts[-1][1]["messages"][-1].text
    assert "red" in asyncio.run(graph.ainvoke(ask("what color is it?"), THREAD))["messages"][-1].text


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_who_stops_to_listen_leaves_nothing_that_grows(
    seeded: VisualAgent, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(base, "_MOST", 2)
    monkeypatch.setattr(base, "_KEPT", 1)

    async def listen() -> None:
        async for _ in seeded.graph.astream(ask("how are you?"), stream_mode="updates"):
            break

    for _ in range(4):
        if how == "stream":
            next(iter(seeded.graph.stream(ask("how are you?"), stream_mode="updates")))
        else:
            asyncio.run(listen())
    assert len(seeded.parts.sessions) <= 2


def test_time_travel(seeded: VisualAgent) -> None:
    graph = create_genllava_agent(seeded.engine.pipeline, checkpointer=InMemorySaver(), artifacts=":memory:", seed=1)
    say(graph, RED)
    say(graph, "make it green")
    assert "green" in say(graph, "what color is the circle?").text
    ends = [state for state in graph.get_state_history(THREAD) if not state.next]
    assert len(ends) == 3
    drawn = ends[-1]
    assert len([m for m in drawn.values["messages"] if isinstance(m, HumanMessage)]) == 1
    branched = graph.invoke(ask("what color is the circle?"), drawn.config)["messages"]
    assert branched[-1].text == "The circle is red."
    assert len([m for m in branched if isinstance(m, HumanMessage)]) == 2
    config = graph.update_state(drawn.config, {"messages": [HumanMessage("make it blue")]}, "__start__")
    assert graph.get_state(config).next == ("ingest",)
    assert "blue circle" in graph.invoke(None, config)["messages"][-1].text
    decided = next(state for state in graph.get_state_history(THREAD) if state.next == ("edit",))
    again = graph.invoke(None, decided.config)["messages"]
    assert pictures(again[-1]), "a step is made once more"


def test_schemas_can_be_made(seeded: VisualAgent) -> None:
    graph = seeded.graph
    for schema in (graph.get_input_jsonschema(), graph.get_output_jsonschema(), graph.get_context_jsonschema()):
        json.dumps(schema)
    assert "messages" in graph.get_input_jsonschema()["properties"]
    assert "seed" in graph.get_context_jsonschema()["properties"]
    json.dumps(graph.get_config_jsonschema())
    assert graph.get_graph().draw_mermaid()


def test_a_context_as_the_server_hands_it_over(pipeline: GenLlavaPipeline) -> None:
    graph: Any = VisualAgent(pipeline, store=":memory:").graph
    drawn = [graph.invoke(ask(RED), context=given)["messages"][-1] for given in ({"seed": 1}, TurnSettings(seed=1))]
    assert pictures(drawn[0]) == pictures(drawn[1])
