"""Requests that take two to five calls of tools, on photographs and drawings, each judged by what came of it.

    python -m benchmarks tool_tasks                                   # one right solution of each: the upper bound
    python -m benchmarks tool_tasks --decider dropped                 # with a call left out: what the checks notice
    python -m benchmarks tool_tasks --decider my_module:make_chat_model --json report.json
    python -m benchmarks tool_tasks --model owner/name --decider ""   # a pipeline's own model decides

All of them run through the agent's graph with the tools of the registry. A check looks at pixels, words and figures and
not at the calls, so that whoever decides may do it another way.
"""

from __future__ import annotations

from typing import Final

from benchmarks.tool_tasks import (
    compose,
    cut,
    drawings,
    figures,
    hide,
    mark,
    objects,
    painting,
    reading,
    tones,
)
from benchmarks.tool_tasks.run import Score, run
from benchmarks.tool_tasks.task import Task

_KINDS: Final = (cut, compose, hide, figures, mark, tones, objects, reading, painting, drawings)
TASKS: Final[tuple[Task, ...]] = tuple(task for kind in _KINDS for task in kind.TASKS)


def measure(decider: str = "scripted", model: str | None = None) -> dict[str, object]:
    """Run all tasks, print a table, and give the report.

    Args:
        decider: see `run.run`.
        model: see `run.run`.
    """
    scores = run(TASKS, decider, model)
    print(table(scores), flush=True)
    return report(scores, decider, model)


def table(scores: list[Score]) -> str:
    """Right tasks by kind, and why the others are not, for people."""
    lines = [f"{'kind':<24} {'right':>12} {'calls':>6} {'seconds':>8}"]
    for kind in [*dict.fromkeys(score.task.kind for score in scores), ""]:
        ran = [score for score in scores if score.task.kind in (kind, kind or score.task.kind) and not score.skipped]
        right = sum(not score.wrong for score in ran)
        share = f"{right} of {len(ran)}"
        calls, seconds = sum(score.calls for score in ran), sum(score.seconds for score in ran)
        lines.append(f"{kind or 'all':<24} {share:>12} {calls / max(1, len(ran)):>6.1f} {seconds:>8.1f}")
    skipped = [score for score in scores if score.skipped]
    if skipped:
        lines.append(f"{len(skipped)} tasks were skipped: {'; '.join(sorted({score.skipped for score in skipped}))}")
    lines += [
        f"- {score.task.kind}: {score.task.request!r} on {', '.join(score.task.pictures)}: {score.wrong}"
        for score in scores
        if score.wrong
    ]
    return "\n".join(lines)


def report(scores: list[Score], decider: str, model: str | None) -> dict[str, object]:
    """The same for programs, with every task."""
    ran = [score for score in scores if not score.skipped]
    right = sum(not score.wrong for score in ran)
    return {
        "decider": decider or "the model",
        "model": model or "shipped",
        "tasks": len(scores),
        "run": len(ran),
        "right": right,
        "percent": round(100 * right / max(1, len(ran)), 1),
        "seconds": round(sum(score.seconds for score in ran), 1),
        "each": [
            {
                "kind": score.task.kind,
                "request": score.task.request,
                "pictures": list(score.task.pictures),
                "right": not score.wrong and not score.skipped,
                **({"wrong": score.wrong} if score.wrong else {}),
                **({"skipped": score.skipped} if score.skipped else {}),
                "calls": score.calls,
                "seconds": score.seconds,
            }
            for score in scores
        ],
    }
