"""Verbs that agree: "are the glasses ...", where a frame says "is {the} ..."."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.language.wording import pool

_BEFORE: Final = {
    "is": "are", "isn't": "aren't", "was": "were", "does": "do", "doesn't": "don't", "has": "have",
    "is there": "are there", "isn't there": "aren't there", "was there": "were there", "there is": "there are",
    "is there both": "are there both",
}  # fmt: skip
_AFTER: Final = {
    "is": "are", "isn't": "aren't", "was": "were", "does": "do", "doesn't": "don't", "has": "have", "looks": "look",
    "goes": "go", "stands": "stand", "lies": "lie", "needs": "need", "becomes": "become", "belongs": "belong",
    "gets": "get", "sits": "sit", "appears": "appear", "moves": "move", "stays": "stay",
}  # fmt: skip
_SLOTS: Final = ("the", "the2", "a", "a2", "list")
_ONE: Final = frozenset({"a", "an", "one"})
_HELD: Final = frozenset({"pair", "bunch", "stack", "portion", "pile", "box"})
"""A pair of glasses is one."""


def agreeing(text: str, slots: Mapping[str, str]) -> str:
    """A frame whose verbs agree with what will stand in its slots."""
    for slot, singular, several in _places(text):
        if slot in slots and is_plural(slots[slot]):
            text = text.replace(singular, several)
    return text


def is_plural(words: str) -> bool:
    """Whether a verb after these words for a thing stands in the plural: "the glasses", "two red circles"."""
    said = words.lower().split()
    if not said or said[0] in _ONE or not _HELD.isdisjoint(said):
        return False
    return said[0] in _numbers() or not _plurals().isdisjoint(said)


@lru_cache(maxsize=1)
def _numbers() -> frozenset[str]:
    return frozenset({*pool("numbers")[2:], *map(str, range(2, 11))})


@lru_cache(maxsize=1)
def _plurals() -> frozenset[str]:
    """The names that are plurals of one thing."""
    found = set[str]()
    for each in things():
        if each.many:
            found |= {word.split()[-1] for word in (each.name, *each.synonyms) if word in pool("plural_words")}
            found.add(each.name.split()[-1])
    return frozenset(found)


@lru_cache(maxsize=16384)
def _places(text: str) -> tuple[tuple[str, str, str], ...]:
    """(slot, words with the verb, the same in the plural), where a verb stands beside a slot."""
    found = list[tuple[str, str, str]]()
    padded, lower = f" {text} ", f" {text.lower()} "
    for slot in _SLOTS:
        name = f"{{{slot}}}"
        for verb, several in _BEFORE.items():
            at = lower.find(f" {verb} {name}")
            if at >= 0:
                said = padded[at + 1 : at + len(verb) + 2 + len(name)]
                many = several.capitalize() if said[0].isupper() else several
                found.append((slot, said, f"{many} {name}"))
        for verb, several in _AFTER.items():
            at = lower.find(f"{name} {verb}")
            end = at + len(name) + 1 + len(verb)
            if at >= 0 and not lower[end].isalnum():
                found.append((slot, padded[at:end], f"{name} {several}"))
    return tuple(found)
