"""What an edit keeps of its source: the pixels of all cells in which its layout changes nothing.

A small autoencoder blurs what goes through it, and a user who asked for another hat sees that the house changed too.
Where the layout of the source and that of the edit say the same of a cell, the edit takes the source's own pixels. The
seam between both lies in the changed cells, so that what is kept is kept exactly. A thing that is not in the middle of
its cell, as in pictures made elsewhere, may reach into the next one: that part of it is kept with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from genllava.layout_decoder.layout import unchanged

_GRID: Final = 3
_SEAM: Final = 1
"""Half of the width of the seam, in pixels: a large thing ends as near to the border of its cell."""


def change_mask(source_prompt: str, prompt: str, size: tuple[int, int]) -> Image.Image:
    """A mask of `size` (width, height), white where a picture may change that shows one layout and is to show another.

    Args:
        source_prompt: layout of the picture.
        prompt: that of its edit.
        size: of the picture, of which the layouts describe the square around it, as `genllava.images.letterbox` makes
            it.

    Raises:
        InvalidRequest: one of them is no layout.
    """
    changed = ~np.asarray(unchanged(source_prompt, prompt)).reshape(_GRID, _GRID)
    columns, rows = (_cell_of(side, max(size)) for side in size)
    mask = Image.fromarray(changed[np.ix_(rows, columns)].astype(np.uint8) * 255)
    return mask.filter(ImageFilter.MinFilter(2 * _SEAM + 1)).filter(ImageFilter.BoxBlur(_SEAM))


def _cell_of(side: int, square: int) -> Sequence[int]:
    """The row of cells in which each of the pixels is, of one side of a picture in the middle of a square."""
    middles = np.arange(side) + 0.5 + (square - side) / 2
    cells: list[int] = (middles * _GRID / square).astype(int).tolist()
    return cells
