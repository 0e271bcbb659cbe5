"""Edits at the size of their source: what was changed in the square that the model sees goes back into the original."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from genllava.images import difference, unletterbox
from genllava.pipeline_output import Drawing
from genllava.protocols.shapes.latents import Picture

_SAME: Final = 4
"""Levels of 255 by which a pixel may differ that was not changed."""
_SOFT: Final = 128
"""Of a mask that was scaled: from here on a pixel was changed."""


def at_source_size(edited: Drawing, source: Picture) -> Drawing:
    """`edited` as the whole original, whose other pixels stay as they are; as it is where the model sees all of them.

    Its latents are left out then: they are those of the square.
    """
    original = source.original
    if original is None or edited.image is None:
        return edited
    from scipy import ndimage

    changed = difference(edited.image, source.image) > _SAME
    mask = Image.fromarray(np.asarray(ndimage.binary_dilation(changed, iterations=1) * 255, np.uint8))
    shown = unletterbox(edited.image, original.size)
    hard = unletterbox(mask, original.size).point(lambda level: 255 if level >= _SOFT else 0)
    return replace(edited, image=Image.composite(shown, original, hard), latents=None)
