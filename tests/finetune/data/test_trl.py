"""TRL's trainer on stored rows, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from PIL import Image

from benchmarks.layouts.vision_language import LAYOUTS
from genllava_finetune.data.rows import read_row
from genllava_finetune.data.saving import save_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows") / "understanding"
    photographs = [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "coffee", "chelsea")]
    said = ["What is this?", "Who is there?", "Describe it.", "Say it in a word."]

    def row(number: int) -> Any:
        picture = {"type": "image"}
        asked = [picture, {"type": "text", "text": said[number % 4]}]
        messages = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": [{"type": "text", "text": "a cat " * (number + 1)}]},
        ]
        if number == 2:  # a second turn, and a second picture
            messages += [
                {"role": "user", "content": [{"type": "text", "text": "and"}, picture]},
                {"role": "assistant", "content": [{"type": "text", "text": "a cup"}]},
            ]
        images = [photographs[number % 3]] * (2 if number == 2 else 1)
        return read_row(
            {"images": images, "messages": messages, "source": "s", "license": "CC0-1.0", "id": str(number)}
        )

    save_rows(map(row, range(6)), folder, name="s", shard_rows=4)
    return folder


def test_two_steps_of_the_supervised_trainer(rows: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import SFTConfig, SFTTrainer

    LAYOUTS["llava15"](tmp_path / "model")
    data = load_dataset("parquet", data_files=str(rows / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache"))
    assert data[2]["messages"][2] == {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "image"}]}
    assert data[0]["images"][0].size == (512, 512)

    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    settings = SFTConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        max_length=None,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
    )
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    trainer = SFTTrainer(model=model, args=settings, train_dataset=data, processing_class=processor)
    words = processor.tokenizer.decode(next(iter(trainer.get_train_dataloader()))["labels"][0].clamp(min=0))
    assert "a cat" in words
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert trainer.state.global_step == 2
    assert len(losses) == 2
    assert all(torch.isfinite(torch.tensor(losses)))
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert any("vision" in name for name in changed)  # the pictures reached the model
    assert any("language" in name for name in changed)
