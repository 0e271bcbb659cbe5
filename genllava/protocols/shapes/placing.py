"""Edits drawn from their plan alone, by models whose plans say all that their pictures show.

Such a model draws new pictures better than edits, and both from the same words; so what an edit becomes is drawn as a
new picture, and so is what its source shows. Where the two differ, the first is put into the source, after DiffEdit
(arXiv 2210.11427). A plan says in which part of a picture a thing is, and not to the pixel, nor which white the
background has: what was drawn is first put where the source has it, on the source's own background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.images import border_color, difference
from genllava.protocols.shapes.keeping import ALIKE, RIM, whole_things

_REACH: Final = 1 / 12
"""How far a thing may be from where it is drawn, in parts of the picture's side; what is further away is another."""

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture taken apart.

    Attributes:
        pixels: [H, W, 3], levels of 255.
        ground: [H, W, 3], its background: one colour, or one that passes evenly into another.
        distance: [H, W], how far each pixel is from it, in the channel that differs most.
    """

    pixels: Pixels
    ground: Pixels
    distance: Pixels

    @classmethod
    def of(cls, pixels: Pixels, bare: Mask | None = None) -> _Picture:
        """Take a picture apart; `bare` [H, W] is where its background is to be seen, the border if nothing is known."""
        ground = _ground(pixels, _border(pixels) if bare is None or not bare.any() else bare)
        return cls(pixels, ground, difference(pixels, ground))

    @property
    def things(self) -> Mask:
        """[H, W]: where something else than the background is."""
        return np.asarray(self.distance > ALIKE)


def put_into(source: Image.Image, planned: Image.Image, known: Image.Image) -> Image.Image:
    """The source with what is planned, where that is not what it shows already.

    Args:
        planned: what it is to become, drawn from words alone; what comes in a thing's place is put where that was.
        known: what it shows, drawn from words alone.
    """
    wanted, drawn = (_Picture.of(np.asarray(image).astype(float)) for image in (planned, known))
    given = _Picture.of(np.asarray(source).astype(float), ~_with_rim(drawn.things))
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


def _border(pixels: Pixels) -> Mask:
    border = np.ones(pixels.shape[:2], dtype=bool)
    border[1:-1, 1:-1] = False
    return border


def _ground(pixels: Pixels, bare: Mask) -> Pixels:
    """[H, W, 3]: the plane through the colours of a picture where it is `bare`; what is far from it is left out."""
    height, width, _ = pixels.shape
    down, right = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    at = np.stack([np.ones_like(down), down, right], axis=2)
    ground = np.broadcast_to(np.median(pixels[bare], axis=0).round(), pixels.shape)
    for reach in (2 * ALIKE, ALIKE):
        near = bare & (difference(pixels, ground) <= reach)
        if near.sum() > bare.sum() // 2:
            ground = at @ np.linalg.lstsq(at[near], pixels[near], rcond=None)[0]
    return np.asarray(ground)


def _moves(wanted: _Picture, drawn: _Picture, given: _Picture, reach: int) -> list[tuple[Mask, tuple[int, int]]]:
    """Parts of the drawings that are elsewhere in the source, and how far: (down, right) in pixels."""
    from scipy import ndimage

    both = wanted.things | drawn.things
    parts, count = ndimage.label(both)
    nearest = ndimage.distance_transform_edt(~both, return_distances=False, return_indices=True)
    parts = np.where(_with_rim(both), parts[tuple(nearest)], 0)
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


def _moved(picture: _Picture, moves: list[tuple[Mask, tuple[int, int]]]) -> _Picture:
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
    return _Picture.of(pixels)


def _bare(picture: _Picture) -> Pixels:
    """The background of a picture, and nothing on it."""
    return np.asarray(np.where(_with_rim(picture.things)[..., None], picture.ground, picture.pixels))


def _onto(picture: _Picture, ground: Pixels) -> Pixels:
    """The things of a picture on another background [H, W, 3], which comes through where they are soft."""
    from scipy import ndimage

    near = _with_rim(picture.things)[..., None]
    strongest = ndimage.maximum_filter(picture.distance, 2 * RIM + 1).clip(1)
    opaque = picture.distance / strongest
    opaque[ndimage.binary_erosion(picture.things, iterations=RIM)] = 1
    opaque = opaque[..., None]
    return np.asarray(np.where(near, picture.pixels + (1 - opaque) * (ground - picture.ground), ground))


def _with_rim(things: Mask) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(things, iterations=RIM))
