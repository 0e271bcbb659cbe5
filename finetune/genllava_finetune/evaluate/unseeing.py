"""The model itself with the wrong picture: what of its answers needs no picture at all."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.running import run_single
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Case, Score, World


def unseeing(pipeline: GenLlavaPipeline, world: World, cases: Sequence[Case]) -> dict[str, Share]:
    """Questions asked with an empty white picture, then with that of the next question."""
    white = Image.new("RGB", (world.side, world.side), "white")
    blind = [case.showing(((white,),)) for case in cases]
    others = [*cases[1:], *cases[:1]]
    moved = [case.showing(other.pictures) for case, other in zip(cases, others, strict=True)]
    return {
        "question only (blank picture)": _right(run_single(pipeline, world, blind, "blank pictures")),
        "shuffled pictures": _right(run_single(pipeline, world, moved, "shuffled pictures")),
    }


def _right(scores: Sequence[Score]) -> Share:
    return Share.of(score.right for score in scores)
