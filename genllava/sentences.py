"""Requests as people type them, made into plain sentences: lists, quotes, dashes, arrows, names like `image_2`.

The model was taught words and `.,:;?!'-&`. What else stands in a request either says how its parts go together, and
then becomes a mark that the model knows, or says nothing, and is left out.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

_LIST_MARK: Final = re.compile(r"^(?:[-*•–]|\d{1,2}[.)]) ")
_FIRST_MARK: Final = re.compile(r"(?:^|\s)1\)\s")
_NEXT_MARK: Final = re.compile(r" (?=\d{1,2}\) )")
_ENDS: Final = ".,;:!?"
_WRAPPED: Final = 60
"""Characters of a line that may have been broken for want of room."""
_MARKS: Final = (
    (re.compile(r"[’ʼ´]"), "'"),
    (re.compile(r"(?<!\w)['‘]([^'‘]*)'(?!\w)"), r"\1"),
    (re.compile(r"(?<=\w)_(?=\w)"), " "),
    (re.compile(r'["“”„«»*_`#~^\\]'), ""),
    (re.compile(r" ?(?:[-=]{1,2}>|[→⇒➔➜|•·]) ?"), ". "),
    (re.compile(r" ?(?:—|-{2,}|(?<= )– ) ?"), ", "),
    (re.compile(r" \+ "), " and "),
    (re.compile(r"…|\.{2,}"), "."),
    (re.compile(r"!{2,}"), "!"),
    (re.compile(r"!?\?[?!]*"), "?"),
)
_SAY_NOTHING: Final = ("So", "Sk", "Cf", "Mn")
"""Unicode's categories of emoji and what belongs to them."""


def plain_sentences(text: str) -> str:
    """A request in one line, of words and marks that the model was taught, where it has words.

    A line ends a sentence, but for a long one whose next begins in lower case: that was broken for want of room.
    """
    plain = _one_line(text)
    for mark, known in _MARKS:
        plain = mark.sub(known, plain)
    plain = "".join(" " if unicodedata.category(letter) in _SAY_NOTHING else letter for letter in plain)
    return plain if any(map(str.isalnum, plain)) else text


def _one_line(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    if any(map(_FIRST_MARK.search, lines)):
        lines = [part for line in lines for part in _NEXT_MARK.sub("\n", line).split("\n")]
    lines = [line for line in lines if line]
    if len(lines) < 2:
        return "".join(lines)
    said = [_LIST_MARK.sub("", lines[0])]
    for before, line in pairwise(lines):
        goes_on = said[-1][-1:] in _ENDS or (len(before) >= _WRAPPED and line[0].islower())
        said += ["" if goes_on else ".", " ", _LIST_MARK.sub("", line)]
    return "".join(said)
