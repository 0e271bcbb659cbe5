"""Trains the parts that every run begins with: minutes on one core."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.ablations.parts import decoder, train_text_encoder, train_tower, vision_language
from benchmarks.ablations.small_world import EDITING, GENERATION, TASKS, Rows, held_out_cases, picture, read, text_row
from genllava.image_decoder import ImageDecoder
from genllava.vision_language import VisionLanguage
from genllava_finetune.data.rows import Row, row_dict
from genllava_finetune.train.collator import Collator
from genllava_finetune.train.encoding import RowEncoder
from genllava_finetune.train.model import GenLlavaForTraining, LossWeights

TOWER_STEPS: Final = 200
LANGUAGE_STEPS: Final = 1200
TEXT_STEPS: Final = 300
DECODER_STEPS: Final = 1500
_SEED: Final = 1_000_000
"""Of the rows; runs have small numbers."""


def train_parts(folder: Path) -> dict[str, float]:
    """Train the parts that are not in the folder yet.

    Returns:
        How well they do what they were trained for, on what is never trained on; as in `parts.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "parts.json"
    found: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    if "language" not in found:
        found |= _language(folder)
        file.write_text(json.dumps(found, indent=2))
    if "decoder_drawing" not in found:
        found |= _decoder(folder)
        file.write_text(json.dumps(found, indent=2))
    return found


def _language(folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    parts = vision_language()
    tower = train_tower(parts[0], TOWER_STEPS)
    spoken = VisionLanguage(*parts)
    model = GenLlavaForTraining(spoken, bridge="caption", weights=LossWeights(1.0, 0.0, 0.0))
    train = ("vlm.model.language_model", "vlm.lm_head")
    rows = Rows(_SEED, 10**9, dict.fromkeys(TASKS, 1.0), texts=1.0)
    _fit(model, Collator(RowEncoder(spoken)), rows, train, steps=LANGUAGE_STEPS, rate=3e-3)
    right = 0
    cases = [case for task in TASKS for case in held_out_cases(task, 60)]
    for case in cases:
        row = text_row(case, "test")
        asked, said = (message.content[0].text for message in row.messages)  # type: ignore[union-attr]
        content = [{"role": "user", "content": [{"type": "text", "text": asked}]}]
        right += spoken.chat(content, prefix="[I2T]", max_new_tokens=16, do_sample=False).text.strip() == said
    made, known = spoken.model, len(parts[1].tokenizer) - _added(spoken)
    for name in ("vision_tower", "language_model"):
        state = getattr(made.model, name).state_dict()
        torch.save(
            {key: value[:known] if "embed_tokens" in key else value for key, value in state.items()},
            folder / f"{name}.pt",
        )
    torch.save({"weight": made.lm_head.weight[:known].detach().clone()}, folder / "lm_head.pt")
    return {"tower": tower, "language": right / len(cases)}


def _added(spoken: VisionLanguage) -> int:
    """How many tokens the language model got since it was made."""
    return len(spoken.tokenizer) - len(vision_language()[1].tokenizer)


def _decoder(folder: Path) -> dict[str, float]:
    torch.manual_seed(0)
    spoken, drawer = VisionLanguage(*vision_language()), decoder()
    model = GenLlavaForTraining(
        spoken, None, ImageDecoder(drawer), bridge="caption", weights=LossWeights(0.0, 1.0, 0.0)
    )
    read_right = train_text_encoder(drawer, TEXT_STEPS)
    rows = Rows(_SEED, 10**9, {GENERATION: 1.0, EDITING: 0.4})
    collate = Collator(RowEncoder(spoken), resolution=model.resolution)
    _fit(model, collate, rows, ("decoder.unet",), steps=DECODER_STEPS, rate=2e-3)
    drawer.save_pretrained(folder / "decoder")
    return {"text_encoder": read_right} | {f"decoder_{name}": s for name, s in decoder_shares(drawer).items()}


def decoder_shares(drawer: Any, count: int = 100) -> dict[str, float]:
    """How many pictures of test cases a decoder draws right by their captions, new ones and edits."""
    found = {}
    for name, task in (("drawing", GENERATION), ("editing", EDITING)):
        cases = held_out_cases(task, count)
        sources = [picture(case.shown) for case in cases if case.shown is not None]
        generators = [torch.Generator().manual_seed(number) for number in range(count)]
        with torch.no_grad():
            made = drawer([case.plan for case in cases], sources or None, generator=generators).images
        found[name] = sum(read(image) == case.target for image, case in zip(made, cases, strict=True)) / count
    return found


def _fit(model: Any, collate: Collator, rows: Sequence[Row], train: Sequence[str], *, steps: int, rate: float) -> None:
    """Train some modules of a model on rows, thirty-two at a time."""
    weights = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(train)))
        weights += [parameter] if parameter.requires_grad else []
    optimizer = torch.optim.AdamW(weights, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    model.train()
    begun = time.monotonic()
    for step in range(steps):
        batch = collate([row_dict(rows[number]) for number in range(32 * step, 32 * (step + 1))])
        outputs = model(**batch)
        optimizer.zero_grad()
        outputs["loss"].backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(
                f"{train[0]}: step {step + 1}, loss {float(outputs['loss']):.4f}, {time.monotonic() - begun:.0f} s",
                flush=True,
            )
    model.eval()
