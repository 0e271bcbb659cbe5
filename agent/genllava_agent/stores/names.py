"""Names of threads and of artifacts, as names of files on any system."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from genllava.errors import InvalidRequest
from genllava_agent.stores.artifacts import damaged

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST: Final = 200
_DEVICES: Final = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")
"""What Windows takes for a device, in whatever folder."""
_ARTIFACT: Final = re.compile(r"[0-9a-f]{64}\.(png|jpg|safetensors)")


def file_name(name: str) -> str:
    """`name` as the name of a file on any system, in ASCII; `thread_name` turns it back.

    Raises:
        InvalidRequest: not text, empty, too long, or not valid Unicode.
    """
    if not isinstance(name, str):
        raise InvalidRequest(f"the name of a thread is text, not {type(name).__name__}")
    if not 1 <= len(name) <= _LONGEST:
        raise InvalidRequest(f"the name of a thread has 1 to {_LONGEST} characters, not {len(name):,}")
    try:
        parts = [char if char in _PLAIN else _escaped(char) for char in name]
    except UnicodeEncodeError:
        raise InvalidRequest("the name of the thread is not valid Unicode") from None
    if _DEVICES.fullmatch(name):
        parts[0] = _escaped(name[0])
    encoded = "".join(parts)
    if len(encoded) > _LONGEST:
        raise InvalidRequest("the name of the thread is too long: all but a to z, 0 to 9, _ and - counts several times")
    return encoded


def thread_name(file: str) -> str | None:
    """The thread whose `file_name` this is; None if there is none."""
    try:
        name = unquote(file, errors="strict")
        return name if file_name(name) == file else None
    except (InvalidRequest, UnicodeDecodeError):
        return None


def artifact_name(key: str, kind: str) -> str:
    """The name of an artifact's file.

    Raises:
        ThreadQuarantined: `key` is not one.
    """
    name = f"{key}.{kind}"
    if not _ARTIFACT.fullmatch(name):
        raise damaged(f"an artifact cannot be called {name[:80]!r}")
    return name


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
