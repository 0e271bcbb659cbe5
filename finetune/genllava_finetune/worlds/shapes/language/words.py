"""Words for the things of the domain, with the synonyms people use."""

from __future__ import annotations

import random
from typing import Final

PLURAL: Final = {
    "circle": "circles", "square": "squares", "triangle": "triangles",
    "star": "stars", "diamond": "diamonds", "cross": "crosses",
}  # fmt: skip
NUMBER: Final = ("no", "one", "two", "three", "four")

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "color": ("color", "colour"),
    "gray": ("gray", "grey"),
    "picture": ("picture", "image", "drawing"),
    "thing": ("thing", "shape", "object"),
    "things": ("things", "shapes", "objects"),
    "large": ("large", "big"),
    "small": ("small", "tiny", "little"),
    "larger": ("larger", "bigger"),
    "center": ("center", "middle", "centre"),
    "top left": ("top left", "upper left", "top left corner"),
    "top right": ("top right", "upper right", "top right corner"),
    "bottom left": ("bottom left", "lower left", "bottom left corner"),
    "bottom right": ("bottom right", "lower right", "bottom right corner"),
    "top": ("top", "top", "upper middle"),
    "bottom": ("bottom", "bottom", "lower middle"),
}
"""Canonical word to what people say; the canonical word comes first."""


def say(rng: random.Random, word: str) -> str:
    """`word` or one of its synonyms; the canonical word half of the time."""
    options = SYNONYMS.get(word, (word,))
    return options[0] if len(options) == 1 or rng.random() < 0.5 else rng.choice(options[1:])
