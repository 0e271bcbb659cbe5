"""Words for what does not exist in the world: things, people, places, materials, colours, shapes.

They are listed in `shapes/foreign_words.yaml`.
"""

from __future__ import annotations

import itertools
import random
from typing import Final

from genllava_finetune.worlds.shapes.language.words import read_words
from genllava_finetune.worlds.stable_hash import stable_hash

_WORDS: Final[dict[str, list[str]]] = read_words("foreign_words")
_KINDS: Final = ("animals", "nature", "food", "vehicles", "places", "people", "objects")
NOUNS: Final = tuple(dict.fromkeys(itertools.chain.from_iterable(_WORDS[kind] for kind in _KINDS)))
PEOPLE: Final = tuple(_WORDS["people"])
COLORS: Final = tuple(_WORDS["colors"])
SHAPES: Final = tuple(_WORDS["shapes"])
ADJECTIVES: Final = tuple(_WORDS["adjectives"])
SCENERY: Final = tuple(_WORDS["scenery"])
TOO_MANY: Final = tuple(_WORDS["too_many"])
"""More than fit into a picture."""
CITIES: Final = tuple(_WORDS["cities"])
HELD_OUT_SHARE: Final = 20
"""Percent of these words that no training text uses."""


def is_held_out_word(word: str) -> bool:
    return stable_hash("word:" + word) % 100 < HELD_OUT_SHARE


def only(words: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    """The words of training, or the others."""
    return tuple(word for word in words if is_held_out_word(word) == held_out)


def pseudo_word(rng: random.Random) -> str:
    """A word that does not exist but could be said: what a model has never read is outside its domain as well."""
    word = ""
    for _ in range(rng.choice((1, 2, 2, 3))):
        word += rng.choice(_WORDS["onsets"]) + rng.choice(_WORDS["vowels"])
    return word + rng.choice(_WORDS["codas"])
