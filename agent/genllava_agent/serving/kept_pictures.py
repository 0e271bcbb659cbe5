"""Pictures that were made lately, by the hash of their files, and the links to them in Markdown."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Final

ROUTE: Final = "/files"
_ENDING: Final = ".png"
_HASH: Final = 64
"""Characters of a SHA-256 in hexadecimal."""


class KeptPictures:
    """PNG files in memory; whoever knows the hash of one may have it.

    Args:
        public_url: what links begin with.
        max_bytes: of all of them; those that were used least lately go first, and the latest stays however large.
    """

    def __init__(self, public_url: str, max_bytes: int) -> None:
        self._url, self._max_bytes = public_url, max_bytes
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, png: bytes) -> str:
        """Keep a file; returns its address."""
        key = hashlib.sha256(png).hexdigest()
        with self._lock:
            if key not in self._files:
                self._files[key] = png
                self._bytes += len(png)
            self._files.move_to_end(key)
            while self._bytes > self._max_bytes and len(self._files) > 1:
                self._bytes -= len(self._files.popitem(last=False)[1])
        return f"{self._url}{ROUTE}/{key}{_ENDING}"

    def get(self, name: str) -> bytes | None:
        """The file `HASH.png`; None where it is not kept."""
        key = name.removesuffix(_ENDING)
        with self._lock:
            found = self._files.get(key) if name != key else None
            if found is not None:
                self._files.move_to_end(key)
            return found

    def linked(self, address: str) -> bytes | None:
        """The file that a link of this server leads to; None of any other, and where it is not kept."""
        return self.get(_name(address) or "")

    def take_out(self, text: str) -> tuple[str, list[bytes]]:
        """What a reply said, without the links to pictures that this server put into it, and those pictures.

        What links by others say stays in the text, and is not followed.
        """
        kept, found, at = list[str](), list[bytes](), 0
        while (start := text.find("![", at)) >= 0:
            middle = text.find("](", start)
            end = text.find(")", middle)
            if middle < 0 or end < 0:
                break
            name = _name(text[middle + 2 : end])
            if name is not None and (file := self.get(name)) is not None:
                found.append(file)
            kept.append(text[at : start + 2] if name is None else text[at:start])
            at = start + 2 if name is None else end + 1
        return "".join([*kept, text[at:]]).strip(), found


def _name(address: str) -> str | None:
    """The name of the file in a link of a server's; None in any other."""
    folder, _, name = address.rpartition("/")
    return name if folder.endswith(ROUTE) and len(name) == _HASH + len(_ENDING) else None
