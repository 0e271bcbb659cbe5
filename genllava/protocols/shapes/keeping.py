"""What an edit keeps of its source: everything but what it was told to change.

An edit is drawn twice from the same noise: once as planned, and once with the caption of its source as the plan. Where
both come to the same, the difference to the source is the decoder's and not the user's, and the source stays as it was;
after DiffEdit (arXiv 2210.11427), which compares the two conditionings in noise.

That is decided latent by latent, each with its cell of pixels, so that both go on showing the same. Of a cell in which
something was changed the pixels around that are kept as well. (Models whose plans say all draw both from words alone:
`genllava.placing`.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from genllava.images import difference
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes.latents import Picture

ALIKE: Final = 30
"""Largest difference of a channel, in levels of 255, between pixels that came to the same."""
RIM: Final = 3
"""Pixels that the soft edge of what was changed reaches beyond it."""


def keep_unchanged(edited: Drawing, unedited: Drawing, source: Picture) -> Drawing:
    """`edited` where something was changed, and `source` elsewhere.

    Args:
        unedited: the same noise drawn with the caption of the source.
        source: square, at the pipeline's resolution, with its latents.
    """
    assert edited.image is not None
    assert edited.latents is not None
    assert unedited.image is not None
    assert source.latents is not None
    size = edited.image.height // edited.latents.shape[1]
    told, drawn_otherwise = difference(edited.image, unedited.image), difference(source.image, unedited.image)
    changed = whole_things(told > ALIKE, drawn_otherwise > ALIKE)
    cells = _cells(changed, size)
    mask = changed | (difference(edited.image, source.image) > ALIKE)  # of other pixels the latents tell the same
    mask &= np.kron(cells, np.ones((size, size), dtype=bool))
    return replace(
        edited,
        image=Image.composite(edited.image, source.image, Image.fromarray(mask)),
        latents=torch.where(torch.from_numpy(cells), edited.latents, source.latents),
        unet_rows=edited.unet_rows + unedited.unet_rows,
    )


def whole_things(changed: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What was changed and the pixels around it, with what touches it of where the source is not as the model would
    draw it: an object that is larger in the source than in either drawing does not leave its rim behind."""
    from scipy import ndimage

    labels, _ = ndimage.label(changed | other)
    touched = np.unique(labels[changed])
    things = np.isin(labels, touched[touched > 0])
    return np.asarray(ndimage.binary_dilation(things, np.ones((2 * RIM + 1, 2 * RIM + 1))))


def _cells(changed: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """[h, w]: which cells of `size` pixels, one latent each, hold something that was changed."""
    height, width = changed.shape
    return np.asarray(changed.reshape(height // size, size, width // size, size).any((1, 3)))
