"""`python -m benchmarks ablations [NAME ...]`: trains what is not trained yet, scores it, writes tables and plots."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablations.report import write_report
from benchmarks.ablations.running import load_results, run_all
from benchmarks.ablations.train_parts import train_parts
from benchmarks.ablations.variants import ABLATIONS, STEPS, VARIANTS

_DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ablations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is named: {', '.join(ABLATIONS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS, help="of a run")
    parser.add_argument("--tests", type=int, default=100, help="cases of each task")
    parser.add_argument(
        "--parts", type=Path, default=Path("outputs/ablation-parts"), help="folder; made if it is empty"
    )
    parser.add_argument("--json", type=Path, default=_DOCS / "ablations.json", help="results; what is there is kept")
    parser.add_argument("--docs", type=Path, default=_DOCS, help="folder of ablations.md, with the tables")
    parser.add_argument("--report", action="store_true", help="train nothing: only write the tables and plots")
    options = parser.parse_args(arguments)
    names = options.names or list(ABLATIONS)
    if unknown := [name for name in names if name not in ABLATIONS]:
        parser.error(f"there is no ablation {unknown[0]!r}: {', '.join(ABLATIONS)}")
    if not options.report:
        print(train_parts(options.parts), flush=True)
        wanted = {variant for name in names for variant in ABLATIONS[name].variants.values()}
        variants = [variant for variant in VARIANTS if variant in wanted]
        try:
            run_all(variants, options.seeds, options.parts, options.json, steps=options.steps, tests=options.tests)
        except ValueError as error:
            parser.error(str(error))
    write_report(load_results(options.json), options.docs, names)
