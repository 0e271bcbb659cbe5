"""Models to measure: one that knows everything, and a tiny one that knows nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from genllava import Drawing, GenLlavaPipeline, Understanding
from genllava_finetune.worlds.base import Produced
from genllava_finetune.worlds.shapes.dialogue import Step, Turn
from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import CANVAS
from genllava_finetune.worlds.shapes.suites import Case

TASKS = ("[I2T]", "[T2I]", "[I2I]")


def right(step: Step) -> Produced:
    """What a perfect model makes of a step."""
    if step.target is None:
        return Produced(step.task, step.text)
    return Produced(step.task, image=render(step.target), plan=write_plan(step.target))


def wrong(step: Step) -> Produced:
    """The right task, and nothing else right."""
    if step.target is None:
        return Produced(step.task, "Something else.")
    return Produced(step.task, image=Image.new("RGB", (CANVAS, CANVAS), "white"), plan="nothing, on white")


def _look(picture: Image.Image) -> bytes:
    return picture.convert("RGB").tobytes()


class Oracle:
    """Stands in for a pipeline: finds a request among known turns, and does what `make` says about its steps.

    Args:
        confused: takes every request for another kind of task.
    """

    def __init__(self, cases: Sequence[Case], make: Callable[[Step], Produced] = right, confused: bool = False) -> None:
        # The same words may be said of several pictures, and in several conversations.
        self.turns: dict[tuple[object, ...], Turn] = {}
        for case in cases:
            for turn, pictures in zip(case.dialogue.turns, case.pictures, strict=True):
                keys = ((turn.user,), (turn.user, *map(_look, pictures)), (turn.user, case.seed))
                self.turns.update(dict.fromkeys(keys, turn))
        self.make, self.confused = make, confused
        self.calls: list[str] = []
        self.protocol = self  # where the shapes model has `next_action`

    def next_action(self, request: list[str], images: Any = None) -> list[dict[str, float]]:
        return [self._probabilities(step) for step in self._steps(request, images)]

    def understand(self, images: Any, question: list[str]) -> list[Understanding]:
        self.calls.append("understand")
        return [cast(Understanding, self._result(step)) for step in self._steps(question, images)]

    def generate(self, prompt: list[str], seed: Sequence[int]) -> list[Drawing]:
        self.calls.append("generate")
        return [cast(Drawing, self._result(step)) for step in self._steps(prompt, [()] * len(prompt))]

    def edit(self, image: Any, instruction: list[str], seed: Sequence[int]) -> list[Drawing]:
        self.calls.append("edit")
        steps = self._steps(instruction, [[picture] for picture in image])
        return [cast(Drawing, self._result(step)) for step in steps]

    def conversation(self) -> Oracle:
        return self

    def ask(self, text: str, images: Any, **options: Any) -> list[Understanding | Drawing]:
        return [self._result(step) for step in self.turns[text, options["seed"]].steps]

    def _steps(self, texts: Sequence[str], images: Any) -> list[Step]:
        keys = [(text, *map(_look, shown)) for text, shown in zip(texts, images, strict=True)]
        return [self.turns.get(key, self.turns[key[:1]]).steps[0] for key in keys]

    def _probabilities(self, step: Step) -> dict[str, float]:
        chosen = f"[{step.task}]"
        if self.confused:
            chosen = next(task for task in TASKS if task != chosen)
        return {chosen: 0.9} | {task: 0.05 for task in TASKS if task != chosen}

    def _result(self, step: Step) -> Understanding | Drawing:
        made = self.make(step)
        if step.target is None:
            return Understanding(made.text or "", self._probabilities(step))
        probabilities = self._probabilities(step)
        return Drawing(made.image, made.text, made.plan, 0, task_probabilities=probabilities)


@pytest.fixture
def oracle() -> Callable[..., GenLlavaPipeline]:
    """Makes an `Oracle`."""
    return lambda *args, **kwargs: cast(GenLlavaPipeline, Oracle(*args, **kwargs))


@pytest.fixture
def perfect() -> Callable[[Turn], list[Produced]]:
    return lambda turn: [right(step) for step in turn.steps]


@pytest.fixture
def hopeless() -> Callable[[Turn], list[Produced]]:
    return lambda turn: [wrong(step) for step in turn.steps]


@pytest.fixture(scope="session")
def ignorant() -> GenLlavaPipeline:
    """A tiny pipeline with random weights that draws pictures of the size the oracle reads."""
    path = Path(__file__).parents[2] / "genllava" / "shapes" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_parts", path)
    assert spec is not None
    assert spec.loader is not None
    parts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parts)
    pipeline: GenLlavaPipeline = parts.build_pipeline()
    pipeline.decoder.register_to_config(resolution=CANVAS)  # type: ignore[union-attr]
    return pipeline
