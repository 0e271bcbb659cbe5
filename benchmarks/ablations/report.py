"""Tables with intervals, and plots, of results."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.ablations.small_world import EDITING, GENERATION, TASKS, UNDERSTANDING
from benchmarks.ablations.variants import ABLATIONS, VARIANTS, Ablation
from genllava_finetune.intervals import Z95, Share

_T95: Final = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Student's t for 95 % by degrees of freedom."""
MEASURES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "answers right": ("right", (UNDERSTANDING,)),
    "drawings right": ("right", (GENERATION,)),
    "edits right": ("right", (EDITING,)),
    "right task": ("decided", TASKS),
    "plan right": ("planned", (GENERATION, EDITING)),
    "shapes and colours": ("attributes", (GENERATION, EDITING)),
    "right if the plan is given": ("given", (GENERATION, EDITING)),
}
"""Columns of the tables: figures of outcomes, over all cases of some tasks."""
LOSSES: Final = ("cross_entropy", "denoising", "alignment")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.0f} [{100 * self.low:.0f}, {100 * self.high:.0f}]"

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def of_seeds(values: Sequence[Sequence[float]], *, difference: bool = False) -> Interval:
    """The mean of values by seed and case, with its 95 % interval: the wider one of that of the means of the seeds
    (Student's t) and that of all cases (Wilson's, of shares; the normal one, of differences).

    Args:
        values: for each seed, a value for each case, of 0 to 1, or of -1 to 1 for differences.
    """
    means = [sum(each) / len(each) for each in values]
    mean = sum(means) / len(means)
    low = high = mean
    if len(means) > 1:
        spread = math.sqrt(sum((each - mean) ** 2 for each in means) / (len(means) - 1))
        half = _T95[len(means) - 1] * spread / math.sqrt(len(means))
        low, high = mean - half, mean + half
    pooled = [value for each in values for value in each]
    if difference:
        variance = sum((value - mean) ** 2 for value in pooled) / max(len(pooled) - 1, 1)
        half = Z95 * math.sqrt(variance / len(pooled))
        return Interval(mean, max(-1.0, min(low, mean - half)), min(1.0, max(high, mean + half)))
    cases = Share(round(sum(pooled)), len(pooled)).interval
    return Interval(mean, max(0.0, min(low, cases[0])), min(1.0, max(high, cases[1])))


def figures(runs: dict[str, Any], variant: str, measure: str) -> dict[int, list[float]]:
    """The values of a measure by seed, one for each case; empty where the variant has none of it."""
    column, tasks = MEASURES[measure]
    found: dict[int, list[float]] = {}
    for name, run in runs.items():
        if name.rpartition(":")[0] == variant:
            parts = [run["outcomes"][task].get(column) for task in tasks if task in run["outcomes"]]
            if len(parts) == len(tasks) and all(part is not None for part in parts):
                found[int(name.rpartition(":")[2])] = [value for part in parts for value in part]
    return found


def table(runs: dict[str, Any], ablation: Ablation) -> str:
    """The results of an ablation in Markdown; differences from `base` whose interval is not around 0 are bold."""
    lines = [f"| | seeds | {' | '.join(MEASURES)} |", f"|---|---|{'---|' * len(MEASURES)}"]
    for label, variant in ablation.variants.items():
        cells = list[str]()
        seeds: set[int] = {int(name.rpartition(":")[2]) for name in runs if name.rpartition(":")[0] == variant}
        for measure in MEASURES:
            found, base = figures(runs, variant, measure), figures(runs, "base", measure)
            if not found:
                cells.append("")
                continue
            text = str(of_seeds(list(found.values())))
            both = [seed for seed in found if seed in base]
            if variant != "base" and both:
                pairs = [[a - b for a, b in zip(found[seed], base[seed], strict=True)] for seed in both]
                text = f"**{text}**" if of_seeds(pairs, difference=True).excludes_zero else text
            cells.append(text)
        lines.append(f"| {label} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def loss_table(runs: dict[str, Any], ablation: Ablation) -> str:
    """Held-out losses in Markdown: means over seeds, and the least and the most of them."""
    columns = [(task, loss) for task in TASKS for loss in LOSSES if (task, loss) not in
               [(UNDERSTANDING, "denoising"), (UNDERSTANDING, "alignment")]]  # fmt: skip
    names = [f"{loss.replace('_', '-')}, {task}" for task, loss in columns]
    lines = [f"| | {' | '.join(names)} |"]
    lines.append(f"|---|{'---|' * len(columns)}")
    for label, variant in ablation.variants.items():
        cells = []
        for task, loss in columns:
            told = (
                VARIANTS[variant].plans or task == UNDERSTANDING or loss == "denoising"
            )  # else there is one plan only
            values = [
                run["losses"][task][loss]
                for name, run in runs.items()
                if told and name.rpartition(":")[0] == variant and loss in run["losses"].get(task, {})
            ]
            mean = sum(values) / len(values) if values else 0.0
            cells.append(f"{mean:.2f} ({min(values):.2f} to {max(values):.2f})" if values else "")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(runs: dict[str, Any], ablation: Ablation, file: Path) -> None:
    """Bars of the measures with their intervals, and a point for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 3.2), dpi=90)
    width = 0.8 / len(ablation.variants)
    for number, (label, variant) in enumerate(ablation.variants.items()):
        places, means, errors = [], [], []
        for place, measure in enumerate(MEASURES):
            if found := figures(runs, variant, measure):
                interval = of_seeds(list(found.values()))
                at = place - 0.4 + width * (number + 0.5)
                places.append(at)
                means.append(interval.mean)
                errors.append((interval.mean - interval.low, interval.high - interval.mean))
                dots = [sum(values) / len(values) for values in found.values()]
                axes.plot([at] * len(dots), dots, "k.", markersize=3)
        if places:
            error = [list(column) for column in zip(*errors, strict=True)]
            axes.bar(places, means, width * 0.95, yerr=error, capsize=2, label=label, error_kw={"elinewidth": 0.8})
    names = [name.replace(" if the", "\nif the").replace(" and", "\nand") for name in MEASURES]
    axes.set_xticks(range(len(MEASURES)), names)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of test cases")
    axes.set_title(ablation.question, fontsize=10)
    axes.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pyplot.close(figure)
    file.write_bytes(buffer.getvalue())


_PARTS: Final = {
    "tower": "vision tower: quarters whose shape and colour can be read from it",
    "language": "language model: texts answered word for word",
    "captions": "language model: pictures captioned word for word",
    "text_encoder": "the decoder's text encoder: quarters of which shape and colour can be read from it",
    "decoder_drawing": "decoder: pictures drawn right by their caption",
    "decoder_editing": "decoder: edits drawn right by their caption",
}


def parts_table(parts: dict[str, float]) -> str:
    """How good the parts are that runs begin with, in Markdown."""
    lines = [f"| {words} | {100 * parts[name]:.0f} % |" for name, words in _PARTS.items() if name in parts]
    return "\n".join(["| | right |", "|---|---|", *lines])


def write_report(results: dict[str, Any], docs: Path, names: Sequence[str] = tuple(ABLATIONS)) -> None:
    """Put plots into `docs/images`, and tables into `docs/ablations.md` between `<!-- NAME -->` and its end.

    Args:
        results: as `load_results` has them.
        docs: the folder of the page.
        names: of the ablations that are written.
    """
    page = docs / "ablations.md"
    text = page.read_text(encoding="utf-8")
    made = {"parts": parts_table(results.get("parts", {}))}
    for name in names:
        ablation = ABLATIONS[name]
        plot(results["runs"], ablation, docs / "images" / f"ablations_{name}.png")
        made[name] = f"{table(results['runs'], ablation)}\n\n{loss_table(results['runs'], ablation)}"
    for name, lines in made.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        text = f"{before}{begin}\n{lines}\n{end}{rest.partition(end)[2]}" if found else text
    page.write_text(text, encoding="utf-8")
