"""`python -m benchmarks.things_suites`: the frozen suites through the agent.

`genllava evaluate` asks a pipeline's protocol directly; here every case is a thread of the agent, as a person
meets the model: tools and what is done to the conversation are called as they would be.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from genllava.errors import GenLlavaError
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Produced, Split
from genllava_finetune.worlds.things.grading.grading import TOOL, details_of, routes_of, score_turn
from genllava_finetune.worlds.things.grading.test_file_run import Chat
from genllava_finetune.worlds.things.suites import SUITES, Case, build_suite

_TASKS: Final = {"understand": "I2T", "generate": "T2I", "edit": "I2I"}
_MORE_TOOLS: Final = "more_tools"


def produced_of(reply: Any, chat: Chat) -> list[Produced]:
    """What came of a turn, as the grader takes it: one segment for each step, or its words."""
    made = list[Produced]()
    for step in reply.steps:
        if step.tool == _MORE_TOOLS:
            continue
        if step.action == "tool":
            call = {"name": step.tool, "arguments": dict(step.arguments)}
            made.append(Produced(TOOL, json.dumps(call)))
            continue
        there = step.outcome == "ok" and step.image is not None and step.image in chat.images
        image = chat.images[step.image].image.convert("RGB") if there else None
        made.append(Produced(_TASKS[step.action], step.text or None, image, getattr(step, "plan", None)))
    if not made and reply.text:
        made.append(Produced("I2T", reply.text))
    return made


def run_suite(name: str, begin: Callable[[str], Chat], cases: Sequence[Case]) -> dict[str, Share]:
    """The figures of a suite: right cases, routes, and finer ones.

    Args:
        begin: begins a chat of that name.
    """
    asked, found = SUITES[name].asked, defaultdict[str, list[bool]](list)
    for number, case in enumerate(cases):
        chat, whole = begin(f"{name} {number}"), True
        for turn, pictures in zip(case.turns, case.pictures, strict=True):
            try:
                produced = produced_of(chat(turn.user, list(pictures) or None, seed=case.seed), chat)
            except GenLlavaError:  # it broke down, or wrote what cannot be
                produced = []
            if asked == "first task":
                right = routes_of(produced)[:1] == turn.tasks[:1]
            else:
                score = score_turn(turn, produced)
                right = score.right
                found["routing"].append(score.routed)
                for detail, value in details_of(turn, score):
                    found[detail].append(value)
            found[f"turns of {turn.kind}"].append(right)
            whole = whole and right
        found[name].append(whole)
    return {each: Share.of(found[each]) for each in (name, *sorted(found.keys() - {name}))}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.things_suites", description=__doc__)
    parser.add_argument("--model", help="folder of a saved model; default: the shipped one")
    parser.add_argument("--suites", help="beginnings of names, separated by commas; default: all")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--n", type=int, default=50, help="cases of every suite")
    parser.add_argument("--things", type=int, default=286, help="only the first so many things occur")
    parser.add_argument("--device")
    parser.add_argument("-o", "--output", type=Path, help="file for all figures, as JSON")
    given = parser.parse_args()
    from genllava_agent import VisualAgent

    split: Split = given.split
    beginnings = tuple(given.suites.split(",")) if given.suites else ("",)
    report: dict[str, Any] = {}
    with VisualAgent(given.model, device=given.device, store=":memory:", tools="visual") as agent:
        for name in [name for name in SUITES if name.startswith(beginnings)]:
            figures = run_suite(name, agent.thread, build_suite(name, split, given.n, given.things))
            print(f"{name}: {figures[name]} of {figures[name].n}", flush=True)
            report[name] = {each: share.as_dict() for each, share in figures.items()}
            if given.output is not None:
                given.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
