"""What an edit keeps of its source: everything but what it was told to change.

An edit is drawn twice from the same noise: once as planned, and once with the caption of its source as the plan. Where
both come to the same, the difference to the source is the decoder's and not the user's, and the source stays as it was;
after DiffEdit (arXiv 2210.11427), which compares the two conditionings in noise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genllava.image_decoder import Picture
from genllava.pipeline_output import Drawing

_ALIKE: Final = 30
"""Largest difference of a channel, in levels of 255, between pixels that came to the same."""


def keep_unchanged(edited: Drawing, unedited: Drawing, source: Picture) -> Drawing:
    """`edited` where something was changed, and `source` elsewhere: pixels and latents alike.

    Args:
        unedited: the same noise drawn with the caption of the source.
        source: square, at the pipeline's resolution, with its latents.
    """
    assert edited.image is not None
    assert edited.latents is not None
    assert unedited.image is not None
    assert source.latents is not None
    size = edited.image.height // edited.latents.shape[1]
    changed = _changed_cells(edited.image, unedited.image, size)
    mask = Image.fromarray(np.kron(changed, np.full((size, size), 255)).astype(np.uint8))
    return replace(
        edited,
        image=Image.composite(edited.image, source.image, mask),
        latents=torch.where(torch.from_numpy(changed), edited.latents, source.latents),
        unet_rows=edited.unet_rows + unedited.unet_rows,
    )


def _changed_cells(edited: Image.Image, unedited: Image.Image, size: int) -> NDArray[np.bool_]:
    """[h, w]: which cells of `size` pixels, one latent each, hold something that was changed."""
    difference = np.abs(np.asarray(edited).astype(int) - np.asarray(unedited).astype(int)).max(2)
    height, width = difference.shape
    cells = difference.reshape(height // size, size, width // size, size)
    changed: NDArray[np.bool_] = cells.max((1, 3)) > _ALIKE
    return changed
