"""Part 3: the vision tower, a small SigLIP encoder that learns what lies in each cell of a picture."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SiglipVisionConfig, SiglipVisionModel

from genllava_finetune.worlds.shapes.augment import draw_varied
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.splits import sample_scene
from genllava_finetune.worlds.shapes.training.labels import CellReadout, cell_labels
from genllava_finetune.worlds.shapes.training.part import Batch, Part
from genllava_finetune.worlds.shapes.training.pictures import to_pixels

WIDTH: Final = 256
IMAGE_SIZE: Final = 120
"""A 6x6 grid of patches: each of the nine cells is exactly two by two."""
PATCH_SIZE: Final = 20


def to_pixel_values(arrays: Sequence[NDArray[np.uint8]]) -> Tensor:
    """128x128 RGB bytes to the tower's input [B, 3, 120, 120] in -1..1 (bicubic, antialiased, as Pillow resizes)."""
    pixels = to_pixels(arrays)
    return F.interpolate(pixels, (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True).clamp(-1, 1)


class CellReading(nn.Module):
    """The tower under linear readouts of the nine cells, each pooled over the patches it touches."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_tower = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=WIDTH,
                intermediate_size=3 * WIDTH,
                num_hidden_layers=5,
                num_attention_heads=4,
                image_size=IMAGE_SIZE,
                patch_size=PATCH_SIZE,
                vision_use_head=False,
            )
        )
        self.readout = CellReadout(WIDTH)

    def forward(self, pixel_values: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """`pixel_values` [B, 3, 120, 120] in -1..1, as SigLIP's image processor makes them."""
        tokens = self.vision_tower(pixel_values=pixel_values).last_hidden_state
        side = IMAGE_SIZE // PATCH_SIZE
        grid = tokens.transpose(1, 2).unflatten(2, (side, side))
        cells = F.adaptive_avg_pool2d(grid.float(), 3).flatten(2).transpose(1, 2)
        result: dict[str, Tensor] = self.readout(cells, tokens.mean(1), labels)
        return result


class VisionTower(Part):
    name = "vision_tower"

    def build(self) -> nn.Module:
        return CellReading()

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self.name}:{self.seed}:{step}")
        scenes = [sample_scene(rng, "train", withhold=self.withhold) for _ in range(self.recipe.batch_size)]
        arrays = [render_array(s) if rng.random() < 0.4 else draw_varied(rng, s) for s in scenes]
        return {"pixel_values": to_pixel_values(arrays), "labels": cell_labels(scenes)}

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, CellReading)
        module.vision_tower.save_pretrained(folder)
