"""Run every benchmark and print what it found: `python -m benchmarks [NAME ...] [--json FILE]`.

`python -m benchmarks ablations` takes options of its own: see its `--help`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import (
    answering,
    control,
    counters,
    drawing,
    first_token,
    overhead,
    serving,
    tasks,
    tool_tasks,
    training,
)
from genllava import GenLlavaPipeline

BENCHMARKS: dict[str, Callable[[], dict[str, object]]] = {
    "counters": lambda: dict(counters.measure(GenLlavaPipeline.from_pretrained())),
    "drawing": lambda: drawing.measure(GenLlavaPipeline.from_pretrained()),
    "control": lambda: control.measure(GenLlavaPipeline.from_pretrained()),
    "answering": lambda: answering.measure(GenLlavaPipeline.from_pretrained()),
    "training": training.measure,
    "overhead": lambda: overhead.measure(GenLlavaPipeline.from_pretrained()),
    "first_token": first_token.measure,
    "serving": lambda: serving.measure(GenLlavaPipeline.from_pretrained()),
    "tasks": lambda: tasks.measure(GenLlavaPipeline.from_pretrained()),
    "tool_tasks": tool_tasks.measure,
}


def main() -> None:
    if sys.argv[1:2] == ["ablations"]:
        from benchmarks.ablations.command import main as compare

        compare(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="which to run; all if none is named")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    others = parser.add_argument_group("tool_tasks")
    others.add_argument(
        "--decider", default="scripted", help="scripted, dropped, another, nothing, module:factory, or '' for the model"
    )
    others.add_argument("--model", help="a folder made by save_pretrained, or owner/name on the hub")
    options = parser.parse_args()
    benchmarks = BENCHMARKS | {"tool_tasks": lambda: tool_tasks.measure(options.decider, options.model)}
    results = {}
    for name in options.names or benchmarks:
        results[name] = benchmarks[name]()
        print(name, json.dumps({key: found for key, found in results[name].items() if key != "each"}), flush=True)
    if options.json is not None:
        report = {"threads": torch.get_num_threads(), "torch": torch.__version__, **results}
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
