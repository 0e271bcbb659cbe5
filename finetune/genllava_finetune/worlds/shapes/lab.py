"""Colour as the eye sees it: sRGB to CIE L*a*b*, and which of the named colours a shade is nearest to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ (IEC 61966-2-1)."""
_WHITE: Final = _TO_XYZ.sum(axis=1)
"""XYZ of sRGB white (D65)."""
_DELTA: Final = 6 / 29


def to_lab(rgb: NDArray[np.number] | tuple[float, ...]) -> NDArray[np.float64]:
    """[..., 3] sRGB in 0..255 to [..., 3] L*a*b* (D65): L 0..100, a and b about -110..110."""
    value = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > _DELTA**3, np.cbrt(ratio), ratio / (3 * _DELTA**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_of(named: Mapping[str, tuple[int, int, int]]) -> NDArray[np.float64]:
    """[K, 3]: the named colours in L*a*b*, in the order of the mapping."""
    return to_lab(np.array(list(named.values())))


def distances(lab: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., K]: how far (CIE76) each of `lab` [..., 3] is from each of `to` [K, 3]."""
    gap: NDArray[np.float64] = np.linalg.norm(lab[..., None, :] - to, axis=-1)
    return gap
