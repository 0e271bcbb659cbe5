"""A batch of eight answers against eight single ones, interleaved; the answers must be the same."""

from __future__ import annotations

import statistics
import time

from genllava import GenLlavaPipeline
from genllava_finetune.evaluate.suites import build_suite

BATCH = 8
ROUNDS = 7


def measure(pipeline: GenLlavaPipeline) -> dict[str, object]:
    """Questions of the development split, a new eight in every round.

    Returns:
        ratio: median over the rounds of the time of eight single calls to that of one batched call.
        same: whether every answer was the same both ways.
    """
    cases = [case for name in ("count", "caption_full") for case in build_suite(f"questions.{name}", "dev", 40)]
    cases = cases[::2] + cases[1::2]
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
