"""A batch of eight answers against eight single ones, interleaved; the answers must be the same."""

from __future__ import annotations

import statistics
import time

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.suites import build_suite
from genllava_finetune.shapes.understanding import FAMILIES

BATCH = 8
ROUNDS = 7


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Questions of the development split, family after family, a new eight in every round.

    Returns:
        ratio: median over the rounds of the time of eight single calls to that of one batched call.
        same: whether every answer was the same both ways.
    """
    suites = [build_suite(f"questions.{family}", "dev", 5) for family in FAMILIES]
    cases = [case for every_family in zip(*suites, strict=True) for case in every_family]
    ratios, same = [], True
    for turn in range(ROUNDS + 1):
        chosen = cases[turn * BATCH : (turn + 1) * BATCH]
        questions = [case.dialogue.turns[0].user for case in chosen]
        pictures = [case.pictures[0][0] for case in chosen]
        start = time.perf_counter()
        single = [pipeline.understand(p, q).text for p, q in zip(pictures, questions, strict=True)]
        middle = time.perf_counter()
        batched = [answer.text for answer in pipeline.understand(pictures, questions)]
        end = time.perf_counter()
        same &= single == batched
        if turn:  # the first round warms up
            ratios.append((middle - start) / (end - middle))
    return {"ratio": statistics.median(ratios), "rounds": [round(r, 2) for r in ratios], "same": same}
