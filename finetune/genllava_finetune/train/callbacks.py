"""What happens beside the training steps: the moving average, and a page of samples at each evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from transformers import TrainerCallback

from genllava import GenLlavaPipeline
from genllava.images import load_image
from genllava_finetune.data.rows import Draw, Edit, Row, Text
from genllava_finetune.train.trainer import GenLlavaTrainer

_CELL: Final = 128


class Average(TrainerCallback):
    """Lets the moving average follow each update."""

    trainer: GenLlavaTrainer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.trainer.step_ema()


class Samples(TrainerCallback):
    """Answers and pictures of some rows, as the model gives them at that step.

    `NAME-STEP.png` has a line for each picture that was asked for: the source, the target, and what was drawn.
    `NAME-STEP.jsonl` has the questions with the expected and the given answers.

    Args:
        rows: of which samples are made.
        folder: for the files.
        name: of the stage.
        every: steps.
        pipeline: makes the pipeline of what is trained.
    """

    trainer: GenLlavaTrainer

    def __init__(
        self, rows: Sequence[Row], folder: Path, name: str, every: int, pipeline: Callable[[], GenLlavaPipeline]
    ) -> None:
        self._rows, self._folder, self._name, self._every, self._pipeline = rows, folder, name, every, pipeline

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero and state.global_step % self._every == 0:
            model = self.trainer.accelerator.unwrap_model(self.trainer.model)
            training = model.training
            model.eval()
            try:
                with self.trainer.averaged(), torch.random.fork_rng():
                    write_samples(self._pipeline(), self._rows, self._folder / f"{self._name}-{state.global_step:06d}")
            finally:
                model.train(training)


def write_samples(pipeline: GenLlavaPipeline, rows: Sequence[Row], path: Path) -> None:
    """Write what a pipeline makes of rows: a PNG of pictures, and answers as JSON lines."""
    lines, answers = list[list[Image.Image]](), list[str]()
    path.parent.mkdir(parents=True, exist_ok=True)
    for row in rows:
        for asked, shown, said in turns(row):
            if isinstance(said, Text):
                given = pipeline.understand(shown, asked, max_new_tokens=64).text.strip() if asked else ""
                answer = {"id": row.id, "question": asked, "expected": said.text, "answer": given}
                answers.append(json.dumps(answer, ensure_ascii=False))
            else:
                lines.append(_drawn(pipeline, row, asked, said))
    if answers:
        path.with_suffix(".jsonl").write_text("\n".join(answers) + "\n", encoding="utf-8")
    if lines:
        page = Image.new("RGB", (3 * _CELL, _CELL * len(lines)), "white")
        for y, line in enumerate(lines):
            for x, image in enumerate(line):
                page.paste(image.resize((_CELL, _CELL)), ((3 - len(line) + x) * _CELL, y * _CELL))
        buffer = io.BytesIO()
        page.save(buffer, "PNG")
        path.with_suffix(".png").write_bytes(buffer.getvalue())


def turns(row: Row) -> Iterator[tuple[str, list[Image.Image], Text | Draw | Edit]]:
    """What is asked in the first turn of a row, the pictures that are shown with it, and what is to come of it."""
    asked, shown = "", list[Image.Image]()
    for message in row.messages:
        if message.role == "assistant":
            for block in message.content:
                if isinstance(block, Text | Draw | Edit):
                    yield asked, shown, block
            return
        asked += "".join(block.text for block in message.content if isinstance(block, Text))
        shown += [load_image(row.images[len(shown)]) for block in message.content if block.type == "image"]


def _drawn(pipeline: Any, row: Row, asked: str, said: Draw | Edit) -> list[Image.Image]:
    target = load_image(row.images[said.image or 0])
    if isinstance(said, Draw):
        made = pipeline.generate(asked, plan=said.prompt, seed=0, height=target.height, width=target.width)
        return [target, made.image]
    source = load_image(row.images[said.source])
    return [source, target, pipeline.edit(source, asked, plan=said.instruction, seed=0).image]
