"""A small template grammar: patterns expand to sentence forms, forms are filled with words, words get human noise.

A pattern is text with alternatives `(a|b|)`, which nest, and slots `{name}`. Choosing one branch of every
alternative gives a *form*: the text with its slots still open. Splits work on forms, so a withheld form is
never seen in training with any words in it.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from genllava_finetune.worlds.stable_hash import stable_hash

Forms = Literal["train", "held_out", "all"]

HELD_OUT_FORM_SHARE: Final = 15
"""Percent of sentence forms that can be withheld from training, to measure whether others are understood."""

_SLOT: Final = re.compile(r"\{(\w+)\}")


def is_held_out_form(form: str) -> bool:
    """Whether a sentence form (its text with slots, not filled) is one of those that can be withheld."""
    return stable_hash("form:" + form) % 100 < HELD_OUT_FORM_SHARE


def expand(pattern: str) -> list[str]:
    """All forms of `pattern`.

    Raises:
        ValueError: the parentheses do not match.
    """
    forms, rest = _alternatives(pattern, 0)
    if rest != len(pattern):
        raise ValueError(f"unbalanced parentheses in {pattern!r}")
    return [" ".join(form.split()) for form in forms]


def _alternatives(text: str, at: int) -> tuple[list[str], int]:
    branches: list[str] = []
    current: list[list[str]] = []
    literal = at
    while True:
        end = at >= len(text) or text[at] == ")"
        if end or text[at] in "(|":
            current.append([text[literal:at]])
        if end or text[at] == "|":
            branches += ["".join(parts) for parts in itertools.product(*current)]
            if end:
                return branches, at
            current = []
        elif text[at] == "(":
            inner, at = _alternatives(text, at + 1)
            if at >= len(text):
                raise ValueError(f"unbalanced parentheses in {text!r}")
            current.append(inner)
        else:
            at += 1
            continue
        at += 1
        literal = at


class Intent:
    """The sentence forms of one intent.

    Forms are drawn pattern first, so that a pattern with many optional words does not drown the others.
    """

    def __init__(self, name: str, patterns: Sequence[str]) -> None:
        self.name = name
        self.patterns = tuple(patterns)

    @functools.cached_property
    def _by_pattern(self) -> dict[Forms, list[list[str]]]:
        groups = [expand(pattern) for pattern in self.patterns]
        kept: dict[Forms, list[list[str]]] = {
            "all": groups,
            "train": [[form for form in group if not is_held_out_form(form)] for group in groups],
            "held_out": [[form for form in group if is_held_out_form(form)] for group in groups],
        }
        return {name: [group for group in groups if group] for name, groups in kept.items()}

    def forms(self, which: Forms = "all") -> list[str]:
        """All distinct forms of the intent, in a fixed order."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self._by_pattern[which])))

    def draw(self, rng: random.Random, which: Forms) -> str:
        """One form.

        Raises:
            IndexError: the intent has no form of that kind.
        """
        return rng.choice(rng.choice(self._by_pattern[which]))


@dataclass(frozen=True, slots=True)
class Instruction:
    """The forms of one operation.

    Attributes:
        short: bare imperatives, which can be strung together.
        all: the imperatives, the polite ones, and everything else people wrap around them.
    """

    short: Intent
    all: Intent


def fill(form: str, words: Mapping[str, str]) -> str:
    """The form with its slots filled and `a` corrected to `an` before a vowel.

    Raises:
        KeyError: a slot has no word.
    """
    text = _SLOT.sub(lambda match: words[match[1]], form)
    return re.sub(r"\ba(?= [aeiou])", "an", text)


def add_noise(rng: random.Random, text: str, typo_rate: float = 0.06) -> str:
    """`text` as a person might type it: any case, with or without end mark, now and then a small typo.

    Words of up to three letters are never misspelt, and a typo never turns one word of the language into another
    (it drops, doubles or swaps letters inside the word, keeping the first).
    """
    if rng.random() < typo_rate:
        text = misspell(rng, text)
    draw = rng.random()
    if draw < 0.35:
        text = text[:1].upper() + text[1:]
    elif draw < 0.42:
        text = text.upper()
    elif draw < 0.45:
        text = text.title()
    if rng.random() < 0.35:
        text = text.rstrip("?.!,")
    elif text[-1:].isalnum():
        text += rng.choice((".", ".", "!", ""))
    return text


def misspell(rng: random.Random, text: str) -> str:
    """One small spelling mistake in one longer word of `text`, if it has one."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randint(1, len(words[i]) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        words[i] = word[:at] + word[at + 1 :]
    elif kind == 1:
        words[i] = word[:at] + word[at] + word[at:]
    else:
        words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)
