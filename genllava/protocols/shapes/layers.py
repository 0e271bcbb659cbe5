"""Pictures taken apart into a background and the things on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genllava.images import difference
from genllava.protocols.shapes.keeping import ALIKE, RIM

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layers:
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
    def of(cls, pixels: Pixels, bare: Mask | None = None) -> Layers:
        """Take a picture apart; `bare` [H, W] is where its background is to be seen, the border if nothing is known."""
        ground = _ground(pixels, _border(pixels) if bare is None or not bare.any() else bare)
        return cls(pixels, ground, difference(pixels, ground))

    @property
    def things(self) -> Mask:
        """[H, W]: where something else than the background is."""
        return np.asarray(self.distance > ALIKE)


def with_rim(things: Mask) -> Mask:
    """[H, W]: things with the pixels around them that their soft edges may reach."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(things, iterations=RIM))


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
