"""Scenes as class labels, cell by cell: the supervision of the vision tower and of the text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES, Scene

IGNORE: Final = -100
CLASSES: Final = {"shape": len(SHAPES) + 1, "color": len(COLORS), "size": len(SIZES)}
"""Classes of a cell; the last shape class is `empty`, and an empty cell has no colour and no size."""


def cell_labels(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """`shape`, `color`, `size` [B, 9] and `background` [B]; colour and size are `IGNORE` in empty cells."""
    shape = torch.full((len(scenes), len(CELLS)), len(SHAPES))
    color = torch.full_like(shape, IGNORE)
    size = torch.full_like(shape, IGNORE)
    for i, scene in enumerate(scenes):
        for thing in scene.things:
            shape[i, thing.cell] = SHAPES.index(thing.shape)
            color[i, thing.cell] = COLORS.index(thing.color)
            size[i, thing.cell] = SIZES.index(thing.size)
    background = torch.tensor([BACKGROUNDS.index(scene.background) for scene in scenes])
    return {"shape": shape, "color": color, "size": size, "background": background}


class CellReadout(nn.Module):
    """Linear classifiers of the nine cells and the background, used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cells = nn.ModuleDict({name: nn.Linear(width, count) for name, count in CLASSES.items()})
        self.background = nn.Linear(width, len(BACKGROUNDS))

    def forward(self, cells: Tensor, whole: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """Loss and the share of scenes read without any mistake.

        Args:
            cells: [B, 9, D].
            whole: [B, D].
        """
        loss = whole.new_zeros(())
        right = torch.ones(len(whole), dtype=torch.bool, device=whole.device)
        metrics = {}
        for name, layer in self.cells.items():
            logits, target = layer(cells).float(), labels[name]
            loss = loss + F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORE)
            hit = (logits.argmax(-1) == target) | (target == IGNORE)
            occupied = labels["color"] != IGNORE
            metrics[name] = hit[occupied].float().mean()
            right &= hit.all(1)
        logits = self.background(whole).float()
        loss = loss + F.cross_entropy(logits, labels["background"])
        right &= logits.argmax(-1) == labels["background"]
        return {"loss": loss, "exact": right.float().mean(), **metrics}
