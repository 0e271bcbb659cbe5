"""Bodies of the page's events: plain data. Gradio would fetch a file that one names by address or path; none may."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.types import Message, Receive

_FILE: Final = frozenset({"meta", "path", "url"})
"""Keys of what Gradio takes for a file; nothing that the page sends has them."""


async def read_plain(receive: Receive) -> Receive | None:
    """Read the body of an event.

    Args:
        receive: gives a body whose length was looked at before.

    Returns:
        What gives the same body again; None where it is not JSON, or names a file.
    """
    parts, more = list[bytes](), True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    try:
        if _names_file(json.loads(body)):
            return None
    except (ValueError, RecursionError):
        return None
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()  # which waits until the browser is gone
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _names_file(value: Any) -> bool:
    """Whether anything in JSON data has a key of a file."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            if not _FILE.isdisjoint(each):
                return True
            left += each.values()
        elif isinstance(each, list):
            left += each
    return False
