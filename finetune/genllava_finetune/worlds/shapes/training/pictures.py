"""Between arrays of bytes, tensors and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def to_pixels(arrays: Sequence[NDArray[np.uint8]]) -> Tensor:
    """RGB bytes [H, W, 3] each, to one tensor [B, 3, H, W] in -1..1."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(pixels: Tensor) -> NDArray[np.uint8]:
    """[B, 3, H, W] in -1..1 to RGB bytes [B, H, W, 3]."""
    scaled = ((pixels.float() + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()


def contact_sheet(rows: Sequence[NDArray[np.uint8]], gap: int = 4) -> Image.Image:
    """Rows of pictures [N, H, W, 3] on a gray ground."""
    count, height, width, _ = rows[0].shape
    sheet = np.full((len(rows) * (height + gap) - gap, count * (width + gap) - gap, 3), 90, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    return Image.fromarray(sheet)
