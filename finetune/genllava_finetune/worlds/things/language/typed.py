"""How people type: capitals or none, no full stop or three, and slips of the keyboard."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.language.wording import ARTICLES, read_phrases

_SLIPS: Final = 0.12
"""Share of the texts with one or two slips."""
_QUOTES: Final = {'"': '"', "“": "”", "«": "»", "„": "“", "'": "'", "‘": "’", "`": "`"}
_ENDS: Final = ".!?"
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_DOUBLE: Final = tuple(f" {first} {second} " for first in ARTICLES for second in ARTICLES)
_FINAL: Final = (".", ".", ".", "!", "!", "!!", "...", " :)")


def as_typed(source: random.Random, text: str, *, kept: str = "", slips: bool = True, loud: bool = False) -> str:
    """A sentence as somebody might type it.

    Args:
        kept: a part of the text that stays as it is, letter by letter; what stands in quotes does so too.
        slips: whether the keyboard may slip.
        loud: whether its sentence is written in capitals: most people then write all of it so.
    """
    if not text.isascii():
        return text  # other scripts have habits of their own
    how = source.random()
    if loud:
        text = _outside(text, kept, str.upper) if how < 0.7 else text
    elif how < 0.20:
        text = _outside(text, kept, str.lower)
    elif how < 0.28:
        text = text[:1].upper() + text[1:] if not kept or not text.startswith(kept) else text
    elif how < 0.30:
        text = _outside(text, kept, str.upper)
    how = source.random()
    if how < 0.22:
        text = _without_end(text, kept)
    elif how < 0.32:
        text = _with_end(source, text, kept)
    if slips and source.random() < _SLIPS:
        for _ in range(1 if source.random() < 0.7 else 2):
            text = _slip(source, text, kept)
    return text


def cleaned(text: str) -> str:
    """The text without double articles ("the a cat") and double spaces."""
    if "  " in text or text[:1] == " " or text[-1:] == " ":
        text = " ".join(text.split())
    padded = f" {text} "
    lower = padded.lower()
    for double in _DOUBLE:
        while double in lower:
            start = lower.index(double)
            padded = padded[:start] + padded[start + double.index(" ", 1) :]
            lower = padded.lower()
    return padded[1:-1]


def _without_end(text: str, kept: str) -> str:
    if kept and text.endswith(kept):
        return text
    return text.rstrip(_ENDS).rstrip() or text


def _with_end(source: random.Random, text: str, kept: str) -> str:
    if not text[-1:].isalnum() or (kept and text.endswith(kept)):
        return text
    return text + _FINAL[int(source.random() * len(_FINAL))]


def _outside(text: str, kept: str, change: Callable[[str], str]) -> str:
    if not any(quote in text for quote in _QUOTES) and not kept:
        return change(text)
    pieces, at = list[str](), 0
    for start, end in [*_kept_spans(text, kept), (len(text), len(text))]:
        pieces += [change(text[at:start]), text[start:end]]
        at = end
    return "".join(pieces)


def _kept_spans(text: str, kept: str) -> list[tuple[int, int]]:
    """From where to where the text is in quotes, or is what is to be kept; in order, none over another."""
    spans, at = list[tuple[int, int]](), 0
    while at < len(text):
        if kept and text.startswith(kept, at):
            spans.append((at, at + len(kept)))
            at += len(kept)
            continue
        close = _QUOTES.get(text[at])
        opens = close is not None and (at == 0 or not text[at - 1].isalnum())
        end = text.find(close, at + 1) if opens and close else -1
        if end > at:
            spans.append((at, end + 1))
            at = end + 1
        else:
            at += 1
    return spans


def _slip(source: random.Random, text: str, kept: str) -> str:
    """The text with one slip in one of its longer words."""
    spans, words, at = _kept_spans(text, kept), list[tuple[int, int]](), 0
    for word in text.split(" "):
        start, end = at, at + len(word)
        at = end + 1
        bare = word.strip(",.!?:;()")
        if len(bare) > 3 and bare.isalpha() and not any(a < end and start < b for a, b in spans):
            start += word.index(bare)
            words.append((start, start + len(bare)))
    if not words:
        return text
    for _ in range(4):
        start, end = words[int(source.random() * len(words))]
        slipped = _slipped(source, text[start:end])
        if slipped.lower() not in _vocabulary():
            return text[:start] + slipped + text[end:]
    return text


def _slipped(source: random.Random, word: str) -> str:
    at, how = 1 + int(source.random() * (len(word) - 1)), source.random()
    if how < 0.3 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how < 0.5:
        return word[:at] + word[at] + word[at:]
    if how < 0.75:
        return word[:at] + word[at + 1 :]
    beside = _neighbours()[word[at].lower()]
    letter = beside[int(source.random() * len(beside))]
    return word[:at] + (letter.upper() if word.isupper() else letter) + word[at + 1 :]


@lru_cache(maxsize=1)
def _neighbours() -> dict[str, str]:
    """The letters beside, above and below each on a keyboard."""
    found = dict[str, str]()
    for number, row in enumerate(_ROWS):
        for at, letter in enumerate(row):
            beside = row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
            if number:
                beside += _ROWS[number - 1][at : at + 2]
            if number + 1 < len(_ROWS):
                beside += _ROWS[number + 1][max(at - 1, 0) : at + 1]
            found[letter] = beside
    return found


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    """Words that mean something in the world: a slip never turns one into another ("three", "tree")."""
    from genllava_finetune.worlds.things.knowledge.things import words

    found = set[str]()
    listed: list[object] = [list(words()), read_phrases()]
    while listed:
        each = listed.pop()
        if isinstance(each, str):
            found.update(each.lower().replace("-", " ").split())
        elif isinstance(each, dict):
            listed += [*each, *each.values()]
        elif isinstance(each, list):
            listed += each
    return frozenset(found)
