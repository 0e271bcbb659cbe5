"""Pictures at which detectors of control maps fail when they are given them as they are."""

from __future__ import annotations

from photos import in_mode, photo
from PIL import Image

SIZES = {"8x8": (8, 8), "100x60": (100, 60), "1000x20": (1000, 20)}
TRAPS = ("1", "P", "CMYK", "LA", "I;16", *SIZES)
"""Modes that are misread, and sizes of which the proportions are changed."""


def trap(kind: str) -> Image.Image:
    """One of `TRAPS`."""
    if kind in SIZES:
        return photo("coffee").crop((150, 80, 450, 280)).resize(SIZES[kind])
    return in_mode(photo("coffee").resize((180, 120)), kind)
