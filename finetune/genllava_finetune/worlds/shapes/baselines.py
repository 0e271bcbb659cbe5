"""What a model that does not look, or does nothing, would score; and what the oracle itself can read."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.protocols.shapes.latents import decode, encode
from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Produced, Score
from genllava_finetune.worlds.shapes.augment import draw_varied
from genllava_finetune.worlds.shapes.grading import score_turn
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import read_plan, write_plan
from genllava_finetune.worlds.shapes.render import render, render_array
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import RESEARCH, Split, sample_scene
from genllava_finetune.worlds.shapes.suites import Case
from genllava_finetune.worlds.shapes.understanding import sample_question

_LEARNT: Final = 1000
"""Training questions of a family that a majority is taken of."""
_BATCH: Final = 64

Shares = dict[str, Share]


# --- questions ---


def majority(cases: Sequence[Case], family: str) -> Share:
    """Always giving the most frequent training answer of the question's family."""
    rng = random.Random("majority")
    frequent = Counter(_training_answer(rng, family) for _ in range(_LEARNT))
    return _answering(cases, [frequent.most_common(1)[0][0]] * len(cases))


def chance(cases: Sequence[Case], family: str) -> Share:
    """Giving a random training answer of the question's family."""
    rng = random.Random("chance")
    return _answering(cases, [_training_answer(rng, family) for _ in cases])


def _training_answer(rng: random.Random, family: str) -> str:
    while True:
        scene = sample_scene(rng, "train", withhold=RESEARCH)
        try:
            return sample_question(rng, scene, "train", family, withhold=RESEARCH).steps[0].text
        except ValueError:
            continue  # the scene gives no such question


def _answering(cases: Sequence[Case], texts: Sequence[str]) -> Share:
    return Share.of(
        score_turn(case.turn, [Produced("I2T", text)]).right for case, text in zip(cases, texts, strict=True)
    )


# --- pictures ---


def another_request(cases: Sequence[Case]) -> Share:
    """Drawing what the next request asked for."""
    targets = [_target(case) for case in [*cases[1:], *cases[:1]]]
    return Share.of(_drawing(case, render(target)).right for case, target in zip(cases, targets, strict=True))


def copied_source(cases: Sequence[Case]) -> Shares:
    """Giving back the picture that was to be edited."""
    scores = [_drawing(case, case.pictures[0][0]) for case in cases]
    return {
        "copy of the source": _right(scores),
        "copy of the source: change made": Share.of(bool(score.changed) for score in scores),
        "copy of the source: all else kept": Share.of(bool(score.preserved) for score in scores),
    }


def perfect_decoder(pipeline: GenLlavaPipeline, cases: Sequence[Case]) -> Share:
    """A right picture of every case, put through the autoencoder: more than this no decoder of latents can reach."""
    pictures = _round_trip(pipeline, [render_array(_as_drawn(_target(case))) for case in cases])
    return Share.of(
        _drawing(case, Image.fromarray(picture)).right for case, picture in zip(cases, pictures, strict=True)
    )


def _drawing(case: Case, picture: Image.Image) -> Score:
    return score_turn(case.turn, [Produced(case.turn.steps[0].task, image=picture)])


def _target(case: Case) -> Scene:
    target = case.turn.steps[0].target
    if target is None:
        raise ValueError("this case asks for no picture")
    return target


def _as_drawn(scene: Scene) -> Scene:
    """The scene as its plan has it, every object in the middle of its cell."""
    centred = read_plan(write_plan(scene))
    assert centred is not None
    return centred


# --- the oracle ---


def parser_bounds(pipeline: GenLlavaPipeline, split: Split, n: int) -> Shares:
    """How often the oracle reads a scene exactly: drawn neatly, through the autoencoder, and as people draw."""
    rng = random.Random("parser bounds")
    scenes = [sample_scene(rng, split, withhold=RESEARCH) for _ in range(n)]
    neat = [render_array(scene) for scene in scenes]
    return {
        "drawn neatly": _read(scenes, neat),
        "through the autoencoder": _read(scenes, _round_trip(pipeline, neat)),
        "drawn as people do": _read(scenes, [draw_varied(rng, scene) for scene in scenes]),
    }


def _read(scenes: Sequence[Scene], pictures: Sequence[NDArray[np.uint8]]) -> Share:
    return Share.of(parse(p).scene == scene for scene, p in zip(scenes, pictures, strict=True))


@torch.no_grad()
def _round_trip(pipeline: GenLlavaPipeline, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    back: list[NDArray[np.uint8]] = []
    for start in range(0, len(pictures), _BATCH):
        images = [Image.fromarray(picture) for picture in pictures[start : start + _BATCH]]
        back += [np.asarray(image) for image in decode(pipeline.protocol.vae, encode(pipeline.protocol.vae, images))]
    return back


# --- all of them ---


def baselines_of(pipeline: GenLlavaPipeline, name: str, cases: Sequence[Case]) -> Shares:
    """The baselines of one suite that cost nothing but the oracle; none for most."""
    if name.startswith("questions."):
        family = name.partition(".")[2]
        return {"majority": majority(cases, family), "chance": chance(cases, family)}
    kinds: dict[str, Callable[[], Shares]] = {
        "routing": lambda: {"always answers": Share.of(case.turn.steps[0].task == "I2T" for case in cases)},
        "generation": lambda: {
            "picture of another request": another_request(cases),
            "perfect decoder": perfect_decoder(pipeline, cases),
        },
        "editing": lambda: copied_source(cases) | {"perfect decoder": perfect_decoder(pipeline, cases)},
    }
    return kinds[name]() if name in kinds else {}


def _right(scores: Sequence[Score]) -> Share:
    return Share.of(score.right for score in scores)
