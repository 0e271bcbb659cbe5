"""Running a pipeline over cases, as a user would meet it: the model itself chooses what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from PIL import Image
from tqdm import tqdm

from genllava import Drawing, GenLlavaPipeline
from genllava.errors import InvalidRequest, NonFiniteError
from genllava.pipeline_output import Result
from genllava.protocols.task_tokens import I2I, I2T, T2I
from genllava_finetune.worlds.base import Case, Produced, Score, World

BATCH: Final = 32
MAX_SEGMENTS: Final = 4
SPARE_SEGMENTS: Final = 2
"""So many are let happen, or so many more than are asked for: what goes on longer is wrong in any case."""

_Item = TypeVar("_Item")


def route(pipeline: GenLlavaPipeline, cases: Sequence[Case], name: str) -> list[str]:
    """The task chosen first for every case, without brackets; nothing is answered or drawn."""
    routes = []
    for chunk in _chunks(cases, name):
        rows = pipeline.protocol.next_action(_texts(chunk), _shown(chunk))
        routes += [_first(row) for row in rows]
    return routes


def run_single(pipeline: GenLlavaPipeline, world: World, cases: Sequence[Case], name: str) -> list[Score]:
    """Cases of one turn, in batches.

    What is to be answered is answered by `understand`, whose probabilities say whether the model would have answered.
    What is to be drawn is asked of `next_action` first, and goes to `generate` or `edit` where that is what the
    model chose: it chooses the same again, since they leave out only tasks that are less likely. What the model does
    with a request that it sent the wrong way is of no interest, and is not run.
    """
    scores: list[Score] = []
    for chunk in _chunks(cases, name):
        produced: list[Produced] = [Produced("")] * len(chunk)
        for task in (I2T, T2I, I2I):
            rows = [row for row, case in enumerate(chunk) if f"[{case.turns[0].tasks[0]}]" == task]
            if rows:
                for row, result in zip(rows, _respond(pipeline, task, [chunk[row] for row in rows]), strict=True):
                    produced[row] = result
        scores += [world.grade(case.turns[0], [result]) for case, result in zip(chunk, produced, strict=True)]
    return scores


def _respond(pipeline: GenLlavaPipeline, task: str, cases: Sequence[Case]) -> list[Produced]:
    """What the model does where `task` would be right."""
    if task == I2T:
        answers = pipeline.understand(_shown(cases), _texts(cases))
        return [_produced(_first(answer.task_probabilities), answer) for answer in answers]
    routes = [_first(row) for row in pipeline.protocol.next_action(_texts(cases), _shown(cases))]
    produced = [Produced(chosen) for chosen in routes]
    rows = [row for row, chosen in enumerate(routes) if f"[{chosen}]" == task]
    if not rows:
        return produced
    right = [cases[row] for row in rows]
    seeds = [case.seed for case in right]
    if task == I2I:
        drawings = pipeline.edit([pictures[0] for pictures in _shown(right)], _texts(right), seed=seeds)
    else:
        drawings = pipeline.generate(_texts(right), seed=seeds)
    for row, drawing in zip(rows, drawings, strict=True):
        produced[row] = _produced(_first(drawing.task_probabilities), drawing)
    return produced


def run_conversations(
    pipeline: GenLlavaPipeline, world: World, cases: Sequence[Case], name: str
) -> list[list[Score]]:
    """The scores of every turn of every conversation; the model lives with its own earlier turns."""
    conversations = []
    for case in tqdm(cases, desc=name, leave=False, disable=None):
        conversation = pipeline.conversation()
        scores = []
        for turn, pictures in zip(case.turns, case.pictures, strict=True):
            most = max(MAX_SEGMENTS, len(turn.tasks) + SPARE_SEGMENTS)
            try:
                results = conversation.ask(turn.user, pictures, seed=case.seed, max_segments=most)
            except (InvalidRequest, NonFiniteError):  # it wrote more than it can read, or broke down
                results = []
            produced = [_produced(_first(result.task_probabilities), result) for result in results]
            scores.append(world.grade(turn, produced))
        conversations.append(scores)
    return conversations


def _produced(task: str, result: Result) -> Produced:
    if isinstance(result, Drawing):
        return Produced(task, result.text, result.image, result.plan)
    return Produced(task, result.text)


def _first(probabilities: dict[str, float]) -> str:
    return next(iter(probabilities)).strip("[]")


def _texts(cases: Sequence[Case]) -> list[str]:
    return [case.turns[0].user for case in cases]


def _shown(cases: Sequence[Case]) -> list[list[Image.Image]]:
    return [list(case.pictures[0]) for case in cases]


def _chunks(items: Sequence[_Item], name: str) -> Iterator[Sequence[_Item]]:
    """Batches, with progress where someone is watching."""
    with tqdm(total=len(items), desc=name, leave=False, disable=None) as progress:
        for start in range(0, len(items), BATCH):
            chunk = items[start : start + BATCH]
            yield chunk
            progress.update(len(chunk))
