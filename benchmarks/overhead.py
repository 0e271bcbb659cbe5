"""What the agent adds to a turn: the time that is not spent in the model's own calls, in memory and in a folder.

Beside it, what LangGraph alone adds: the same calls as two nodes of a graph with nothing else in it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final, TypedDict
from unittest.mock import patch

from langgraph.graph import START, StateGraph
from tqdm import tqdm

from genllava import GenLlavaPipeline
from genllava.protocols.shapes.conversation import Conversation
from genllava_agent import VisualAgent

TURNS: Final = 200
EDGE: Final = 20
"""Turns at either end whose medians are compared."""
QUESTIONS: Final = ("how many shapes are there?", "is there a star?", "what colour is the circle?")
_CALLS: Final = ("add_user", "next_action", "answer", "end_turn")


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Milliseconds added to a turn of text, median, and how that changes over a long thread."""
    result: dict[str, object] = {}
    ways = {"langgraph_alone": _alone(pipeline), "memory": _added(pipeline, False), "folder": _added(pipeline, True)}
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
    return {"turns": TURNS, **result}


def _added(pipeline: GenLlavaPipeline, durable: bool) -> Iterator[float]:
    with tempfile.TemporaryDirectory() as folder:
        agent = VisualAgent(pipeline, store=Path(folder) if durable else ":memory:", margin=0)
        thread = agent.thread("long")
        thread("draw a large red circle at the top left")
        yield from _beside_the_model(thread)
        agent.close()


class _Question(TypedDict):
    text: str


def _alone(pipeline: GenLlavaPipeline) -> Iterator[float]:
    chat = pipeline.conversation()
    chat.ask("draw a large red circle at the top left")
    start = chat.mark()

    def look(state: _Question) -> None:
        chat.add_user(state["text"])
        chat.next_action(["[I2T]"])

    def say(state: _Question) -> None:
        chat.answer()
        chat.end_turn()
        chat.rollback(start)  # where the agent's own conversations stay short, this one would become too long

    builder = StateGraph(_Question).add_sequence([look, say]).add_edge(START, "look")
    graph = builder.compile()
    yield from _beside_the_model(lambda text: graph.invoke({"text": text}))


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
