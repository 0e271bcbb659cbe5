"""Runs tasks through the agent, whoever decides in it, and counts what came out right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tqdm import tqdm

from benchmarks.tool_tasks.deciders import SCRIPTS, Scripted
from benchmarks.tool_tasks.sources import picture
from benchmarks.tool_tasks.task import Outcome, Task
from genllava import GenLlavaPipeline
from genllava.errors import GenLlavaError, InvalidRequest
from genllava_agent import VisualAgent
from genllava_tools import find, visual_tools

Ask = Callable[[int, Task], tuple[Outcome, int]]
"""Hands a task, with its number, to whoever decides, and gives what came of it, and how many calls were made."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a task went.

    Attributes:
        task: which.
        wrong: why it is not right; empty where it is.
        skipped: what it would have needed; empty where it was run.
        calls: of tools that were made.
        seconds: it took.
    """

    task: Task
    wrong: str = ""
    skipped: str = ""
    calls: int = 0
    seconds: float = 0.0


def missing(task: Task) -> str:
    """The tools that a task needs and that cannot run here, with what they lack; empty where there are none."""
    lacking = [f"{name} {find(name).missing}" for name in task.needs if find(name).missing]
    return "; ".join(lacking)


def run(tasks: Sequence[Task], decider: str = "scripted", model: str | None = None) -> list[Score]:
    """Run tasks, each on a thread of its own.

    Args:
        tasks: what to run.
        decider: `scripted`, `dropped`, `another` or `nothing`; or `module:factory`, a function without arguments that
            makes a LangChain chat model or any other decider; empty: the model of the pipeline decides.
        model: the pipeline, a folder or an id; the one that ships, where none is given.

    Raises:
        InvalidRequest: there is no such decider.
    """
    pipeline = GenLlavaPipeline.from_pretrained(model) if model else GenLlavaPipeline.from_pretrained()
    ask = _scripts(pipeline, tasks, decider) if decider in SCRIPTS else _others(pipeline, decider)
    scores = list[Score]()
    for at, task in enumerate(tqdm(tasks, desc=decider or model, leave=False, disable=None)):
        if lacking := missing(task):
            scores.append(Score(task, skipped=lacking))
            continue
        began, calls = time.monotonic(), 0
        try:
            outcome, calls = ask(at, task)
            wrong = task.judge(outcome)
        except GenLlavaError as error:
            wrong = f"{type(error).__name__}: {error}"
        scores.append(
            Score(task, " ".join(wrong.split())[:200], calls=calls, seconds=round(time.monotonic() - began, 2))
        )
    return scores


def _scripts(pipeline: GenLlavaPipeline, tasks: Sequence[Task], script: Any) -> Ask:
    from genllava_agent.deciders.chat_model import ChatModel

    chat_model = Scripted(script=script)
    tools = {tool.name: tool for tool in visual_tools()}
    decides = ChatModel(chat_model, tools, pictures=False)  # it does not look at them
    agent = VisualAgent(pipeline, store=":memory:", tools=list(tools.values()), decider=decides)

    def ask(at: int, task: Task) -> tuple[Outcome, int]:
        same = [other for other in tasks if other.kind == task.kind]
        follows = same[(same.index(task) + len(same) // 2) % len(same)] if script == "another" else task
        chat_model.begin(follows.solution(), skipped=at % 2 if script == "dropped" else -1)
        return _outcome(agent, task)

    return ask


def _others(pipeline: GenLlavaPipeline, decider: str) -> Ask:
    agent = VisualAgent(pipeline, store=":memory:", tools=visual_tools(), decider=_made(decider) if decider else None)
    return lambda at, task: _outcome(agent, task)


def _made(name: str) -> Any:
    module, colon, factory = name.partition(":")
    if not colon:
        raise InvalidRequest(f"there is no decider {name!r}: {', '.join(SCRIPTS)}, or module:factory")
    return getattr(import_module(module), factory)()


def _outcome(agent: VisualAgent, task: Task) -> tuple[Outcome, int]:
    given = tuple(picture(name) for name in task.pictures)
    reply = agent(task.request, images=list(given), seed=0)
    outcome = Outcome(reply.text, tuple(made.image for made in reply.images), given)
    return outcome, sum(step.action == "tool" for step in reply.steps)
