"""What the agent adds to a turn: the time that is not spent in the model's own calls, in memory and in a folder.

Beside it, what LangGraph alone takes: the same graph (nodes, channels, messages of the same size) with nodes that do
nothing, on the same saver.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest.mock import patch

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from tqdm import tqdm

from genllava import GenLlavaPipeline
from genllava.protocols.shapes.conversation import Conversation
from genllava_agent import VisualAgent
from genllava_agent.state import AgentInput, AgentOutput, Channels
from genllava_agent.stores import open_store

TURNS: Final = 200
EDGE: Final = 20
"""Turns at either end whose medians are compared."""
QUESTIONS: Final = ("how many shapes are there?", "is there a star?", "what colour is the circle?")
_ABOUT: Final[dict[str, Any]] = {"probabilities": {"[I2T]": 0.99, "[T2I]": 0.01}, "seen": "image 1: a red circle"}
_CALLS: Final = ("add_user", "next_action", "answer", "end_turn")


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Milliseconds added to a turn of text, median, and how that changes over a long thread."""
    result: dict[str, Any] = {}
    ways = {
        "memory": _added(pipeline, False),
        "memory_empty_nodes": _empty(False),
        "folder": _added(pipeline, True),
        "folder_empty_nodes": _empty(True),
    }
    for name, times in ways.items():
        added = [1000 * seconds for seconds in tqdm(times, desc=name, total=TURNS, leave=False, disable=None)]
        first, last = median(added[:EDGE]), median(added[-EDGE:])
        result[name] = {
            "median_ms": round(median(added), 2),
            "p99_ms": round(sorted(added)[int(0.99 * len(added))], 2),
            "first_turns_ms": round(first, 2),
            "last_turns_ms": round(last, 2),
            "ratio": round(last / first, 2),
        }
    for name in ("memory", "folder"):
        ours, alone = result[name], result[f"{name}_empty_nodes"]
        parts = ("median_ms", "first_turns_ms", "last_turns_ms")
        result[f"{name}_against_empty_nodes"] = {part: round(ours[part] / alone[part], 2) for part in parts}
    return {"turns": TURNS, **result}


def _added(pipeline: GenLlavaPipeline, durable: bool) -> Iterator[float]:
    with tempfile.TemporaryDirectory() as folder:
        agent = VisualAgent(pipeline, store=Path(folder) if durable else ":memory:", margin=0)
        thread = agent.thread("long")
        thread("draw a large red circle at the top left")
        yield from _beside_the_model(thread)
        agent.close()


def _empty(durable: bool) -> Iterator[float]:
    """A turn in words of a graph with the agent's channels, whose nodes write what ours do and do nothing else."""

    def ingest(state: dict[str, Any]) -> dict[str, Any]:
        return {"turn": {"id": "t", "number": 1, "at": 0.0, "seed": 1, "request": {"text": state["messages"][-1].text}}}

    def decide(state: dict[str, Any]) -> dict[str, Any]:
        if isinstance(state["messages"][-1], ToolMessage):
            return {"messages": [AIMessage("", id=uuid.uuid4().hex)]}
        call = {"name": "understand", "args": {"instruction": state["messages"][-1].text}, "id": uuid.uuid4().hex}
        return {"messages": [AIMessage("", tool_calls=[call], response_metadata=_ABOUT)]}

    def understand(state: dict[str, Any]) -> dict[str, Any]:
        called = state["messages"][-1].tool_calls[0]["id"]
        step = {"action": "understand", "text": "There is one shape.", "probabilities": _ABOUT["probabilities"]}
        return {
            "messages": [ToolMessage("There is one shape.", tool_call_id=called)],
            "turn": {**state["turn"], "steps": [step]},
        }

    def finish(state: dict[str, Any]) -> dict[str, Any]:
        turn = {**state["turn"], "stream": [1] * 40, "seconds": 0.1}
        reply = AIMessage("There is one shape.", id=state["messages"][-1].id, response_metadata={"turn": turn})
        return {"messages": [reply], "turn": None}

    builder = StateGraph(Channels, input_schema=AgentInput, output_schema=AgentOutput)
    for node in (ingest, decide, understand, finish):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "ingest").add_edge("ingest", "decide").add_edge("understand", "decide")
    builder.add_conditional_edges(
        "decide", lambda state: "understand" if state["messages"][-1].tool_calls else "finish", ["understand", "finish"]
    )
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) if durable else ":memory:")
        graph = builder.compile(checkpointer=store.saver("long"))
        config: Any = {"configurable": {"thread_id": "long"}}
        for number in range(TURNS):
            began = time.perf_counter()
            graph.invoke({"messages": [HumanMessage(QUESTIONS[number % len(QUESTIONS)])]}, config, durability="sync")
            store.settle("long")
            yield time.perf_counter() - began
        store.close()


def _beside_the_model(turn: Callable[[str], object]) -> Iterator[float]:
    """Seconds of each turn that are not spent in the model's own calls."""
    for number in range(TURNS):
        with _model_time() as spent:
            began = time.perf_counter()
            turn(QUESTIONS[number % len(QUESTIONS)])
            whole = time.perf_counter() - began
        yield whole - spent()


@contextmanager
def _model_time() -> Iterator[Callable[[], float]]:
    """Add up what is spent in the calls that a program without the agent would make itself."""
    total, depth = 0.0, 0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal total, depth
            depth += 1
            began = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                depth -= 1
                if depth == 0:
                    total += time.perf_counter() - began

        return run

    patches = [patch.object(Conversation, name, timed(getattr(Conversation, name))) for name in _CALLS]
    for each in patches:
        each.start()
    try:
        yield lambda: total
    finally:
        for each in patches:
            each.stop()
