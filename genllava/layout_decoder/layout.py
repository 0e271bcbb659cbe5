"""Captions of layouts: the documented form in which the small decoder is told what a picture shows.

    meadow: large 3d cat at left, small red circle at top right

The background, a colon, then what is in which of the nine places. A caption becomes a fixed row of ten phrases, which is
what the text encoder reads: the background, and for every place what is there, or `nothing`.
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
    background, colon, rest = caption.strip().partition(":")
    if not colon:
        raise InvalidRequest(f"{caption!r} is no layout: write it like 'meadow: large 3d cat at left'")
    cells = dict.fromkeys(PLACES, NOTHING)
    for part in filter(None, (each.strip() for each in rest.split(","))):
        what, _, place = part.partition(" at ")
        if place.strip() not in cells:
            raise InvalidRequest(f"{part!r} is at no place that this decoder knows: {', '.join(PLACES)}")
        if cells[place.strip()] != NOTHING:
            raise InvalidRequest(f"two things are at {place.strip()} in {caption!r}: this decoder draws one at a place")
        cells[place.strip()] = what.strip()
    return [background.strip(), *cells.values()]


def as_text(caption: str) -> str:
    """The phrases of a caption as one text, as the decoder's tokenizer splits it."""
    return SEPARATOR.join(phrases(caption))
