"""A thing in another colour: the hue of its main colour is turned, and nothing else."""

from __future__ import annotations

import colorsys
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.shapes.render import PALETTE

_HUES: Final = {name: colorsys.rgb_to_hsv(*(c / 255 for c in rgb)) for name, rgb in PALETTE.items()}
_WIDTH: Final = 45 / 360
"""How far a pixel's hue may be from the main one and still be of it, in turns."""
_NEAR: Final = 60 / 360
"""How far a drawing's own hue may be from that of its colour's name, in turns."""
_PALE: Final = 0.18
"""A pixel of less saturation has no hue."""


def _away(hue: NDArray[np.float32], middle: float) -> NDArray[np.float32]:
    """How far hues are from one, in turns, -0.5 to 0.5."""
    return (hue - np.float32(middle) + np.float32(0.5)) % 1.0 - np.float32(0.5)


def _own_hue(hsv: NDArray[np.float32], cover: NDArray[np.uint8], named: float) -> float:
    """The mean hue of a drawing among those near the named one: its green may be a lime."""
    away = _away(hsv[..., 0], named)
    weight = hsv[..., 1] * hsv[..., 2] * cover * ((np.abs(away) < _NEAR) & (hsv[..., 1] > _PALE))
    total = float(weight.sum())
    return named if total == 0 else named + float((away * weight).sum()) / total


def recoloured(art: NDArray[np.uint8], main: str, colour: str) -> NDArray[np.uint8]:
    """The same drawing, [H, W, 4], with its main colour turned into another.

    Args:
        main, colour: names in `COLOURS`.
    """
    hsv = np.asarray(Image.fromarray(np.ascontiguousarray(art[..., :3])).convert("HSV"), np.float32) / np.float32(255)
    to = _HUES[colour]
    away = _away(hsv[..., 0], _own_hue(hsv, art[..., 3], _HUES[main][0]))
    some = (np.abs(away) < _WIDTH) & (hsv[..., 1] > _PALE)
    turned = hsv.copy()
    turned[..., 0] = np.where(some, (to[0] + away * 0.35) % 1.0, hsv[..., 0])
    ratio_s, ratio_v = to[1] / max(_HUES[main][1], 0.01), to[2] / max(_HUES[main][2], 0.01)
    turned[..., 1] = np.where(some, (hsv[..., 1] * ratio_s).clip(0, 1), hsv[..., 1])
    turned[..., 2] = np.where(some, (hsv[..., 2] * ratio_v).clip(0, 1), hsv[..., 2])
    image = Image.fromarray(np.rint(turned * 255).astype(np.uint8), "HSV").convert("RGB")
    return np.concatenate([np.asarray(image), art[..., 3:]], -1)
