"""Ctrl-C in somebody's program: a real signal to a process that calls the agent, while the model writes and draws."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOTS = [str(Path(__file__).resolve().parents[2] / folder) for folder in ("", "agent", "finetune")]
PROGRAM = f"""
import asyncio, json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.path[:0] = {ROOTS!r}
from genllava_agent import VisualAgent

agent = VisualAgent(store=sys.argv[1], busy="error")  # a lock that is left behind is an error at once
thread = agent.thread("t")
thread("draw a large red circle at the top left", seed=1)
pipeline = agent.engine.pipeline
left = 0

def begun(*_):  # before every token that is written, and every step of drawing
    global left
    left -= 1
    if left == 0:
        print("working", flush=True)

pipeline.decoder.unet.register_forward_pre_hook(begun)
pipeline.vlm.model.language_model.register_forward_pre_hook(begun)

def streamed(text, **options):
    for event in thread.stream(text, **options):
        pass

async def streamed_async(text, **options):
    async for event in thread.astream(text, **options):
        pass

def chat_model(text, **options):
    for chunk in agent.chat_model(**options).stream(text):
        pass

WAYS = {{
    "chat_model": chat_model,
    "call": thread,
    "stream": streamed,
    "acall": lambda *args, **options: asyncio.run(thread.acall(*args, **options)),
    "astream": lambda *args, **options: asyncio.run(streamed_async(*args, **options)),
}}
for line in sys.stdin:
    way, text, after, options = json.loads(line)
    left, before, ended = after, thread.history(), "nothing"
    try:
        WAYS[way](text, **options)
    except BaseException as error:
        ended = type(error).__name__
    told = {{
        "ended": ended,
        "at": time.monotonic(),
        "more": -left,
        "same": thread.history() == before,
        "unfinished": str(thread.unfinished),
        "running": len(agent.parts.sessions),
    }}
    told["then"] = thread("what colour is the circle?").text
    thread.undo()
    print(json.dumps(told), flush=True)
"""
WRITES = ("draw a small star, then tell me what you see, then draw a cross", 25, {})
DRAWS = ("draw a large blue square in the middle", 100, {"num_inference_steps": 300})


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A running program that has drawn a picture, and does what its input says."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path_factory.mktemp("store"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize(("text", "passes", "options"), [WRITES, DRAWS], ids=["writing", "drawing"])
@pytest.mark.parametrize("way", ["call", "stream", "acall", "astream", "chat_model"])
def test_ctrl_c_stops_at_once_and_the_thread_goes_on(
    program: subprocess.Popen[str], way: str, text: str, passes: int, options: dict[str, Any]
) -> None:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(json.dumps([way, text, passes, options]) + "\n")
    program.stdin.flush()
    assert program.stdout.readline() == "working\n", "it was over before"
    pressed = time.monotonic()
    program.send_signal(signal.SIGINT)
    told = json.loads(program.stdout.readline())
    assert told["ended"] == "KeyboardInterrupt"
    assert told["at"] - pressed < 5
    assert told["more"] <= 5, "a few may be begun before the signal arrives; many more were left"
    assert (told["same"], told["unfinished"], told["running"]) == (True, "None", 0)
    assert told["then"] == "The circle is red."
