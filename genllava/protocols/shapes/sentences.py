"""Requests as people type them, made into plain sentences: lists, quotes, dashes, arrows, names like `image_2`.

The model was taught words and `.,:;?!'-&`. Of what else is commonly typed some says how the parts of a request go
together, and becomes a mark that the model knows, and some says nothing, and is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_BULLET: Final = re.compile(r"^[-*+•◦▪‣–—] ")
_NUMBER: Final = re.compile(r"^\d{1,2}[.)] ")
_IN_BRACKETS: Final = re.compile(r"\([^()]*\)")
_NEXT_IN_LINE: Final = re.compile(r"\([^()]*\)| (?=\d{1,2}\) )")
_ENDS: Final = ".,;:!?"
_GOES_ON: Final = re.compile(r"\b(?:and|or|the|an?|of|with|at|in|on|to)\n|\n(?:and|or|with|of)\b", re.IGNORECASE)
_WRAPPED: Final = 60
"""Characters of a line that may have been broken for want of room."""
_MARKS: Final = (
    (re.compile(r"[\xad\u200c-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u20e3]"), ""),  # not seen
    (re.compile("\u200b"), " "),
    (re.compile(r"[’ʼ´]"), "'"),
    (re.compile(r"(?<!\w)['‘]([^'‘]*)'(?!\w)"), r"\1"),
    (re.compile(r"(?<=\w)[_*^](?=\w)"), " "),
    (re.compile(r'["“”„«»*_`#~^\\]'), ""),
    (re.compile(r" ?(?:[-=–—]{1,2}>|[→⇒⟶➔➜➡|•·]) ?"), ". "),
    (re.compile(r"[‐‑−]"), "-"),
    (re.compile(r"(?<=\d)(?: ?– ?|…|\.{2,})(?=\d)"), " to "),
    (re.compile(r" ?(?:—|-{2,}|(?<= )– ) ?"), ", "),
    (re.compile(r" \+ "), " and "),
    (re.compile(r"(?:…|(?<!\.)\.{2,})(?=\w)"), ". "),
    (re.compile(r"…|\.{2,}"), "."),
    (re.compile(r"!{2,}"), "!"),
    (re.compile(r"!?\?[?!]*"), "?"),
)
_PICTURES: Final = ("So", "Sk")
"""Unicode's categories of emoji and what belongs to them."""


def plain_sentences(text: str) -> str:
    """A request in one line, in what the model was taught as far as that goes; a text without words stays as it is.

    A line ends a sentence, unless its words or those of the next say that it goes on. So does a long line whose next
    begins in lower case, for it was broken for want of room; where a line is left empty a sentence has ended.
    """
    typed = unicodedata.normalize("NFC", text.replace("\\n", "\n"))  # as it is typed where a shell keeps it
    lines = [" ".join(line.split()) for line in typed.splitlines()]
    lines = [part for line in lines for part in _numbered(line)]
    if len(list(filter(None, lines))) > 1:
        lines = _without_marks(lines)
    plain = _joined(map(_known_marks, lines))
    return plain if any(map(str.isalnum, plain)) else text


def _numbered(line: str) -> list[str]:
    """The parts of `1) ... 2) ...`."""
    bare = f" {_IN_BRACKETS.sub('', line)}"
    if " 1) " not in bare or " 2) " not in bare:
        return [line]
    return _NEXT_IN_LINE.sub(lambda found: "\n" if found[0] == " " else found[0], line).split("\n")


def _without_marks(lines: list[str]) -> list[str]:
    """The lines without what begins those of a list, and with an empty line before each of these."""
    counted = any(line.startswith(("1. ", "1) ")) for line in lines)
    bare = [_BULLET.sub("", _NUMBER.sub("", line) if counted else line) for line in lines]
    return [
        part for line, words in zip(lines, bare, strict=True) for part in ([words] if words == line else ["", words])
    ]


def _known_marks(line: str) -> str:
    for mark, known in _MARKS:
        line = mark.sub(known, line)
    letters = (" " if unicodedata.category(letter) in _PICTURES else letter for letter in line)
    return " ".join("".join(letters).split()).lstrip(" .,;:")


def _joined(lines: Iterable[str]) -> str:
    parts: list[str] = []
    before, ended = "", False
    for line in lines:
        if not any(map(str.isalnum, line)):
            ended = True
            continue
        if before:
            goes_on = _GOES_ON.search(f"{before}\n{line}") or (len(before) >= _WRAPPED and line[0].islower())
            parts.append(" " if before[-1] in _ENDS or (goes_on and not ended) else ". ")
        parts.append(line)
        before, ended = line, False
    return "".join(parts)
