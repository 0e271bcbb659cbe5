"""Trains and scores variants; what is done is in a file of results, and is not done again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablations.parts import decoder
from benchmarks.ablations.scoring import Model, as_dict
from benchmarks.ablations.small_world import TASKS, held_out_cases
from benchmarks.ablations.variants import BATCH, VARIANTS, recipe_of
from genllava import GenLlavaPipeline
from genllava_finetune.train.run import Run

Results = dict[str, Any]


def load_results(file: Path) -> Results:
    """The results of earlier runs: `runs` by their names, `parts`, `steps`, `batch`, `tests` (cases of each task)."""
    if not file.exists():
        return {"runs": {}}
    read: Results = json.loads(file.read_text(encoding="utf-8"))
    return read


def save_results(file: Path, results: Results) -> None:
    """Write the results, a line for each run."""
    head = {name: value for name, value in results.items() if name != "runs"}
    lines = [f"  {json.dumps(name)}: {json.dumps(run)}" for name, run in sorted(results["runs"].items())]
    text = json.dumps(head, indent=1)[:-2] + ',\n "runs": {\n' + ",\n".join(lines) + "\n }\n}\n"
    writing = file.with_suffix(".writing")
    writing.write_text(text, encoding="utf-8")
    os.replace(writing, file)


def run_all(names: Sequence[str], seeds: Sequence[int], parts: Path, file: Path, *, steps: int, tests: int) -> Results:
    """Train and score variants with each seed, those that are not in the file yet; the file is written after each.

    Args:
        parts: folder of the trained parts.
        steps: of a whole run.
        tests: cases of each task.

    Raises:
        ValueError: the file has runs of another length, or with other parts.
    """
    results = load_results(file)
    settings = {"steps": steps, "batch": BATCH, "tests": tests}
    if any(results.get(name, value) != value for name, value in settings.items()):
        raise ValueError(f"{file} has runs with other settings than {settings}: give another file with --json")
    waiting = [(name, seed) for seed in seeds for name in names if f"{name}:{seed}" not in results["runs"]]
    trained = json.loads((parts / "parts.json").read_text(encoding="utf-8"))
    if waiting and results.get("parts", trained) != trained:
        raise ValueError(
            f"the runs in {file} began with other parts than those in {parts}: give another file with --json"
        )
    results = {**settings, "parts": trained} | results
    for name, seed in waiting:
        results["runs"][f"{name}:{seed}"] = run_one(name, seed, parts, steps=steps, tests=tests)
        save_results(file, results)
    return results


def run_one(name: str, seed: int, parts: Path, *, steps: int, tests: int) -> dict[str, Any]:
    """Train a variant with the general trainer, and score the pipeline that comes of it.

    Returns:
        `outcomes` and held-out `losses` by task, and the `seconds` that training and scoring took.
    """
    variant = VARIANTS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"ablation-{name}-{seed}-"))
    try:
        begun = time.monotonic()
        saved = Run(recipe_of(name, seed, steps, str(parts)), folder).train()
        trained = time.monotonic()
        pipeline = GenLlavaPipeline.from_pretrained(saved, decoder=decoder(str(parts)))  # it was not trained
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    model = Model(pipeline.parts(), variant.bridge, plans=variant.plans, task_tokens=variant.task_tokens)
    found: dict[str, Any] = {"outcomes": {}, "losses": {}}
    for task in TASKS:
        if variant.shares.get(task):
            cases = held_out_cases(task, tests)
            found["losses"][task] = {key: round(value, 4) for key, value in model.losses(cases).items()}
            found["outcomes"][task] = _columns([as_dict(outcome) for outcome in model.outcomes(cases)])
    found["seconds"] = {"training": round(trained - begun), "scoring": round(time.monotonic() - trained)}
    shares = {task: sum(columns["right"]) / tests for task, columns in found["outcomes"].items()}
    print(name, seed, shares, found["seconds"], flush=True)
    return found


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """A list for each figure: 1 and 0 for yes and no."""
    names = [name for name in rows[0] if name != "task"]
    return {name: [round(float(row[name]), 3) if row[name] % 1 else int(row[name]) for row in rows] for name in names}
