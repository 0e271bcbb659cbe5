"""Edits drawn from their plan alone, by models whose plans say all that their pictures show.

Such a model draws new pictures better than edits, and both from the same words; so what an edit becomes is drawn as a
new picture, and so is what its source shows. Where the two differ, the first is put into the source, after DiffEdit
(arXiv 2210.11427). A plan says in which part of a picture a thing is, and not to the pixel, nor which white the
background has: what was drawn is first put where the source has it, on the source's own background.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.images import border_color, difference
from genllava.protocols.shapes.keeping import ALIKE, RIM, whole_things
from genllava.protocols.shapes.layers import Layers, Mask, Pixels, with_rim

_REACH: Final = 1 / 12
"""How far a thing may be from where it is drawn, in parts of the picture's side; what is further away is another."""


def put_into(source: Image.Image, planned: Image.Image, known: Image.Image) -> Image.Image:
    """The source with what is planned, where that is not what it shows already.

    Args:
        planned: what it is to become, drawn from words alone; what comes in a thing's place is put where that was.
        known: what it shows, drawn from words alone.
    """
    wanted, drawn = (Layers.of(np.asarray(image).astype(float)) for image in (planned, known))
    given = Layers.of(np.asarray(source).astype(float), ~with_rim(drawn.things))
    moves = _moves(wanted, drawn, given, round(source.width * _REACH))
    wanted, drawn = _moved(wanted, moves), _moved(drawn, moves)
    same_ground = np.abs(wanted.ground - drawn.ground).max() <= ALIKE
    if same_ground:
        ground, kept = _bare(given), given.pixels
    else:  # another background is what was asked for, and the things stay the source's
        ground = np.broadcast_to(border_color(wanted.pixels), given.pixels.shape)
        kept = _onto(given, ground)
    after, before = _onto(wanted, ground), _onto(drawn, ground)
    told = _differ(wanted.pixels, drawn.pixels) if same_ground else _solid(_differ(after, before))
    result = np.where(whole_things(told, _differ(kept, before))[..., None], after, kept)
    return Image.fromarray(result.round().clip(0, 255).astype(np.uint8))


def _differ(one: Pixels, other: Pixels) -> Mask:
    return np.asarray(difference(one, other) > ALIKE)


def _solid(mask: Mask) -> Mask:
    """A mask without its specks and lines: the soft edges of one thing that was drawn on two backgrounds."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_propagation(ndimage.binary_opening(mask, iterations=2), mask=mask))


def _moves(wanted: Layers, drawn: Layers, given: Layers, reach: int) -> list[tuple[Mask, tuple[int, int]]]:
    """Parts of the drawings that are elsewhere in the source, and how far: (down, right) in pixels."""
    from scipy import ndimage

    both = wanted.things | drawn.things
    parts, count = ndimage.label(both)
    nearest = ndimage.distance_transform_edt(~both, return_distances=False, return_indices=True)
    parts = np.where(with_rim(both), parts[tuple(nearest)], 0)
    things, _ = ndimage.label(given.things)
    moves = []
    for number in range(1, count + 1):
        part = parts == number
        if ndimage.label(drawn.things & part)[1] != 1:  # new, or so large that it meets two
            continue
        offset = _offset(drawn.things & part, things, reach)
        if offset != (0, 0):
            moves.append((part, offset))
    return moves


def _offset(drawn: Mask, things: NDArray[np.int_], reach: int) -> tuple[int, int]:
    """From a drawn thing to the same one of the source, by their middles; nothing if it has none."""
    met = np.bincount(things[drawn])[1:]
    if not met.any():
        return 0, 0
    same = np.argwhere(things == 1 + int(met.argmax()))
    down, right = (same.mean(0) - np.argwhere(drawn).mean(0)).round().astype(int)
    return (int(down), int(right)) if max(abs(down), abs(right)) <= reach else (0, 0)


def _moved(picture: Layers, moves: list[tuple[Mask, tuple[int, int]]]) -> Layers:
    """A picture with parts of it put elsewhere, and its background where they were."""
    if not moves:
        return picture
    pixels, distance = picture.pixels.copy(), picture.distance.copy()
    for part, _ in moves:
        pixels[part], distance[part] = picture.ground[part], 0
    for part, offset in moves:
        places = np.argwhere(part)
        inside = ((places + offset >= 0) & (places + offset < part.shape)).all(1)
        start, end = tuple(places[inside].T), tuple((places[inside] + offset).T)
        over = picture.distance[start] > distance[end]  # its own background hides nothing beside it
        pixels[end] = np.where(over[:, None], picture.pixels[start], pixels[end])
        distance[end] = np.maximum(picture.distance[start], distance[end])
    return Layers.of(pixels)


def _bare(picture: Layers) -> Pixels:
    """The background of a picture, and nothing on it."""
    return np.asarray(np.where(with_rim(picture.things)[..., None], picture.ground, picture.pixels))


def _onto(picture: Layers, ground: Pixels) -> Pixels:
    """The things of a picture on another background [H, W, 3], which comes through where they are soft."""
    from scipy import ndimage

    near = with_rim(picture.things)[..., None]
    strongest = ndimage.maximum_filter(picture.distance, 2 * RIM + 1).clip(1)
    opaque = picture.distance / strongest
    opaque[ndimage.binary_erosion(picture.things, iterations=RIM)] = 1
    opaque = opaque[..., None]
    return np.asarray(np.where(near, picture.pixels + (1 - opaque) * (ground - picture.ground), ground))
