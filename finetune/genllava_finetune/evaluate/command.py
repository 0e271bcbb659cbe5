"""`genllava evaluate`: run the suites and print the report."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markdown import Markdown

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava_finetune.evaluate.baselines import baselines_of, parser_bounds, unseeing
from genllava_finetune.evaluate.freezing import SPLITS, check_frozen, fingerprint
from genllava_finetune.evaluate.report import Report, total
from genllava_finetune.evaluate.running import route, run_conversations, run_single
from genllava_finetune.evaluate.suites import CONVERSATIONS, ROUTING, SUITES, Case, build_suite
from genllava_finetune.worlds.shapes.scene import CANVAS
from genllava_finetune.worlds.shapes.splits import Split

ROUTING_TIMES: Final = 4
"""A route costs next to nothing, and nearly all are right: more cases than elsewhere."""
UNSEEING_SHARE: Final = 10
"""One question in so many is also asked with the wrong picture."""


def run(pipeline: GenLlavaPipeline, split: str, n: int, names: Sequence[str], json_path: Path | None = None) -> Report:
    """Measure a pipeline and print the report.

    Args:
        n: cases of every suite, and so of every family of questions.
        names: the suites, see `select`.
        json_path: where the whole report is written as well, after every suite what there is of it.

    Raises:
        InvalidRequest: no split is called so, or the oracle cannot read what the model draws.
    """
    chosen: Split | None = next((known for known in SPLITS if known == split), None)
    if chosen is None:
        raise InvalidRequest(f"there is no split {split!r}: {' or '.join(SPLITS)}")
    report = measure(pipeline, chosen, n, names, json_path)
    Console().print(Markdown(report.markdown()))
    return report


def select(suites: Sequence[str] | None) -> list[str]:
    """The names of the suites that start with one of `suites`; all if None.

    Raises:
        InvalidRequest: one of them starts none.
    """
    for prefix in suites or ():
        if not prefix or not any(name.startswith(prefix) for name in SUITES):
            raise InvalidRequest(f"no suite is called {prefix!r}; there are {', '.join(SUITES)}")
    return [name for name in SUITES if suites is None or name.startswith(tuple(suites))]


def measure(
    pipeline: GenLlavaPipeline, split: Split, n: int, names: Sequence[str], json_path: Path | None = None
) -> Report:
    """Run a pipeline over suites; arguments and errors as for `run`."""
    side = int(pipeline.protocol.resolution)
    if side != CANVAS:
        raise InvalidRequest(f"the oracle reads pictures of {CANVAS} pixels, and this model draws {side}")
    console, started = Console(stderr=True), time.perf_counter()
    report, sample = Report(split), list[Case]()
    for name in names:
        cases = build_suite(name, split, n * ROUTING_TIMES if name in ROUTING else n)
        _measure_suite(pipeline, report, name, cases)
        report.baselines[name] = baselines_of(pipeline, name, cases)
        report.frozen[name] = check_frozen(name, split, cases)
        report.fingerprints[name] = fingerprint(cases)
        if name.startswith("questions."):
            sample += cases[: -(-n // UNSEEING_SHARE)]
        seconds = time.perf_counter() - started
        console.print(f"{name}: {report.suites[name]} of {len(cases)} ({seconds:.0f} s)", highlight=False)
        _write(json_path, report, n, seconds)
    if sample:
        known = [shares for name, shares in report.baselines.items() if name.startswith("questions.")]
        kinds = {kind: total(shares[kind] for shares in known) for kind in ("majority", "chance")}
        report.baselines["questions"] = kinds | unseeing(pipeline, sample)
    report.baselines["the oracle"] = parser_bounds(pipeline, split, n)
    _write(json_path, report, n, time.perf_counter() - started)
    return report


def _measure_suite(pipeline: GenLlavaPipeline, report: Report, name: str, cases: Sequence[Case]) -> None:
    if name in ROUTING:
        report.add_routes(name, cases, route(pipeline, cases, name))
    elif name.startswith(CONVERSATIONS):
        report.add_conversations(name, cases, run_conversations(pipeline, cases, name))
    else:
        report.add_single(name, cases, run_single(pipeline, cases, name))


def _write(path: Path | None, report: Report, n: int, seconds: float) -> None:
    if path is None:
        return
    content: dict[str, Any] = {"n": n, "seconds": round(seconds, 1)} | report.as_dict()
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)
