"""UNet rows of the default picture against a hundred: the same requests, drawn both ways, read by the oracle."""

from __future__ import annotations

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.suites import build_suite
from genllava_finetune.shapes.parser import parse

MANY_STEPS = 100


def measure(pipeline: GenLlavaPipeline, n: int = 150) -> dict[str, object]:
    """Plans of the development split, given, so that only the drawing differs.

    Returns:
        rows: UNet rows of a picture by default.
        default, many: the shares of pictures that show their plan, with `rows` and with 100 rows.
        discordant: pictures right only by default, and right only with many.
    """
    cases = build_suite("generation", "dev", n)
    targets = [case.dialogue.turns[0].steps[0].target for case in cases]
    plans = [case.dialogue.turns[0].steps[0].text for case in cases]
    seeds = [case.seed for case in cases]

    def draw(**options: int) -> tuple[list[bool], int]:
        right, rows = [], 0
        for start in range(0, n, 25):
            part = slice(start, start + 25)
            drawings = pipeline.generate(plans[part], plan=plans[part], seed=seeds[part], **options)  # type: ignore[arg-type]
            rows = drawings[0].unet_rows
            right += [
                drawing.image is not None and parse(drawing.image).scene == target
                for drawing, target in zip(drawings, targets[part], strict=True)
            ]
        return right, rows

    default, rows = draw()
    many, _ = draw(num_inference_steps=MANY_STEPS)
    return {
        "rows": rows,
        "default": str(Share.of(default)),
        "many": str(Share.of(many)),
        "discordant": [
            sum(a and not b for a, b in zip(default, many, strict=True)),
            sum(b and not a for a, b in zip(default, many, strict=True)),
        ],
    }
