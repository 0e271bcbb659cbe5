"""What a model that does not look, or does nothing, would score; and what the oracle itself can read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.running import run_single
from genllava_finetune.evaluate.scoring import Produced, score_turn
from genllava_finetune.evaluate.suites import Case
from genllava_finetune.shapes.augment import draw_varied
from genllava_finetune.shapes.parser import parse
from genllava_finetune.shapes.render import render_array
from genllava_finetune.shapes.scene import CANVAS, Scene
from genllava_finetune.shapes.splits import sample_scene
from genllava_finetune.shapes.understanding import sample_question

_LEARNT: Final = 4000


def majority(cases: Sequence[Case], family: str) -> Share:
    """Always giving the most frequent training answer of the question's family."""
    rng = random.Random("majority")
    frequent: Counter[str] = Counter()
    for _ in range(_LEARNT // 4):
        try:
            frequent[sample_question(rng, sample_scene(rng, "train"), "train", family).steps[0].text] += 1
        except ValueError:
            continue
    text = frequent.most_common(1)[0][0]
    return _answering(cases, [text] * len(cases))


def chance(cases: Sequence[Case], family: str) -> Share:
    """Giving a random training answer of the question's family."""
    rng = random.Random("chance")
    texts: list[str] = []
    while len(texts) < len(cases):
        try:
            texts.append(sample_question(rng, sample_scene(rng, "train"), "train", family).steps[0].text)
        except ValueError:
            continue
    return _answering(cases, texts)


def _answering(cases: Sequence[Case], texts: Sequence[str]) -> Share:
    return Share.of(
        score_turn(case.dialogue.turns[0], [Produced("I2T", text)]).right
        for case, text in zip(cases, texts, strict=True)
    )


def blank_image(pipeline: GenLlavaPipeline, cases: Sequence[Case]) -> Share:
    """The model itself, shown an empty white picture: what the question alone gives away."""
    blank = Image.new("RGB", (CANVAS, CANVAS), "white")
    blind = [replace(case, pictures=((blank,),)) for case in cases]
    return Share.of(score.right for score in run_single(pipeline, blind, "blank image"))


def shuffled_image(pipeline: GenLlavaPipeline, cases: Sequence[Case]) -> Share:
    """The model itself, shown the picture of the next question."""
    others = [*cases[1:], cases[0]]
    moved = [replace(case, pictures=other.pictures) for case, other in zip(cases, others, strict=True)]
    return Share.of(score.right for score in run_single(pipeline, moved, "shuffled image"))


def copy_source(cases: Sequence[Case]) -> Share:
    """Giving back the picture that was to be edited."""
    return Share.of(
        score_turn(case.dialogue.turns[0], [Produced("I2I", image=case.pictures[0][0])]).right for case in cases
    )


def parser_bounds(pipeline: GenLlavaPipeline, n: int) -> dict[str, Share]:
    """How often the oracle reads a scene exactly: drawn cleanly, through the autoencoder, and drawn as people do."""
    rng = random.Random("parser bounds")
    scenes = [sample_scene(rng, "test") for _ in range(n)]
    drawn = [render_array(scene) for scene in scenes]
    return {
        "clean": _read(scenes, drawn),
        "through the autoencoder": _read(scenes, _round_trip(pipeline, drawn)),
        "varied": _read(scenes, [draw_varied(rng, scene) for scene in scenes]),
    }


def _read(scenes: Sequence[Scene], pictures: Sequence[NDArray[np.uint8]]) -> Share:
    return Share.of(parse(p).scene == scene for scene, p in zip(scenes, pictures, strict=True))


@torch.no_grad()
def _round_trip(pipeline: GenLlavaPipeline, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    from genllava.image_decoder import decode, encode

    back: list[NDArray[np.uint8]] = []
    for start in range(0, len(pictures), 64):
        images = [Image.fromarray(picture) for picture in pictures[start : start + 64]]
        back += [np.asarray(image) for image in decode(pipeline.vae, encode(pipeline.vae, images))]
    return back
