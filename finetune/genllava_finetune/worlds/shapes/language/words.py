"""Words for the things of the world, with the synonyms people use (`shapes/words.yaml`)."""

from __future__ import annotations

import random
from importlib import resources
from typing import Any, Final

import yaml


def read_words(name: str) -> Any:
    """The content of a file of words of this world."""
    file = resources.files("genllava_finetune.worlds.shapes") / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


_WORDS: Final = read_words("words")
PARTS: Final[dict[str, str]] = _WORDS["parts"]
"""What the frames of all worlds leave open."""
PLURAL: Final[dict[str, str]] = _WORDS["plural"]
NUMBER: Final[tuple[str, ...]] = tuple(_WORDS["numbers"])
ORDINAL: Final[tuple[str, ...]] = tuple(_WORDS["ordinals"])
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {word: tuple(said) for word, said in _WORDS["synonyms"].items()}
"""Canonical word to what people say; the canonical word comes first."""
PREPOSITIONS: Final[dict[str, tuple[str, ...]]] = {word: tuple(said) for word, said in _WORDS["prepositions"].items()}
"""What goes before a position that is no corner."""
BACKGROUND_WORDS: Final[tuple[str, ...]] = tuple(_WORDS["background"])
WAYS: Final[dict[str, tuple[str, ...]]] = {way: tuple(said) for way, said in _WORDS["ways"].items()}


def say(rng: random.Random, word: str) -> str:
    """`word` or one of its synonyms; the canonical word half of the time."""
    options = SYNONYMS.get(word, (word,))
    return options[0] if len(options) == 1 or rng.random() < 0.5 else rng.choice(options[1:])
