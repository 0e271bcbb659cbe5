"""`genllava evaluate`: run the suites and print the report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from genllava import GenLlavaPipeline
from genllava.errors import InvalidRequest
from genllava_finetune.evaluate import baselines
from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.report import Report
from genllava_finetune.evaluate.running import run_conversations, run_single
from genllava_finetune.evaluate.suites import SUITES, Case, build_suite, fingerprint
from genllava_finetune.shapes.splits import SPLITS, Split


def run(
    model: str | Path | None = None,
    split: str = "test",
    n: int = 500,
    json_path: Path | None = None,
    device: str | None = None,
    suites: Sequence[str] | None = None,
) -> Report:
    """Measure a model and print the report.

    Args:
        model: a saved pipeline; the shipped one if None.
        n: cases of every suite, and so of every family of questions.
        json_path: where the whole report is written as well.
        suites: only those whose name starts with one of these.

    Raises:
        InvalidRequest: no suite is called so.
    """
    chosen: Split | None = next((known for known in SPLITS if known == split), None)
    if chosen is None:
        raise InvalidRequest(f"there is no split {split!r}: test or dev")
    names = [name for name in SUITES if suites is None or name.startswith(tuple(suites))]
    if not names:
        raise InvalidRequest(f"no suite is called {', '.join(suites or ())}; there are {', '.join(SUITES)}")
    pipeline = GenLlavaPipeline.from_pretrained(model, device=device)
    console = Console(stderr=True)
    started = time.perf_counter()
    report = Report(split)
    built: dict[str, list[Case]] = {}
    for name in names:
        cases = built[name] = build_suite(name, chosen, n)
        report.fingerprints[name] = fingerprint(cases)
        if name.startswith("conversation"):
            report.add_conversations(name, run_conversations(pipeline, cases, name))
        else:
            report.add_single(name, cases, run_single(pipeline, cases, name))
        console.print(f"{name}: {report.suites[name]} of {n} ({time.perf_counter() - started:.0f} s)")
    _add_baselines(report, pipeline, built, n)
    Console().print(Markdown(report.markdown()))
    if json_path is not None:
        content = report.as_dict() | {"seconds": round(time.perf_counter() - started, 1), "n": n}
        json_path.write_text(json.dumps(content, indent=2))
    return report


def _add_baselines(report: Report, pipeline: GenLlavaPipeline, built: dict[str, list[Case]], n: int) -> None:
    chance: list[Share] = []
    majority: list[Share] = []
    sample: list[Case] = []
    for name, cases in built.items():
        if name.startswith("questions."):
            family = name.split(".")[1]
            chance.append(baselines.chance(cases, family))
            majority.append(baselines.majority(cases, family))
            sample += cases[: max(1, n // 10)]
    if sample:
        report.baselines["questions"] = {
            "chance": _total(chance),
            "majority": _total(majority),
            "question only (blank image)": baselines.blank_image(pipeline, sample),
            "shuffled image": baselines.shuffled_image(pipeline, sample),
        }
    if "editing" in built:
        report.baselines["editing"] = {"copy of the source": baselines.copy_source(built["editing"])}
    report.baselines["oracle parser"] = baselines.parser_bounds(pipeline, n)


def _total(shares: Sequence[Share]) -> Share:
    return Share(sum(share.right for share in shares), sum(share.n for share in shares))
