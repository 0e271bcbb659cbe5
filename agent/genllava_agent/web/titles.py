"""What people call their threads, beside the threads themselves: a file in JSON, or memory."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from genllava.errors import InvalidRequest
from genllava_agent.errors import StoreFailed
from genllava_agent.files import write_bytes

LONGEST: Final = 80
"""Characters of a title."""
_TITLES: Final = TypeAdapter(dict[str, str])


class Titles:
    """Titles by the name of their thread.

    Args:
        path: the file; None keeps them in memory.

    Raises:
        StoreFailed: the file cannot be read, or is none of ours.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._titles: dict[str, str] = {}
        try:
            if path is not None and path.is_file():
                self._titles = _TITLES.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StoreFailed(f"cannot read the titles of threads in {path}: move that file away ({error})") from None

    def get(self, thread: str) -> str | None:
        """The title of a thread, if somebody gave it one."""
        return self._titles.get(thread)

    def set(self, thread: str, title: str) -> None:
        """Call a thread something.

        Raises:
            InvalidRequest: empty, too long, or more than one line.
            StoreFailed: it could not be written.
        """
        title = title.strip()
        if not title or len(title) > LONGEST or not title.isprintable():
            raise InvalidRequest(f"a title is one line of 1 to {LONGEST} characters")
        with self._lock:
            self._write({**self._titles, thread: title})

    def forget(self, thread: str) -> None:
        """Let the title of a thread go."""
        with self._lock:
            if thread in self._titles:
                self._write({name: title for name, title in self._titles.items() if name != thread})

    def _write(self, titles: dict[str, str]) -> None:
        """Keep these; whoever calls it holds the lock, so that no other change is lost."""
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(self._path, json.dumps(titles, ensure_ascii=False, indent=1).encode())
            except (OSError, InvalidRequest) as error:
                raise StoreFailed(f"cannot keep the title: {error}") from None
        self._titles = titles
