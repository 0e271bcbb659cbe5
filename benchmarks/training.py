"""Joint training against a plain padded loop: the same dialogues, weights and loss, interleaved.

Ours cuts batches from windows sorted by length, takes few rows through the language model at a time and puts its head
on the positions that are learnt; the plain loop takes the dialogues as they come, pads them to the longest and computes
every logit.
"""

from __future__ import annotations

import copy
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import MistralForCausalLM

from genllava.checkpoints import SHIPPED
from genllava_finetune.worlds.shapes.training.assembling import unpack
from genllava_finetune.worlds.shapes.training.dialogues import IGNORE
from genllava_finetune.worlds.shapes.training.joint import SORT_WINDOW, Joint
from genllava_finetune.worlds.shapes.training.joint_loss import JointLoss, segment_weight
from genllava_finetune.worlds.shapes.training.recipe import PartRecipe

BATCH = 16
LEARNING_RATE = 5e-4
WINDOWS = 4


class PlainLoss(JointLoss):
    """The same loss over whole padded batches, with every logit computed."""

    rows_at_once = BATCH

    def words(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.llava.lm_head(states[:, :-1]).float().flatten(0, 1)
        wanted = labels[:, 1:].flatten()
        learnt = labels[:, 1:] != IGNORE
        weight = segment_weight(labels[:, 1:], self.seen_id)
        errors = F.cross_entropy(logits, wanted, ignore_index=IGNORE, reduction="none")
        return (errors[learnt.flatten()] * weight).sum() / weight.sum(), torch.zeros(())


def measure(model: Path = SHIPPED) -> dict[str, object]:
    """Train two copies of a model, whose language model begins anew, on the same windows of dialogues.

    Returns:
        ratio: median over windows of our dialogues per second to the plain loop's.
        loss, plain_loss: mean loss by window; the order within a window differs, the dialogues do not.
    """
    torch.manual_seed(0)
    torch.backends.cuda.enable_flash_sdp(False)
    with tempfile.TemporaryDirectory() as folder:
        unpack(model, Path(folder))
        part = Joint(PartRecipe(steps=100, batch_size=BATCH, learning_rate=LEARNING_RATE), 0, Path(folder))
        ours = part.build()
    assert isinstance(ours, JointLoss)
    begun_anew = MistralForCausalLM(ours.llava.config.text_config)
    ours.llava.model.language_model.load_state_dict(begun_anew.model.state_dict())
    plain = copy.deepcopy(ours)
    plain.__class__ = PlainLoss
    steps = {"ours": _stepper(ours), "plain": _stepper(plain)}
    ratios: list[float] = []
    losses: dict[str, list[float]] = {"ours": [], "plain": []}
    for window in range(WINDOWS + 1):
        first = window * SORT_WINDOW
        sorted_batches = [part.batch(first + i) for i in range(SORT_WINDOW)]
        examples = [example for i in range(SORT_WINDOW) for example in part.examples(first + i)]
        random.Random(window).shuffle(examples)
        drawn = [part.collate(examples[i : i + BATCH]) for i in range(0, len(examples), BATCH)]
        seconds = {}
        for name, batches in (("ours", sorted_batches), ("plain", drawn)):
            start = time.perf_counter()
            values = [steps[name](batch, first + i) for i, batch in enumerate(batches)]
            seconds[name] = time.perf_counter() - start
            if window:
                losses[name].append(statistics.mean(values))
        if window:  # the first one warms up
            ratios.append(seconds["plain"] / seconds["ours"])
    return {
        "ratio": statistics.median(ratios),
        "windows": [round(ratio, 2) for ratio in ratios],
        "loss": [round(value, 3) for value in losses["ours"]],
        "plain_loss": [round(value, 3) for value in losses["plain"]],
        "dialogues": BATCH * SORT_WINDOW * WINDOWS,
    }


def _stepper(module: JointLoss) -> Any:
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def step(batch: dict[str, Any], seed: int) -> float:
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16):
            loss = module(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss)

    return step
