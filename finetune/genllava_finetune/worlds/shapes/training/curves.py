"""Learning curves of a training run: `python -m genllava_finetune.worlds.shapes.training.curves RUN_FOLDER PICTURE`."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

SHOWN: Final = {
    "text_encoder": ("exact",),
    "vision_tower": ("exact", "shape"),
    "image_decoder": ("generation", "edit"),
    "language_model": ("cross_entropy", "align", "token_accuracy"),
    "joint": ("cross_entropy", "align", "denoise"),
}
"""What is worth seeing of each part."""


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Values by name as (step, value), of a `log.csv`; where a run was resumed, the later values count."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            curves[row["name"]][int(row["step"])] = float(row["value"])
    return {name: sorted(values.items()) for name, values in curves.items()}


def plot(workspace: Path, target: Path) -> None:
    """One panel for each part that has a log."""
    mpl.use("Agg")
    logs = {name: workspace / f"{name}.run" / "log.csv" for name in SHOWN}
    parts = [name for name, path in logs.items() if path.is_file()]
    figure = Figure(figsize=(4 * len(parts), 3), layout="constrained")
    for axis, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        curves = read_log(logs[part])
        for name in SHOWN[part]:
            if name in curves:
                axis.plot(*zip(*curves[name], strict=True), label=name.replace("_", " "))
        axis.set(title=part.replace("_", " "), xlabel="step", yscale="log")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    figure.savefig(target, dpi=80)


if __name__ == "__main__":
    plot(Path(sys.argv[1]), Path(sys.argv[2]))
