"""Captions of layouts: the documented form in which the small decoder is told what a picture shows.

    meadow: large 3d cat at left, small red circle at top right

The background, a colon, then what is in which of the nine places. A caption becomes a fixed row of ten phrases, which
is what the text encoder reads: the background, and for every place what is there, or `nothing`.
"""

from __future__ import annotations

from typing import Final

from genllava.errors import InvalidRequest

PLACES: Final = (
    "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip
NOTHING: Final = "nothing"
EMPTY: Final = "no picture"
"""The background of an empty caption: the unconditional branch of guidance."""
SEPARATOR: Final = "|"
LENGTH: Final = 1 + len(PLACES)
"""Phrases of a caption."""


def phrases(caption: str) -> list[str]:
    """The phrases of a caption: the background, then what is in each of `PLACES`.

    Raises:
        InvalidRequest: it is no layout; the message says what is wrong.
    """
    if not caption.strip():
        return [EMPTY, *[NOTHING] * len(PLACES)]
    background, colon, rest = caption.partition(":")
    if not colon or not background.strip():
        raise InvalidRequest(f"{caption!r} is no layout: write it like 'meadow: large 3d cat at left'")
    cells = dict.fromkeys(PLACES, NOTHING)
    for part in filter(None, (each.strip() for each in rest.split(","))):
        what, place = (words.strip() for words in part.rpartition(" at ")[::2])
        if not what or place not in cells:
            known = ", ".join(PLACES)
            raise InvalidRequest(
                f"{part!r} is at no place that this decoder knows: write 'large 3d cat at', and {known}"
            )
        if cells[place] != NOTHING:
            raise InvalidRequest(f"two things are at {place} in {caption!r}: one fits there, put the other elsewhere")
        cells[place] = what
    return [background.strip(), *cells.values()]


def unchanged(source: str, caption: str) -> list[bool]:
    """Which of `PLACES` show the same in two captions: the same thing, or nothing, on the same background.

    Raises:
        InvalidRequest: one of them is no layout.
    """
    (before, *cells), (after, *wanted) = phrases(source), phrases(caption)
    return [before == after and cell == other for cell, other in zip(cells, wanted, strict=True)]


def as_text(caption: str) -> str:
    """The phrases of a caption as one text, as the decoder's tokenizer splits it."""
    return SEPARATOR.join(phrases(caption))
