"""Trains encoders of pictures or captions: what is in each quarter of a picture can be read from their states."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.ablations.small_world import COLORS, CORNERS, SHAPES, SIDE, caption, picture, sample_scene
from genllava_finetune.modeling.collator import to_pixels
from genllava_finetune.worlds.shapes.scene import Scene

_SIZES: Final = (len(SHAPES) + 1, len(COLORS) + 1)
_RATE: Final = 2e-3


def train_tower(tower: Any, steps: int) -> float:
    """Train a vision tower of four patches, each of which tells what is in it.

    Returns:
        The share of quarters of which shape and colour are told, of scenes that are never trained on.
    """

    def states(scenes: Sequence[Scene]) -> Tensor:
        pixels = to_pixels([picture(scene) for scene in scenes], SIDE)
        read: Tensor = tower(pixel_values=pixels).last_hidden_state
        return read

    return _fit(tower, states, [], tower.config.hidden_size, steps)


def train_text_encoder(drawer: Any, steps: int) -> float:
    """Train the text encoder of an image decoder: what is in each quarter is asked of its states by attention.

    Returns:
        As `train_tower`.
    """
    torch.manual_seed(0)
    width = drawer.text_encoder.config.hidden_size
    asking = nn.MultiheadAttention(width, 4, batch_first=True)
    questions = nn.Parameter(torch.randn(len(CORNERS), width) * 0.5)

    def states(scenes: Sequence[Scene]) -> Tensor:
        read = drawer.encode_prompt([caption(scene) for scene in scenes])
        answers: Tensor = asking(questions.expand(len(scenes), -1, -1), read, read, need_weights=False)[0]
        return answers

    return _fit(drawer.text_encoder, states, [questions, *asking.parameters()], width, steps)


def _fit(
    encoder: nn.Module, states: Callable[[Sequence[Scene]], Tensor], more: Sequence[Tensor], width: int, steps: int
) -> float:
    """Train an encoder and what reads it, [B, 4, width], sixty-four scenes at a time."""
    torch.manual_seed(0)
    rng = random.Random("readout")
    readout = nn.Linear(width, sum(_SIZES))
    encoder.requires_grad_(True)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *more, *readout.parameters()], lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.05)
    for _ in range(steps):
        scenes = [sample_scene(rng) for _ in range(64)]
        logits = readout(states(scenes)).split(_SIZES, -1)
        pairs = zip(logits, _labels(scenes), strict=True)
        loss = torch.stack([F.cross_entropy(each.flatten(0, 1), wanted.flatten()) for each, wanted in pairs]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    scenes = [sample_scene(rng, held_out=True) for _ in range(200)]
    with torch.no_grad():
        logits = readout(states(scenes)).split(_SIZES, -1)
    right = [each.argmax(-1) == wanted for each, wanted in zip(logits, _labels(scenes), strict=True)]
    return float(torch.stack(right).all(0).float().mean())


def _labels(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """The shape and the colour [B, 4] in each quarter; the last number is nothing."""
    shapes, colors = [], []
    for scene in scenes:
        there = {thing.cell: thing for thing in scene.things}
        shapes.append([SHAPES.index(there[cell].shape) if cell in there else len(SHAPES) for cell in CORNERS])
        colors.append([COLORS.index(there[cell].color) if cell in there else len(COLORS) for cell in CORNERS])
    return torch.tensor(shapes), torch.tensor(colors)
