"""The graph inside of other people's graphs, and the package inside of other people's applications."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import is_invalid_resume
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command
from PIL import Image
from pydantic import ValidationError

from genllava.errors import GenLlavaError, ImageRejected
from genllava_agent import VisualAgent
from genllava_agent.errors import StoreFailed
from genllava_agent.graph import build_graph
from genllava_agent.nodes import base
from genllava_agent.records import ImageRecord
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

pytestmark = [
    pytest.mark.filterwarnings("error:.*(msgpack|LangChain|LangGraph).*"),
    pytest.mark.filterwarnings("error::DeprecationWarning:(langgraph|langchain).*"),
]
ROOT = Path(__file__).parents[2]
RED = "draw a large red circle at the top left"
THREAD: dict[str, Any] = {"configurable": {"thread_id": "theirs"}}


@dataclass
class Theirs:
    """A context of another graph, of which ours knows nothing."""

    user: str = "somebody"


def parent(agent: VisualAgent, saver: Any = None, context: type[Any] | None = None) -> Any:
    """A graph in which ours is a node."""
    builder = StateGraph(MessagesState, context_schema=context)
    builder.add_node("before", lambda state: {"messages": [SystemMessage("Pictures come from elsewhere.")]})
    builder.add_node("genllava", agent.graph)
    builder.add_node("after", lambda state: {"messages": [AIMessage("Anything else?")]})
    builder.add_edge(START, "before")
    builder.add_edge("before", "genllava")
    builder.add_edge("genllava", "after")
    builder.add_edge("after", END)
    return builder.compile(checkpointer=saver)


def ask(text: str) -> dict[str, list[AnyMessage]]:
    return {"messages": [HumanMessage(text)]}


def fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("out of memory")


def full(*_: Any, **__: Any) -> None:
    raise StoreFailed("the disk is full")


def pictures(message: AnyMessage) -> list[Any]:
    return [block for block in message.content_blocks if block["type"] == "image"]


def pixels(agent: VisualAgent, block: Any, thread: str = "theirs") -> bytes:
    """Of a picture in a message, or of one that a message refers to."""
    if "base64" in block:
        return Image.open(io.BytesIO(base64.b64decode(block["base64"]))).convert("RGB").tobytes()
    (record,) = (ImageRecord.model_validate(block["extras"]["genllava"]),)
    return agent.store.artifacts(thread).picture(record).tobytes()


@pytest.fixture
def seeded(pipeline: GenLlavaPipeline) -> VisualAgent:
    return VisualAgent(pipeline, store=":memory:", seed=1)


def test_messages_go_in_and_out(seeded: VisualAgent) -> None:
    result = seeded.graph.invoke(ask(RED), version="v2")
    assert set(result.value) == {"messages"}
    asked, called, told, reply = result.value["messages"]
    assert asked.text == RED
    assert [call["name"] for call in called.tool_calls] == ["generate"]
    assert told.tool_call_id == called.tool_calls[0]["id"]
    assert "image_1" in told.text
    assert isinstance(reply, AIMessage)
    assert "red circle" in reply.text
    assert [block["mime_type"] for block in pictures(reply)] == ["image/png"]
    assert not seeded.parts.sessions, "a finished turn leaves nothing behind"
    assert not seeded.threads(), "and is no thread of ours"


def test_a_picture_of_an_earlier_turn_is_edited(seeded: VisualAgent) -> None:
    graph = parent(seeded, InMemorySaver())
    first = graph.invoke(ask(RED), THREAD, version="v2").value["messages"]
    second = graph.invoke(ask("make it green"), THREAD, version="v2").value["messages"]
    assert [message.id for message in second[: len(first)]] == [message.id for message in first]
    reply = second[-2]
    assert "green circle" in reply.text
    assert pictures(reply)[0]["id"] == "image_2"
    third = graph.invoke(ask("what color is the circle?"), THREAD, version="v2").value["messages"]
    assert "green" in third[-2].text


def test_it_runs_in_an_event_loop(seeded: VisualAgent) -> None:
    async def both() -> list[Any]:
        graph = parent(seeded, InMemorySaver())
        configs = [{"configurable": {"thread_id": name}} for name in "ab"]
        texts = [RED, "draw a small blue square in the middle"]
        return await asyncio.gather(
            *(graph.ainvoke(ask(text), config, version="v2") for text, config in zip(texts, configs, strict=True))
        )

    red, blue = asyncio.run(both())
    assert "red circle" in red.value["messages"][-2].text
    assert "blue square" in blue.value["messages"][-2].text


def test_its_events_are_streamed_through_the_parent(seeded: VisualAgent) -> None:
    graph = parent(seeded)
    question = "how many shapes are there?"
    before = seeded.graph.invoke(ask(RED), version="v2").value["messages"]
    parts = list(
        graph.stream(
            {"messages": [*before, HumanMessage(question)]},
            stream_mode=["custom", "updates"],
            subgraphs=True,
            version="v2",
        )
    )
    inner = [part for part in parts if part["ns"] and part["ns"][0].startswith("genllava:")]
    told = [part["data"] for part in inner if part["type"] == "custom"]
    assert "".join(event.text for event in told if type(event).__name__ == "TextDelta") == "There is one shape."
    nodes = [name for part in inner if part["type"] == "updates" for name in part["data"]]
    assert nodes == ["ingest", "decide", "understand", "decide", "finish"]


@pytest.mark.parametrize("inside", [False, True], ids=["by itself", "in a parent"])
def test_a_fault_of_the_first_node_is_not_a_finished_turn(
    pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1)
    graph = parent(agent, InMemorySaver()) if inside else build_graph(agent.parts, InMemorySaver())
    with monkeypatch.context() as patch:
        patch.setattr(agent.parts.decider().worker, "begin", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            graph.invoke(ask(RED), THREAD, version="v2")
    assert graph.get_state(THREAD).next == ("genllava" if inside else "ingest",)
    messages = graph.invoke(None, THREAD, version="v2").value["messages"]
    assert "red circle" in messages[-2 if inside else -1].text


def test_messages_that_were_removed_take_their_pictures_along(pipeline: GenLlavaPipeline) -> None:
    graph = build_graph(VisualAgent(pipeline, store=":memory:", seed=1).parts, InMemorySaver())
    graph.invoke(ask(RED), THREAD, version="v2")
    graph.update_state(THREAD, {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES)]})
    assert graph.invoke(ask("is there a circle?"), THREAD, version="v2").value["messages"][-1].text


@pytest.mark.parametrize(
    ("node", "inside", "forgotten", "awaited"),
    [
        ("draw", True, False, False),
        ("draw", False, True, True),
        ("judge", True, True, False),
        ("answer", False, False, True),
        ("answer", True, True, False),
    ],
)
def test_a_fault_of_a_node_that_works_is_not_a_finished_turn(
    pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch, node: str, inside: bool, forgotten: bool, awaited: bool
) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1)
    graph = parent(agent, InMemorySaver()) if inside else build_graph(agent.parts, InMemorySaver())

    def run(messages: Any) -> Any:
        if awaited:
            return asyncio.run(graph.ainvoke(messages, THREAD, version="v2"))
        return graph.invoke(messages, THREAD, version="v2")

    if node == "answer":
        run(ask(RED))
    request = ask("how many shapes are there?" if node == "answer" else RED)
    with monkeypatch.context() as patch:
        patch.setattr(agent.parts.decider().worker, node, full)
        for messages in (request, None):  # as long as it lasts
            with pytest.raises(StoreFailed, match="the disk is full"):
                run(messages)
    assert graph.get_state(THREAD).next
    if forgotten:  # as in another process
        agent.parts.sessions.clear()
    reply = run(None).value["messages"][-2 if inside else -1]
    assert ("one shape" if node == "answer" else "red circle") in reply.text
    assert len(pictures(reply)) == (node != "answer")


def test_an_answer_that_meets_a_fault_can_be_given_again(
    pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = build_graph(VisualAgent(pipeline, store=":memory:", seed=1, margin=1.0).parts, InMemorySaver())
    assert graph.invoke(ask(RED), THREAD, version="v2").interrupts
    answer: Any = Command(resume={"choice": "generate"})
    with monkeypatch.context() as patch:
        patch.setattr(Session, "go_on", full)
        for _ in range(2):
            with pytest.raises(StoreFailed, match="the disk is full"):
                graph.invoke(answer, THREAD, version="v2")
    assert graph.get_state(THREAD).next == ("ask",)
    assert "red circle" in graph.invoke(answer, THREAD, version="v2").value["messages"][-1].text


@pytest.mark.parametrize("forgotten", [False, True], ids=["same process", "as in another process"])
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_an_approval_is_given_through_the_parent(
    pipeline: GenLlavaPipeline, tmp_path: Path, decision: str, forgotten: bool
) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="generate")
    with SqliteSaver.from_conn_string(str(tmp_path / "theirs.sqlite")) as saver:
        graph = parent(agent, saver)
        asked = graph.invoke(ask(RED), THREAD, version="v2")
        (question,) = asked.interrupts
        assert question.value["action_requests"][0]["name"] == "generate"
        assert question.value["review_configs"][0]["allowed_decisions"] == ["approve", "edit", "reject"]
        assert question.value["question"]["choices"] == ["approve", "edit", "reject"]
        if forgotten:
            agent.parts.sessions.clear()
            graph = parent(VisualAgent(pipeline, store=":memory:", seed=1, approve="generate"), saver)
        done = graph.invoke(Command(resume={question.id: {"decision": decision}}), THREAD, version="v2")
    reply = done.value["messages"][-2]
    assert not done.interrupts
    assert len(pictures(reply)) == (decision == "approve")
    assert ("did not draw" in reply.text) == (decision == "reject")


def test_waiting_for_an_answer_uses_up_no_time(pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="generate", margin=0)
    graph, clock = parent(agent, InMemorySaver()), time.monotonic
    (question,) = graph.invoke(ask(RED), THREAD, version="v2").interrupts
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3600)
    done = graph.invoke(Command(resume={question.id: {"decision": "approve"}}), THREAD, version="v2")
    reply = done.value["messages"][-2]
    assert "stopped early" not in reply.text
    assert len(pictures(reply)) == 1


def test_a_task_that_is_cancelled_stops_the_drawing(seeded: VisualAgent) -> None:
    pipeline, rows = seeded.engine.pipeline, list[int]()
    hook = pipeline.decoder.unet.register_forward_pre_hook(lambda *_: rows.append(len(rows)))
    context = TurnSettings(seed=1, num_inference_steps=500)

    async def run() -> None:
        task = asyncio.create_task(seeded.graph.ainvoke(ask(RED), context=context))
        while len(rows) < 5:
            assert not task.done()
            await asyncio.sleep(0.001)
        before = len(rows)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while seeded.engine.lock.acquire(blocking=False) is False:
            await asyncio.sleep(0.001)
        seeded.engine.lock.release()
        assert len(rows) - before <= 50, "passes that may be begun until another thread hears of it, of 500"

    try:
        asyncio.run(run())
    finally:
        hook.remove()


def test_a_thread_of_ours_is_no_part_of_a_graph_that_asks_it(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, margin=0)
    saver, replies = InMemorySaver(), list[Any]()

    def node(state: MessagesState) -> dict[str, Any]:
        replies.append(agent.thread("ours")(RED, approve="generate"))
        replies.append(agent.thread("ours").approve())
        return {"messages": [AIMessage(replies[-1].text)]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    graph = builder.compile(checkpointer=saver)
    parts = list(graph.stream(ask("go"), THREAD, stream_mode=["custom", "values"], subgraphs=True, version="v2"))
    asked, done = replies
    assert asked.pending.action == "generate"
    assert len(done.images) == 1
    assert {part["type"] for part in parts} == {"values"}, "our events are not theirs"
    assert {part["ns"] for part in parts} == {()}
    assert {each.config["configurable"]["checkpoint_ns"] for each in saver.list(THREAD)} == {""}


@pytest.mark.parametrize("by_id", [False, True])
def test_an_answer_that_comes_twice_does_nothing_the_second_time(pipeline: GenLlavaPipeline, by_id: bool) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="generate")
    graph = parent(agent, InMemorySaver())
    (question,) = graph.invoke(ask(RED), THREAD, version="v2").interrupts
    answers: list[Any] = [{"decision": "approve"}, {"decision": "approve"}, {"decision": "reject"}]
    if by_id:
        answers = [{question.id: answer} for answer in answers]
    done = graph.invoke(Command(resume=answers[0]), THREAD, version="v2").value["messages"]
    assert len(pictures(done[-2])) == 1
    rows = pipeline.counters.unet_rows
    for answer in answers[1:]:
        again = graph.invoke(Command(resume=answer), THREAD, version="v2")
        assert again.value["messages"] == done
        assert not again.interrupts
    assert pipeline.counters.unet_rows == rows, "nothing is drawn again"
    assert not agent.parts.sessions
    then = graph.invoke(ask("what color is the circle?"), THREAD, version="v2").value["messages"]
    assert then[: len(done)] == done
    assert "red" in then[-2].text


def test_an_old_answer_does_not_answer_the_next_question(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve=("generate", "edit"))
    graph = parent(agent, InMemorySaver())
    (first,) = graph.invoke(ask(f"{RED}, then make it green"), THREAD, version="v2").interrupts
    old: Command[Any] = Command(resume={first.id: {"decision": "approve"}})
    (second,) = graph.invoke(old, THREAD, version="v2").interrupts
    assert second.value["question"]["action"] == "edit"
    rows = pipeline.counters.unet_rows
    asked = graph.invoke(old, THREAD, version="v2")
    assert asked.interrupts == (second,)
    assert pipeline.counters.unet_rows == rows
    done = graph.invoke(Command(resume={second.id: {"decision": "approve"}}), THREAD, version="v2")
    assert [block["id"] for block in pictures(done.value["messages"][-2])] == ["image_1", "image_2"]


@pytest.mark.parametrize(
    ("options", "bad", "good"),
    [
        (
            {"approve": "generate"},
            [
                "yes",
                {"decision": "aprove"},
                {"decision": "edit", "instruction": "\ud800"},
                {"decisions": []},
                1,
                [],
                {"decisions": [{"type": "edit"}]},
                {"decision": "approve", "reason": "\ud800"},
                {"decisions": [{"type": "edit", "edited_action": {"name": "edit", "args": {"instruction": "x"}}}]},
            ],
            {"decision": "approve"},
        ),
        ({"margin": 1.0}, ["yes", {"choice": "tool"}, {"choice": "edit"}, {}], {"choice": "generate"}),
    ],
    ids=["approval", "clarification"],
)
def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays_open(
    pipeline: GenLlavaPipeline, options: dict[str, Any], bad: list[Any], good: dict[str, str]
) -> None:
    graph = parent(VisualAgent(pipeline, store=":memory:", seed=1, **options), InMemorySaver())
    asked = graph.invoke(ask(RED), THREAD, version="v2")
    (question,) = asked.interrupts
    for answer in bad:
        for given in (answer, {question.id: answer}):
            with pytest.raises(ValidationError) as refused:
                graph.invoke(Command(resume=given), THREAD, version="v2")
            assert is_invalid_resume(refused.value)
            assert graph.get_state(THREAD).interrupts == (question,)
    done = graph.invoke(Command(resume=good), THREAD, version="v2")
    assert not done.interrupts
    reply = done.value["messages"][-2]
    assert len(pictures(reply)) == 1
    assert "could not" not in reply.text


def test_a_turn_that_goes_on_elsewhere_draws_the_same_picture(pipeline: GenLlavaPipeline) -> None:
    """Without a seed of the user's, too."""
    drawn = []
    for forget in (False, True):
        saver = InMemorySaver()
        agent = VisualAgent(pipeline, store=":memory:", approve="generate")
        graph = parent(agent, saver)
        graph.invoke(ask(RED), THREAD, version="v2")
        (session,) = agent.parts.sessions.values()
        seed = session.seed
        if forget:
            agent.parts.sessions.clear()
            done = graph.invoke(Command(resume={"decision": "approve"}), THREAD, version="v2")
            drawn.append((seed, pixels(agent, pictures(done.value["messages"][-2])[0])))
        else:
            done = graph.invoke(Command(resume={"decision": "approve"}), THREAD, version="v2")
            again = VisualAgent(pipeline, store=":memory:", seed=seed).graph.invoke(ask(RED), version="v2")
            drawn.append((0, pixels(agent, pictures(done.value["messages"][-2])[0])))
            assert pixels(agent, pictures(again.value["messages"][-1])[0]) == drawn[-1][1]
    seed, picture = drawn[1]
    again = VisualAgent(pipeline, store=":memory:", seed=seed).graph.invoke(ask(RED), version="v2")
    assert pixels(agent, pictures(again.value["messages"][-1])[0]) == picture


@pytest.mark.parametrize("same", [True, False], ids=["same artifacts", "other artifacts"])
def test_pictures_that_only_another_process_had_are_not_made_up(
    pipeline: GenLlavaPipeline, tmp_path: Path, same: bool
) -> None:
    options: dict[str, Any] = {"seed": 1, "approve": "edit"}
    saver = InMemorySaver()
    graph = parent(VisualAgent(pipeline, store=tmp_path / "first", **options), saver)
    asked = graph.invoke(ask(f"{RED}, then make it green"), THREAD, version="v2")
    assert asked.interrupts[0].value["question"]["action"] == "edit"
    graph = parent(VisualAgent(pipeline, store=tmp_path / ("first" if same else "second"), **options), saver)
    if same:
        done = graph.invoke(Command(resume={"decision": "approve"}), THREAD, version="v2").value["messages"]
        assert [block["id"] for block in pictures(done[-2])] == ["image_1", "image_2"]
        return
    with pytest.raises(ImageRejected, match=r"image_1 .* send it"):
        graph.invoke(Command(resume={"decision": "approve"}), THREAD, version="v2")


def test_state_is_plain_data_for_their_checkpointer(pipeline: GenLlavaPipeline) -> None:
    """Checkpointers that are not ours revive no types of ours."""
    agent = VisualAgent(pipeline, store=":memory:", seed=1, approve="edit")
    graph = parent(agent, InMemorySaver())
    graph.invoke(ask(f"{RED}, then make it green"), THREAD, version="v2")
    (task,) = graph.get_state(THREAD, subgraphs=True).tasks
    held = task.state.values
    json.dumps({name: value for name, value in held.items() if name != "messages"})
    assert held["images"]["image_1"]["origin"] == "generate"
    assert held["turn"]["steps"][0]["action"] == "generate"


def test_a_context_of_theirs_says_nothing_to_ours(seeded: VisualAgent) -> None:
    graph = parent(seeded, context=Theirs)
    assert pictures(graph.invoke(ask(RED), context=Theirs(), version="v2").value["messages"][-2])


def test_settings_come_with_the_agent_or_as_context(pipeline: GenLlavaPipeline, seeded: VisualAgent) -> None:
    plain = VisualAgent(pipeline, store=":memory:").graph
    given = plain.invoke(ask(RED), context=TurnSettings(seed=1), version="v2").value["messages"][-1]
    assert pictures(given) == pictures(seeded.graph.invoke(ask(RED), version="v2").value["messages"][-1])


def test_what_cannot_be_understood_is_refused_and_leaves_nothing(seeded: VisualAgent) -> None:
    cases: list[tuple[list[AnyMessage], str]] = [
        ([], "user"),
        ([HumanMessage("hi"), AIMessage("hello")], "user"),
        ([HumanMessage(" ")], "empty"),
        ([HumanMessage([{"type": "text", "text": "what is it?"}, {"type": "image", "file_id": "image_1"}])], "file_id"),
        ([HumanMessage([{"type": "text", "text": "a"}, {"type": "image", "url": "https://a.b/c.png"}])], "URL"),
        ([HumanMessage([{"type": "text", "text": "a"}, {"type": "image", "base64": "?"}])], "damaged"),
        ([HumanMessage([{"type": "text", "text": "a"}, {"type": "audio", "base64": "AA=="}])], "audio"),
        (
            [HumanMessage([{"type": "text", "text": "a"}, {"type": "media", "data": "AA=="}])],
            "type 'media'",
        ),
    ]
    for messages, why in cases:
        with pytest.raises(GenLlavaError, match=why):
            seeded.graph.invoke({"messages": messages}, version="v2")
    assert not seeded.parts.sessions


def test_turns_that_nobody_comes_back_to_are_forgotten(pipeline: GenLlavaPipeline) -> None:
    agent = VisualAgent(pipeline, store=":memory:", approve=("understand", "generate"))
    graph = parent(agent, InMemorySaver())
    graph.invoke(ask("draw a red circle"), {"configurable": {"thread_id": "first"}}, version="v2")
    ((first, session),) = agent.parts.sessions.items()
    kept = base._KEPT
    agent.parts.sessions |= {f"copy {number}": session for number in range(kept)}
    graph.invoke(ask("draw a red circle"), {"configurable": {"thread_id": "last"}}, version="v2")
    assert len(agent.parts.sessions) == kept
    assert first not in agent.parts.sessions


# --- LangGraph's server ---
