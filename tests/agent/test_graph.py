"""The graph is what its documentation draws; which faults of its nodes become steps, and which come out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from genllava import GenLlavaPipeline
from genllava.errors import Cancelled, GenLlavaError, ImageRejected, InvalidRequest
from genllava_agent import VisualAgent, create_genllava_agent, events
from genllava_agent.deciders.base import Possible, TellText, call_message, last_words
from genllava_agent.errors import StoreFailed, ThreadQuarantined, is_transient
from genllava_agent.nodes.base import RETRIES
from genllava_agent.session import Session
from genllava_agent.state import AgentState
from genllava_agent.workers import VerbWorker

ROOT = Path(__file__).resolve().parents[2]


def test_the_documentation_draws_the_graph(agent: VisualAgent) -> None:
    drawn = re.findall(r"^ +(\w+) (-->|-\.->) (\w+)$", (ROOT / "docs" / "agent.md").read_text(), re.M)
    ends = {"__start__": "start", "__end__": "stop"}
    edges = [
        (ends.get(edge.source, edge.source), "-.->" if edge.conditional else "-->", ends.get(edge.target, edge.target))
        for edge in agent.graph.get_graph().edges
    ]
    assert sorted(drawn) == sorted(edges)


class Refused(Exception):
    """As those of clients of servers."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status_code = status


class Answered(Exception):
    """As those of clients that keep the server's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = Refused(status)


@pytest.mark.parametrize(
    ("fault", "transient"),
    [
        (Refused(429), True), (Refused(408), True), (Refused(409), True), (Refused(503), True), (Answered(500), True),
        (TimeoutError(), True), (ConnectionResetError(), True),
        (Refused(401), False), (Answered(404), False), (ValueError("no"), False), (OSError(28, "No space"), False),
        (StoreFailed("no"), False), (InvalidRequest("no"), False), (Cancelled("no"), False),
    ],
    ids=repr,
)  # fmt: skip
def test_what_may_work_in_a_moment(fault: Exception, transient: bool) -> None:
    assert is_transient(fault) == transient


class Faulty:
    """Fails with these faults, one after the other, where it draws or where it decides; then it draws once."""

    needs_model = False
    speaks = False

    def __init__(self, decide: list[BaseException], draw: list[BaseException]) -> None:
        self.faults, self.asked, outer = decide, 0, draw

        class Worker(VerbWorker):
            def draw(self, *args: Any) -> Any:
                if outer:
                    raise outer.pop(0)
                return super().draw(*args)

        self.worker = Worker()

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        if any(step.image for step in state["steps"]):
            return [last_words()]
        return [call_message("generate", {"instruction": "a large red circle"})]

    def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits before the next attempt."""
    monkeypatch.setattr("langgraph.pregel._retry.time.sleep", lambda _: None)
    return


def faulty(pipeline: GenLlavaPipeline, *, decide: Any = (), draw: Any = ()) -> tuple[VisualAgent, Faulty]:
    decider = Faulty(list(decide), list(draw))
    return VisualAgent(pipeline, store=":memory:", decider=decider, verify=0, num_inference_steps=1), decider


def test_a_decider_that_is_too_busy_is_asked_again(pipeline: GenLlavaPipeline) -> None:
    agent, decider = faulty(pipeline, decide=[Refused(429), TimeoutError("slow")])
    heard = list(agent.stream("draw"))
    assert decider.asked == RETRIES + 1, "three times for the first call, once for the end"
    assert not any(isinstance(event, events.StepFailed) for event in heard)
    last = heard[-1]
    assert isinstance(last, events.TurnFinished)
    assert [(step.action, step.outcome) for step in last.reply.steps] == [("generate", "ok")], "that costs no step"
    assert len(last.reply.images) == 1


def test_a_decider_that_stays_too_busy_is_told_of(pipeline: GenLlavaPipeline) -> None:
    agent, decider = faulty(pipeline, decide=[Refused(429) for _ in range(RETRIES)])
    reply = agent("draw")
    assert [(step.action, step.outcome) for step in reply.steps] == [("understand", "error"), ("generate", "ok")]
    assert "I could not answer: Refused: status 429" in reply.text
    assert decider.asked == RETRIES + 2


@pytest.mark.parametrize("fault", [Refused(401), ValueError("no key")], ids=repr)
def test_what_does_not_change_is_not_asked_again(pipeline: GenLlavaPipeline, fault: Exception) -> None:
    agent, decider = faulty(pipeline, decide=[fault])
    reply = agent("draw")
    assert [step.outcome for step in reply.steps] == ["error", "ok"]
    assert decider.asked == 3


FAULTS = [
    (RuntimeError("CUDA\n out of memory"), "RuntimeError: CUDA out of memory"),
    (KeyError("k"), "KeyError: 'k'"),
    (Refused(429), "Refused: status 429"),  # work is not tried again
    (InvalidRequest("too long"), "too long"),
    (ImageRejected("no picture"), "no picture"),
    (ValueError("x" * 1000), f"ValueError: {'x' * 188}"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[type(fault).__name__ for fault, _ in FAULTS])
def test_a_fault_of_a_node_is_a_step(pipeline: GenLlavaPipeline, fault: Exception, said: str) -> None:
    agent, _ = faulty(pipeline, draw=[fault])
    heard = list(agent.stream("draw"))
    (failed,) = [event.step for event in heard if isinstance(event, events.StepFailed)]
    assert (failed.action, failed.outcome, failed.text) == ("generate", "error", said)
    last = heard[-1]
    assert isinstance(last, events.TurnFinished)
    reply = last.reply
    assert [step.outcome for step in reply.steps] == ["error", "ok"]
    assert f"I could not draw: {said}" in reply.text
    (_, first, result, *_) = agent.runner.look(reply.thread.name).state["messages"]
    assert result.tool_call_id == first.tool_calls[0]["id"]  # type: ignore[union-attr]
    assert (result.status, result.text) == ("error", f"This failed: {said}")  # type: ignore[union-attr]


COME_OUT: list[BaseException] = [
    Cancelled("no longer wanted"), StoreFailed("the disk is full"), ThreadQuarantined("damaged"), KeyboardInterrupt(),
]  # fmt: skip


@pytest.mark.parametrize("where", ["decide", "draw"])
@pytest.mark.parametrize("fault", COME_OUT, ids=lambda fault: type(fault).__name__)
def test_what_is_no_fault_of_a_step_comes_out(pipeline: GenLlavaPipeline, fault: BaseException, where: str) -> None:
    agent, _ = faulty(pipeline, **{where: [fault]})
    thread = agent.thread("t")
    with pytest.raises(type(fault)) as raised:
        thread("draw")
    assert raised.value is fault or isinstance(fault, GenLlavaError)
    assert (agent.threads(), agent.parts.sessions) == ([], {})
    assert len(thread("draw").images) == 1


def test_a_third_fault_in_a_row_comes_out(pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, decider = faulty(pipeline, draw=[RuntimeError("one"), RuntimeError("two")])
    reply = agent("draw")
    assert [step.outcome for step in reply.steps] == ["error", "error"]
    assert reply.stopped == "two errors in a row"
    monkeypatch.setattr(decider.worker, "end", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reply.thread("draw")
    assert agent.parts.sessions == {}


def test_a_call_that_waits_where_nobody_can_answer_comes_out(pipeline: GenLlavaPipeline) -> None:
    given: Any = {"messages": [HumanMessage("draw a large red circle")]}
    graph = create_genllava_agent(pipeline, interrupt_on={"generate": True}, artifacts=":memory:")
    with pytest.raises(InvalidRequest, match="nobody can give it without a checkpointer"):
        graph.invoke(given)
    kept = create_genllava_agent(
        pipeline, interrupt_on={"generate": True}, artifacts=":memory:", checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "t"}}
    (asked,) = kept.invoke(given, config)["__interrupt__"]
    assert asked.value["action_requests"][0]["name"] == "generate"


def test_words_that_cannot_be_read_become_a_step_and_it_is_asked_again(
    pipeline: GenLlavaPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, decider = faulty(pipeline)
    thread = agent.thread()
    assert thread("draw", approve="generate").pending
    monkeypatch.setattr(decider, "other_words", lambda *_: 1 / 0)
    reply = thread.approve("draw a star")
    assert [(step.action, step.outcome) for step in reply.steps] == [("generate", "error")]
    assert reply.pending is not None
    assert len(thread.approve().images) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kept", [False, True])
def test_the_same_message_in_two_places_at_a_time(pipeline: GenLlavaPipeline, kept: bool) -> None:
    """As where a graph of others sends its messages, which have ids, to several of its nodes."""
    saver = InMemorySaver() if kept else None
    graph = create_genllava_agent(pipeline, artifacts=":memory:", checkpointer=saver, seed=1)
    given: Any = {"messages": [HumanMessage("draw a red circle, then tell me what you see", id="one")]}
    places: list[Any] = [{"configurable": {"thread_id": str(place)}} for place in range(3)]
    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda place: graph.invoke(given, place)["messages"][-1].text, places))
    assert len(set(said)) == 1
    assert "red circle" in said[0]
