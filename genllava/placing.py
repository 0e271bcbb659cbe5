"""Edits drawn from their plan alone, by models whose plans say all that their pictures show.

Such a model draws new pictures better than edits, and both from the same words; so an edit is drawn as a new picture,
and put into its source where it differs from a drawing of what the source shows (`genllava.keeping`). A plan says in
which part of a picture a thing is, and not to the pixel: what is drawn is first put where the source has it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.images import background_color

_ALIKE: Final = 30
"""Largest difference of a channel, in levels of 255, between a thing and what lies behind it."""
_RIM: Final = 3
"""Pixels of a thing's soft edge."""
_REACH: Final = 1 / 16
"""How far a thing may be from where it is drawn, in parts of the picture's side; what is further away is another."""

Mask = NDArray[np.bool_]


def placed(planned: Image.Image, known: Image.Image, source: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Two drawings with each thing moved to where the source has it; the same objects where nothing has to move.

    Args:
        planned: what the source is to become, drawn from words alone; what comes in a thing's place moves like it.
        known: what the source shows, drawn from words alone.
        source: of the same size.
    """
    from scipy import ndimage

    wanted, drawn, there = (_things(image) for image in (planned, known, source))
    parts, count = ndimage.label(ndimage.binary_dilation(wanted | drawn, iterations=_RIM))
    things, _ = ndimage.label(there)
    moves: list[tuple[Mask, tuple[int, int]]] = []
    for number in range(1, count + 1):
        part = parts == number
        offset = _offset(drawn & part, things, round(source.width * _REACH))
        if offset != (0, 0):
            moves.append((part, offset))
    return (_moved(planned, moves), _moved(known, moves)) if moves else (planned, known)


def _things(image: Image.Image) -> Mask:
    """[H, W]: where a picture shows something else than its background."""
    pixels = np.asarray(image).astype(int)
    return np.asarray(np.abs(pixels - background_color(pixels)).max(2) > _ALIKE)


def _offset(drawn: Mask, things: NDArray[np.int_], reach: int) -> tuple[int, int]:
    """Pixels (down, right) from a drawn thing to the same one of the source, by their middles; none if it has none."""
    met = np.bincount(things[drawn])[1:]
    if not met.any():
        return 0, 0
    same = np.argwhere(things == 1 + int(met.argmax()))
    down, right = (same.mean(0) - np.argwhere(drawn).mean(0)).round().astype(int)
    return (int(down), int(right)) if max(abs(down), abs(right)) <= reach else (0, 0)


def _moved(image: Image.Image, moves: list[tuple[Mask, tuple[int, int]]]) -> Image.Image:
    """A picture with parts of it put elsewhere, and its background where they were."""
    pixels = np.asarray(image)
    result = pixels.copy()
    for part, _ in moves:
        result[part] = background_color(pixels)
    for part, offset in moves:
        places = np.argwhere(part)
        targets = places + offset
        inside = ((targets >= 0) & (targets < part.shape)).all(1)
        result[tuple(targets[inside].T)] = pixels[tuple(places[inside].T)]
    return Image.fromarray(result)
