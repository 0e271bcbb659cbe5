"""What lies in each cell, and where each patch is, read linearly from what the language model gets of pictures.

An auxiliary loss of training. Without it the projector drops where a patch is, which the tower knows: its place could
be read from 78% of the tower's outputs and from 8% of the projector's after 700 steps, and "where is ...?" stayed at
chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genllava.protocols.parts import Parts
from genllava_finetune.modeling.encoding import Example
from genllava_finetune.modeling.model import AuxiliaryLoss
from genllava_finetune.worlds.shapes.training.labels import CellReadout, cell_labels
from genllava_finetune.worlds.shapes.training.row_encoder import ShapesExample

SIGHT_WEIGHT: Final = 0.2


class Sight(nn.Module):
    """Linear readings of projected picture features, in training only."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.place = nn.Linear(width, tokens)
        self.cells = CellReadout(width)

    def forward(self, features: Tensor, labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`features` [P, N, D] with N a square; `labels` as `cell_labels` makes them."""
        pictures, tokens, _ = features.shape
        side = math.isqrt(tokens)
        grid = features.transpose(1, 2).unflatten(2, (side, side)).float()
        pooled = F.adaptive_avg_pool2d(grid, 3).flatten(2).transpose(1, 2)
        read: dict[str, Tensor] = self.cells(pooled, features.mean(1), labels)
        wanted = torch.arange(tokens, device=features.device).repeat(pictures)
        places = self.place(features).float().flatten(0, 1)
        return {
            "loss": read["loss"] + F.cross_entropy(places, wanted),
            "exact": read["exact"],
            "place": (places.argmax(-1) == wanted).float().mean(),
        }


class SightLoss(AuxiliaryLoss):
    """`Sight` on all pictures of a batch of `ShapesEncoder`.

    Args:
        width: of a picture's features.
        tokens: features of one picture.
        weight: in the loss.
    """

    def __init__(self, width: int, tokens: int, weight: float = SIGHT_WEIGHT) -> None:
        super().__init__()
        self.weight = weight
        self.sight = Sight(width, tokens)

    def collate(self, rows: Sequence[Mapping[str, Any]], examples: Sequence[Example]) -> dict[str, Tensor]:
        """What the pictures show, as `cell_labels` makes it."""
        shown = [scene for each in examples if isinstance(each, ShapesExample) for scene in each.scenes]
        return cell_labels(shown) if shown else {}

    def forward(self, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The loss; the share of pictures read without a mistake, and of patches whose place is."""
        read: dict[str, Tensor] = self.sight(torch.stack(list(outputs["image_features"])), batch)
        return read


def sight_loss(parts: Parts, weight: float = SIGHT_WEIGHT) -> SightLoss:
    """The loss for the LLaVA of a recipe's parts.

    Args:
        weight: in the loss.
    """
    config: Any = parts.vision_language.model.config
    return SightLoss(config.text_config.hidden_size, config.image_seq_length, weight)
