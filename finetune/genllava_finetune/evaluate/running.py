"""Running a pipeline over cases, as a user would meet it: the model itself chooses what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tqdm import tqdm

from genllava import Drawing, GenLlavaPipeline
from genllava.tokens import I2I, I2T
from genllava_finetune.evaluate.scoring import Produced, Score, score_turn
from genllava_finetune.evaluate.suites import Case

BATCH: Final = 32


def run_single(pipeline: GenLlavaPipeline, cases: Sequence[Case], name: str) -> list[Score]:
    """Cases of one turn, in batches: the routing first, then the verb that was chosen."""
    scores: list[Score] = []
    with tqdm(total=len(cases), desc=name, leave=False) as progress:
        for chunk in _chunks(cases, BATCH):
            for case, produced in zip(chunk, respond(pipeline, chunk), strict=True):
                scores.append(score_turn(case.dialogue.turns[0], produced))
            progress.update(len(chunk))
    return scores


def respond(pipeline: GenLlavaPipeline, cases: Sequence[Case]) -> list[list[Produced]]:
    """What the model says or draws to the first turns of `cases`."""
    texts = [case.dialogue.turns[0].user for case in cases]
    images: list[Any] = [list(case.pictures[0]) or None for case in cases]
    routed = [next(iter(row)) for row in pipeline.next_action(texts, images)]
    produced: dict[int, Produced] = {}
    for task in sorted(set(routed)):
        rows = [row for row, chosen in enumerate(routed) if chosen == task]
        asked, shown = [texts[row] for row in rows], [images[row] for row in rows]
        seeds = [cases[row].seed for row in rows]
        if task == I2T:
            results: Sequence[Any] = pipeline.understand(shown, asked)
        elif task == I2I:
            results = pipeline.edit([pictures[0] for pictures in shown], asked, seed=seeds)
        else:
            results = pipeline.generate(asked, seed=seeds)
        for row, result in zip(rows, results, strict=True):
            produced[row] = _produced(task, result)
    return [[produced[row]] for row in range(len(cases))]


def run_conversations(pipeline: GenLlavaPipeline, cases: Sequence[Case], name: str) -> list[list[Score]]:
    """The scores of every turn of every conversation; the model lives with its own earlier turns."""
    conversations = []
    for case in tqdm(cases, desc=name, leave=False):
        conversation = pipeline.conversation()
        scores = []
        for turn, pictures in zip(case.dialogue.turns, case.pictures, strict=True):
            results = conversation.ask(turn.user, list(pictures), seed=case.seed)
            produced = [_produced(next(iter(result.task_probabilities)), result) for result in results]
            scores.append(score_turn(turn, produced))
        conversations.append(scores)
    return conversations


def _produced(task: str, result: Any) -> Produced:
    if isinstance(result, Drawing):
        return Produced(task.strip("[]"), result.text, result.image, result.plan)
    return Produced(task.strip("[]"), result.text)


def _chunks(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    for start in range(0, len(cases), size):
        yield cases[start : start + size]
