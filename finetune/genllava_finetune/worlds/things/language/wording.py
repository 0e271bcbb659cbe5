"""The words of phrases.yaml, and what English asks for around them: articles and plurals."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from genllava_finetune.worlds.things.knowledge.things import plural_of

_VOWELS: Final = frozenset("aeiouAEIOU8")
_SOUND_LIKE_YOU: Final = ("uni", "ufo", "use", "usu", "eu", "one", "once")
"""Beginnings that are written with a vowel and spoken with none: a unicorn."""
_SILENT: Final = ("hour", "honest", "heir")
ARTICLES: Final = ("a", "an", "the")


@lru_cache(maxsize=1)
def read_phrases() -> Any:
    """The content of phrases.yaml."""
    import yaml

    text = Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(maxsize=1024)
def pool(*path: str) -> tuple[str, ...]:
    """The words under some keys of phrases.yaml; a word that people use often stands there more than once."""
    found = read_phrases()
    for key in path:
        found = found[key]
    return tuple(found)


def pick(source: random.Random, *path: str) -> str:
    """One of the words under some keys of phrases.yaml."""
    words = pool(*path)
    return words[int(source.random() * len(words))]


@lru_cache(maxsize=65536)
def article(words: str) -> str:
    """`a` or `an`, as the sound of the first word asks for."""
    word = words.lower()
    if word.startswith(_SILENT):
        return "an"
    return "an" if word[:1] in _VOWELS and not word.startswith(_SOUND_LIKE_YOU) else "a"


def with_article(words: str) -> str:
    """The words after `a` or `an`."""
    return f"{article(words)} {words}"


@lru_cache(maxsize=4096)
def many_of(word: str) -> str:
    """The plural of a word for a thing: `slices of pizza`, `leaves`."""
    irregular = read_phrases()["irregular"]
    if word in irregular:
        return str(irregular[word])
    first, of, rest = word.partition(" of ")
    return f"{irregular.get(first, plural_of(first))}{of}{rest}"


def joined(words: Iterable[str], last: str = " and ") -> str:
    """`a, b and c`."""
    listed = list(words)
    return last.join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
