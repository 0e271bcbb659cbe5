"""JPEG files as they came, but for what they say about the picture: where it was taken, by whom, with what."""

from __future__ import annotations

import re
from typing import Final

_MARKER: Final = re.compile(rb"\xff+([\x02-\xcf\xd9-\xfe])", re.DOTALL)
"""Begins a segment. In the coded picture itself 0 or a restart follows each 0xFF."""
_END, _SCAN, _ADOBE, _COMMENT = 0xD9, 0xDA, 0xEE, 0xFE
_APPLICATIONS: Final = range(0xE0, 0xF0)


def without_metadata(data: bytes) -> bytes | None:
    """A JPEG without comments, without what programs put in (EXIF, colour profile, thumbnail), and without what stands
    behind its end; the picture is not coded again. None if it is not made as a JPEG should be.

    One such segment is kept, as far as decoders read it: Adobe's says how the colours are to be understood.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    parts, place = [b"\xff\xd8"], 2
    while found := _MARKER.match(data, place):
        marker, start = found[1][0], found.end()
        if marker == _END:
            return b"".join([*parts, b"\xff\xd9"])
        place = start + int.from_bytes(data[start : start + 2])
        segment = data[start:place]
        if len(segment) < 2 or len(segment) != place - start:
            return None
        if marker == _ADOBE and segment[2:7] == b"Adobe" and len(segment) >= 14:
            parts.append(b"\xff\xee\x00\x0e" + segment[2:14])
        elif marker not in _APPLICATIONS and marker != _COMMENT:
            parts.append(b"\xff" + found[1] + segment)
        if marker == _SCAN:
            after = _MARKER.search(data, place)
            if after is None:
                return None
            parts.append(data[place : after.start()])
            place = after.start()
    return None
