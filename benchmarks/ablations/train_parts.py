"""Trains the parts that every run begins with, as runs at full size begin with public models: minutes on one core.

A vision tower that tells what is in each quarter of a picture; a language model that answers texts about the world and
captions pictures, and was never asked about a picture; an image decoder that draws and edits by captions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.ablations.parts import VLM_PARTS, decoder, vision_language
from benchmarks.ablations.readouts import train_text_encoder, train_tower
from benchmarks.ablations.small_world import (
    EDITING,
    GENERATION,
    TASKS,
    Case,
    Rows,
    caption_row,
    held_out_cases,
    picture,
    read,
    text_row,
)
from genllava.image_decoder import ImageDecoder
from genllava.protocols.parts import named_blocks
from genllava.vision_language import VisionLanguage
from genllava_finetune.data.rows import Row, Text, row_dict
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.modeling.encoding import RowEncoder
from genllava_finetune.modeling.model import GenLlavaForTraining, LossWeights

TOWER_STEPS: Final = 200
TEXT_STEPS: Final = 1200
CAPTION_STEPS: Final = 450
TEXT_ENCODER_STEPS: Final = 300
DECODER_STEPS: Final = 1000
_BATCH: Final = 32
_SEED: Final = 1_000_000
"""Of the rows; runs have small numbers."""


def train_parts(folder: Path) -> dict[str, float]:
    """Train the parts that are not in the folder yet.

    Returns:
        The share of what they get right of what is never trained on; as in `parts.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "parts.json"
    found: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, train in (("language", _language), ("decoder_drawing", _decoder)):
        if name not in found:
            found |= train(folder)
            file.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return found


def _language(folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    parts = vision_language()
    known = len(parts[1].tokenizer)  # without the tokens that the encoder of rows adds
    found = {"tower": train_tower(parts[0].model.vision_tower, TOWER_STEPS)}
    spoken = VisionLanguage(*parts)
    made = spoken.model
    model = GenLlavaForTraining(spoken, bridge="caption", weights=LossWeights(1.0, 0.0, 0.0))
    collate, words = Collator(RowEncoder(spoken)), ("vlm.model.language_model", "vlm.lm_head")
    _fit(model, collate, Rows(_SEED, 10**9, texts=1.0), words, steps=TEXT_STEPS, rate=3e-3)
    seen = (*words, "vlm.model.multi_modal_projector")
    _fit(model, collate, Rows(_SEED + 1, 10**9, texts=0.4, captions=0.6), seen, steps=CAPTION_STEPS, rate=2e-3)
    for name in VLM_PARTS:
        state = getattr(made.model, name).state_dict()
        kept = {key: value[:known].clone() if "embed_tokens" in key else value for key, value in state.items()}
        torch.save(kept, folder / f"{name}.pt")
    torch.save({"weight": made.lm_head.weight[:known].detach().clone()}, folder / "lm_head.pt")
    return found | {"language": _answered(spoken, text_row), "captions": _answered(spoken, caption_row)}


def _answered(spoken: VisionLanguage, row_of: Callable[[Case, str], Row]) -> float:
    """The share of rows of test cases that the model answers word for word."""
    rows = [row_of(case, "test") for task in TASKS for case in held_out_cases(task, 50)]
    right = 0
    for row in rows:
        asked, (said,) = row.messages[0].content, row.messages[1].content
        content = named_blocks(row.images)
        content += [{"type": "text", "text": block.text} for block in asked if isinstance(block, Text)]
        reply = spoken.chat([{"role": "user", "content": content}], prefix="[I2T]", max_new_tokens=16, do_sample=False)
        right += isinstance(said, Text) and reply.text.strip() == said.text
    return right / len(rows)


def _decoder(folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    spoken, drawer = VisionLanguage(*vision_language()), decoder()
    found = {"text_encoder": train_text_encoder(drawer, TEXT_ENCODER_STEPS)}
    weights = LossWeights(0.0, 1.0, 0.0)
    model = GenLlavaForTraining(spoken, None, ImageDecoder(drawer), bridge="caption", weights=weights)
    collate = Collator(RowEncoder(spoken), resolution=model.resolution)
    rows = Rows(_SEED + 2, 10**9, {GENERATION: 1.0, EDITING: 0.4})
    _fit(model, collate, rows, ("decoder.unet",), steps=DECODER_STEPS, rate=2e-3)
    drawer.save_pretrained(folder / "decoder")
    return found | {"decoder_drawing": _drawn(drawer, GENERATION), "decoder_editing": _drawn(drawer, EDITING)}


def _drawn(drawer: Any, task: str) -> float:
    """The share of pictures of a hundred test cases that a decoder draws right by their captions."""
    cases = held_out_cases(task, 100)
    sources = [picture(case.shown) for case in cases if case.shown is not None]
    generators = [torch.Generator().manual_seed(number) for number in range(len(cases))]
    made = drawer([case.plan for case in cases], sources or None, generator=generators).images
    return sum(read(image) == case.target for image, case in zip(made, cases, strict=True)) / len(cases)


def _fit(model: Any, collate: Collator, rows: Sequence[Row], train: Sequence[str], *, steps: int, rate: float) -> None:
    """Train some modules of a model on rows, and say every hundred steps how it goes."""
    model.requires_grad_(False)
    for name in train:
        model.get_submodule(name).requires_grad_(True)
    weights = list(chain.from_iterable(model.get_submodule(name).parameters() for name in train))
    optimizer = torch.optim.AdamW(weights, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    model.train()
    for step in range(steps):
        batch = collate([row_dict(rows[number]) for number in range(_BATCH * step, _BATCH * (step + 1))])
        loss = model(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"{', '.join(train)}: step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)
    model.eval()
