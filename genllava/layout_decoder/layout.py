"""Captions of layouts: the documented form in which the small decoder is told what a picture shows.

    meadow: at left large 3d cat, at top right small red circle

The background, a colon, then which of the nine places has what. The place comes first, so that a language model that
writes a layout has it before it looks up what is there. A caption becomes a fixed row of ten phrases, which is what the
text encoder reads: the background, and for every place what is there, or `nothing`.
"""

from __future__ import annotations

from typing import Final

from genllava.errors import InvalidRequest

PLACES: Final = (
    "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip
_LONGEST_FIRST: Final = sorted(PLACES, key=len, reverse=True)
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
        raise InvalidRequest(f"{caption!r} is no layout: write it like 'meadow: at left large 3d cat'")
    cells = dict.fromkeys(PLACES, NOTHING)
    for part in filter(None, (each.strip() for each in rest.split(","))):
        place = next((each for each in _LONGEST_FIRST if part.startswith(f"at {each} ")), "")
        what = part.removeprefix(f"at {place} ").strip()
        if not what or not place:
            known = ", ".join(PLACES)
            raise InvalidRequest(
                f"{part!r} is at no place that this decoder knows: write 'at left large 3d cat'; places are {known}"
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
