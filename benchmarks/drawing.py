"""Steps of the default picture against a hundred: the same requests, drawn both ways, read by the oracle."""

from __future__ import annotations

from genllava import Drawing, GenLlavaPipeline
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.suites import Case, build_suite

MANY_STEPS = 100
BATCH = 25


def measure(pipeline: GenLlavaPipeline, n: int = 150) -> dict[str, object]:
    """Plans of the development split, given, so that only the drawing differs: new pictures and edits.

    Returns, for each of the two:
        rows: UNet rows of a picture by default.
        default, many: the shares of pictures that show their plan, by default and with 100 steps.
        discordant: pictures right only by default, and right only with many.
    """
    return {suite: _compare(pipeline, build_suite(suite, "dev", n)) for suite in ("generation", "editing")}


def _compare(pipeline: GenLlavaPipeline, cases: list[Case]) -> dict[str, object]:
    default, rows = _draw(pipeline, cases)
    many, _ = _draw(pipeline, cases, num_inference_steps=MANY_STEPS)
    pairs = list(zip(default, many, strict=True))
    return {
        "rows": rows,
        "default": str(Share.of(default)),
        "many": str(Share.of(many)),
        "discordant": [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)],
    }


def _draw(pipeline: GenLlavaPipeline, cases: list[Case], **options: int) -> tuple[list[bool], int]:
    """Whether each picture shows its target, and the UNet rows of one."""
    right, rows = [], 0
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        steps = [case.dialogue.turns[0].steps[0] for case in part]
        plans, seeds = [step.text for step in steps], [case.seed for case in part]
        drawings: list[Drawing]
        if steps[0].task == "T2I":
            drawings = pipeline.generate(plans, plan=plans, seed=seeds, **options)  # type: ignore[arg-type]
        else:
            sources = [case.pictures[0][0] for case in part]
            drawings = pipeline.edit(sources, plans, plan=plans, seed=seeds, **options)  # type: ignore[arg-type]
        rows = drawings[0].unet_rows
        right += [
            drawing.image is not None and parse(drawing.image).scene == step.target
            for drawing, step in zip(drawings, steps, strict=True)
        ]
    return right, rows
