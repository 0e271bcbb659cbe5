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
from genllava_finetune.evaluate.report import Report, total
from genllava_finetune.evaluate.running import route, run_conversations, run_single
from genllava_finetune.evaluate.unseeing import unseeing
from genllava_finetune.worlds.base import Case, Split, World, load_world

SPLITS: Final[tuple[Split, ...]] = ("dev", "test")
SHIPPED: Final = "shapes"
"""The world of the model that ships."""
UNSEEING_SHARE: Final = 10
"""One question in so many is also asked with the wrong picture."""


def run(
    pipeline: GenLlavaPipeline,
    split: str,
    n: int,
    names: Sequence[str],
    json_path: Path | None = None,
    world: str = SHIPPED,
) -> Report:
    """Measure a pipeline and print the report.

    Args:
        n: cases of every suite, and so of every family of questions.
        names: the suites, see `select`.
        json_path: where the whole report is written as well, after every suite what there is of it.
        world: whose suites they are.

    Raises:
        InvalidRequest: no world or no split is called so, or the grader cannot read what the model draws.
    """
    chosen: Split | None = next((known for known in SPLITS if known == split), None)
    if chosen is None:
        raise InvalidRequest(f"there is no split {split!r}: {' or '.join(SPLITS)}")
    report = measure(pipeline, load_world(world), chosen, n, names, json_path)
    Console().print(Markdown(report.markdown()))
    return report


def select(suites: Sequence[str] | None, world: str = SHIPPED) -> list[str]:
    """The names of the suites of a world that start with one of `suites`; all if None.

    Raises:
        InvalidRequest: there is no such world, or one of them starts none.
    """
    known = load_world(world).suites
    for prefix in suites or ():
        if not prefix or not any(name.startswith(prefix) for name in known):
            raise InvalidRequest(f"no suite is called {prefix!r}; there are {', '.join(known)}")
    return [name for name in known if suites is None or name.startswith(tuple(suites))]


def measure(
    pipeline: GenLlavaPipeline,
    world: World,
    split: Split,
    n: int,
    names: Sequence[str],
    json_path: Path | None = None,
) -> Report:
    """Run a pipeline over suites of a world; arguments and errors as for `run`."""
    side = int(pipeline.protocol.resolution)
    if side != world.side:
        raise InvalidRequest(f"the oracle reads pictures of {world.side} pixels, and this model draws {side}")
    console, started = Console(stderr=True), time.perf_counter()
    report, samples = Report(world, split), dict[str, list[Case]]()
    for name in names:
        suite = world.suites[name]
        cases = suite.build(split, n * suite.times)
        _measure_suite(pipeline, report, name, cases)
        report.baselines[name] = world.baselines(pipeline, name, cases)
        report.frozen[name] = world.frozen(name, split, cases)
        report.fingerprints[name] = world.fingerprint(cases)
        if suite.family:
            samples.setdefault(suite.family, []).extend(cases[: -(-n // UNSEEING_SHARE)])
        seconds = time.perf_counter() - started
        console.print(f"{name}: {report.suites[name]} of {len(cases)} ({seconds:.0f} s)", highlight=False)
        _write(json_path, report, n, seconds)
    for family, sample in samples.items():
        known = [shares for name, shares in report.baselines.items() if name.startswith(f"{family}.")]
        kinds = {kind: total(shares[kind] for shares in known) for kind in dict.fromkeys(k for s in known for k in s)}
        report.baselines[family] = kinds | unseeing(pipeline, world, sample)
    report.baselines["the oracle"] = world.grader_bounds(pipeline, split, n)
    _write(json_path, report, n, time.perf_counter() - started)
    return report


def _measure_suite(pipeline: GenLlavaPipeline, report: Report, name: str, cases: Sequence[Case]) -> None:
    world = report.world
    match world.suites[name].asked:
        case "first task":
            report.add_routes(name, cases, route(pipeline, cases, name))
        case "conversation":
            report.add_conversations(name, cases, run_conversations(pipeline, world, cases, name))
        case "turn":
            report.add_single(name, cases, run_single(pipeline, world, cases, name))


def _write(path: Path | None, report: Report, n: int, seconds: float) -> None:
    if path is None:
        return
    content: dict[str, Any] = {"n": n, "seconds": round(seconds, 1)} | report.as_dict()
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(part, path)
