"""A batch of eight answers against eight single ones, interleaved; the answers must be the same."""

from __future__ import annotations

import random
import statistics
import time

from PIL import Image

from genllava import GenLlavaPipeline
from genllava_finetune.worlds.shapes.splits import RESEARCH
from genllava_finetune.worlds.shapes.suites import build_suite
from genllava_finetune.worlds.shapes.understanding import FAMILIES, sample_question

BATCH = 8
ROUNDS = 9


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Questions of the development split, new ones in every round.

    Returns, for eight questions about eight pictures (family after family) and for eight about one picture:
        ratio: the time of eight single calls to that of one batched call, over all rounds.
        quartiles, rounds: of the same by round.
        same: whether every answer was the same both ways.
    """
    suites = [build_suite(f"questions.{family}", "dev", 6) for family in FAMILIES]
    cases = [case for every_family in zip(*suites, strict=True) for case in every_family]
    many, one = [], []
    for number in range(ROUNDS + 1):
        part = cases[number * BATCH : (number + 1) * BATCH]
        many.append(([case.pictures[0][0] for case in part], [case.dialogue.turns[0].user for case in part]))
        rng, scene = random.Random(number), cases[number].dialogue.turns[0].images[0]
        questions = [sample_question(rng, scene, "train", withhold=RESEARCH).user for _ in range(BATCH)]
        one.append(([cases[number].pictures[0][0]] * BATCH, questions))
    return {"eight pictures": _compare(pipeline, many), "one picture": _compare(pipeline, one)}


def _compare(pipeline: GenLlavaPipeline, rounds: list[tuple[list[Image.Image], list[str]]]) -> dict[str, object]:
    times, same = [], True
    for pictures, questions in rounds:
        start = time.perf_counter()
        single = [pipeline.understand(p, q).text for p, q in zip(pictures, questions, strict=True)]
        middle = time.perf_counter()
        batched = [answer.text for answer in pipeline.understand(pictures, questions)]
        times.append((middle - start, time.perf_counter() - middle))
        same &= single == batched
    del times[0]  # the first round warms up
    ratios = [one / other for one, other in times]
    total = sum(one for one, _ in times) / sum(other for _, other in times)
    spread = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(total, 2),
        "quartiles": [round(value, 2) for value in spread],
        "rounds": [round(ratio, 2) for ratio in ratios],
        "same": same,
    }
