"""Tools that fail, and tools that take too long: what the model is told, how often it may try, and what is logged."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool
from scripted import Scripted, call, offered

from genllava.errors import Cancelled, CheckpointError, ImageRejected, InvalidRequest, NonFiniteError, NotEnoughMemory
from genllava_agent import VisualAgent, events
from genllava_agent.tool_faults import fate_of
from genllava_tools.errors import ToolFailed, ToolUnavailable, UnknownTool

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (InvalidRequest("the box is upside down"), "mendable"),
        (ImageRejected("no picture"), "mendable"),
        (UnknownTool("there is none"), "mendable"),
        (ToolException("not so"), "mendable"),
        (ValueError("amount must be positive"), "mendable"),
        (TimeoutError("no answer"), "mendable"),
        (ToolUnavailable("needs weights"), "final"),
        (CheckpointError("of another task"), "final"),
        (NonFiniteError("NaN"), "final"),
        (NotEnoughMemory("too large"), "final"),
        (ModuleNotFoundError("no module"), "final"),
        (PermissionError("not allowed"), "final"),
        (ToolFailed("it broke"), "defect"),
        (ZeroDivisionError("division by zero"), "defect"),
        (KeyError("k"), "defect"),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else given,
)
def test_what_becomes_of_a_call_by_its_error(error: Exception, fate: str) -> None:
    assert fate_of(error) == fate


class Failing:
    """A tool that raises what it is given, one after the other, and then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

        def odd(amount: int = 1) -> str:
            """Do it."""
            if self.errors:
                raise self.errors.pop(0)
            return f"done with {amount}"

        self.tool = StructuredTool.from_function(odd)


def planned(pipeline: GenLlavaPipeline, *script: Any, tools: list[Any], **options: Any) -> tuple[VisualAgent, Scripted]:
    model = Scripted(script=list(script))
    return VisualAgent(pipeline, store=":memory:", decider=model, tools=tools, **options), model


def told(model: Scripted) -> list[str]:
    return [message.text for message in model.heard[-1] if isinstance(message, ToolMessage)]


def test_what_can_be_mended_is_told_once(pipeline: GenLlavaPipeline) -> None:
    failing = Failing(InvalidRequest("odd: `amount` must be even"))
    agent, model = planned(pipeline, call(("odd", {})), call(("odd", {"amount": 2})), "Done.", tools=[failing.tool])
    reply = agent("do it")
    assert [(step.outcome, step.fate) for step in reply.steps[:2]] == [("error", "mendable"), ("ok", None)]
    assert told(model) == ["odd: `amount` must be even", "done with 2"]
    assert reply.text == "Done."


def test_the_second_time_ends_the_attempts(pipeline: GenLlavaPipeline) -> None:
    """Also where something else was done in between: the tool is not offered again in this turn, and in the next."""

    @tool
    def other() -> str:
        """Do something else."""
        return "yes"

    wrong = InvalidRequest("odd: `amount` must be even")
    script = [call(("odd", {})), call(("other", {})), call(("odd", {})), "It cannot be done."]
    agent, model = planned(pipeline, *script, tools=[Failing(wrong, wrong).tool, other])
    reply = agent("do it")
    assert [step.outcome for step in reply.steps] == ["error", "ok", "error", "ok"]
    assert told(model)[-1].endswith("That was the last attempt in this turn: do without it, and say so.")
    assert ["odd" in offered(each) for each in model.bound] == [True, True, True, False]
    assert reply.text == "It cannot be done."
    model.script[:] = [call(("odd", {})), "Now it was."]
    assert reply.thread("once more").text == "Now it was."
    assert "odd" in offered(model.bound[-1])


def test_twice_in_a_row_is_said(pipeline: GenLlavaPipeline) -> None:
    wrong = InvalidRequest("odd: `amount` must be even")
    agent, _ = planned(pipeline, call(("odd", {})), call(("odd", {})), tools=[Failing(wrong, wrong).tool])
    reply = agent("do it")
    assert "two errors in a row" in reply.stopped
    assert reply.text.count("I could not call odd: odd: `amount` must be even.") == 2


@pytest.mark.parametrize("called_anyhow", [False, True])
def test_what_is_final_is_not_tried_again(pipeline: GenLlavaPipeline, called_anyhow: bool) -> None:
    failing = Failing(ToolUnavailable("odd needs the odd model: run `hf download odd/odd`"))
    more = [call(("odd", {}))] if called_anyhow else []
    agent, model = planned(pipeline, call(("odd", {})), *more, "It needs a model: hf download.", tools=[failing.tool])
    reply = agent("do it")
    assert (reply.steps[0].fate, reply.steps[0].text) == ("final", "odd needs the odd model: run `hf download odd/odd`")
    assert "Calling it again changes nothing" in told(model)[0]
    assert "odd" not in offered(model.bound[1])
    if called_anyhow:
        assert "There is no tool 'odd'" in told(model)[-1]
    assert reply.text == "It needs a model: hf download."


def test_a_defect_is_said_and_logged_with_its_cause(
    pipeline: GenLlavaPipeline, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    cause = ZeroDivisionError("division by zero")
    broken = ToolFailed("odd broke, which is no fault of its arguments (ZeroDivisionError: division by zero)")
    broken.__cause__ = cause
    agent, model = planned(pipeline, call(("odd", {})), "The tool is broken.", tools=[Failing(broken).tool])
    with caplog.at_level(logging.ERROR):
        reply = agent("do it")
    assert reply.steps[0].fate == "defect"
    assert "no fault of its arguments" in reply.steps[0].text
    assert "This is a defect of the tool" in told(model)[0]
    (record,) = (each for each in caplog.records if each.name.startswith("genllava_agent"))
    assert record.exc_info is not None
    assert record.exc_info[1] is not None
    assert record.exc_info[1].__cause__ is cause
    assert "Traceback" not in capfd.readouterr().err, "nothing is printed where nobody asked for it"


# --- time ---


class Blocked:
    """A tool that waits until the test is over, and then gives something that nobody wants."""

    def __init__(self, awaited: bool = False) -> None:
        self.begun, self.release, self.ended = threading.Event(), threading.Event(), threading.Event()

        def block() -> str:
            """Wait."""
            self.begun.set()
            self.release.wait(60)
            self.ended.set()
            return "too late"

        async def block_awaited() -> str:
            """Wait, and let nobody else do anything meanwhile."""
            return block()

        made: BaseTool = StructuredTool.from_function(block, name="block")
        self.tool = StructuredTool.from_function(coroutine=block_awaited, name="block") if awaited else made


@pytest.fixture
def blocked() -> Iterator[Blocked]:
    made = Blocked()
    yield made
    made.release.set()


def left_behind(reply: Any, model: Scripted, at: str) -> None:
    (step, *_) = reply.steps
    assert (step.outcome, step.fate) == ("error", "final")
    assert step.text == f"block was still at work at {at}: it was left behind, and nothing of it is kept"
    assert not any("too late" in message.text for heard in model.heard for message in heard)


@pytest.mark.parametrize("awaited", [False, True])
def test_a_tool_that_takes_too_long_is_left_behind(pipeline: GenLlavaPipeline, awaited: bool) -> None:
    blocked = Blocked(awaited)
    agent, model = planned(pipeline, call(("block", {})), "It took too long.", tools=[blocked.tool])
    began = time.monotonic()
    reply = agent("wait", limits={"tool_seconds": 0.3})
    assert time.monotonic() - began < 20
    left_behind(reply, model, "the limit of 0.3 seconds for a tool")
    assert reply.text == "It took too long."
    blocked.release.set()
    assert blocked.ended.wait(20), "it goes on by itself, and what it gives is ignored"
    model.script[:] = ["Hello."]
    assert reply.thread("hello").text == "Hello."
    assert len(reply.thread.history()) == 2


@pytest.mark.parametrize("way", ["call", "acall", "graph"])
def test_the_limit_of_the_turn_holds_for_tools(pipeline: GenLlavaPipeline, blocked: Blocked, way: str) -> None:
    agent, model = planned(pipeline, call(("block", {})), tools=[blocked.tool], limits={"seconds": 1.0})
    began = time.monotonic()
    if way == "graph":
        done = asyncio.run(agent.graph.ainvoke({"messages": [HumanMessage("wait")]}))
        text = done["messages"][-1].text
    else:
        reply = agent("wait") if way == "call" else asyncio.run(agent.acall("wait"))
        left_behind(reply, model, "the limit of 1 seconds")
        text = reply.text
    assert time.monotonic() - began < 20
    assert "I stopped early (the limit of 1 seconds)" in text


@pytest.mark.parametrize("way", ["call", "stream", "acall", "graph"])
def test_who_cancels_does_not_wait_for_the_tool(pipeline: GenLlavaPipeline, blocked: Blocked, way: str) -> None:
    agent, model = planned(pipeline, call(("block", {})), tools=[blocked.tool])
    thread = agent.thread("t")
    began = time.monotonic()
    if way == "call":
        with pytest.raises(Cancelled):
            thread("wait", cancel=blocked.begun.is_set)
    elif way == "stream":
        for event in thread.stream("wait"):
            if isinstance(event, events.ToolStarted):
                break
    else:

        async def main() -> None:
            asked = {"messages": [HumanMessage("wait")]}
            task = asyncio.ensure_future(thread.acall("wait") if way == "acall" else agent.graph.ainvoke(asked))
            while not blocked.begun.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
    assert time.monotonic() - began < 20
    assert not blocked.ended.is_set()
    assert (thread.history(), thread.unfinished) == ([], None)
    model.script[:] = ["Hello."]
    assert thread("hello").text == "Hello."


PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = sys.argv[1:]
from genllava_agent import VisualAgent
from genllava_agent.deciders.base import call_message
from genllava_agent.workers import VerbWorker

def block() -> str:
    "Wait for ever."
    print("working", flush=True)
    while True:
        time.sleep(1)

class Decider:
    worker, needs_model, speaks = VerbWorker(), False, True
    def decide(self, session, state, possible, tell):
        return [call_message("block", {})]

agent = VisualAgent(store=":memory:", tools=[block], decider=Decider())
try:
    agent("wait")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_the_tool_and_neither_does_the_end_of_the_program() -> None:
    paths = [str(ROOT / folder) for folder in ("", "agent", "tools", "finetune")]
    command = [sys.executable, "-c", PROGRAM, *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(30) == 0
        assert time.monotonic() - pressed < 30
