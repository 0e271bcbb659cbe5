"""Bodies of requests that nobody wants."""

from __future__ import annotations

from typing import Final

from starlette.types import Receive

_MOST: Final = 1_000_000_000
"""Bytes that are read and dropped; a client that still sends does not hear."""


async def throw_away(receive: Receive) -> None:
    """Read a body that is too large and drop it: most clients hear nothing before they have sent all."""
    size, more = 0, True
    while more and size < _MOST:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
