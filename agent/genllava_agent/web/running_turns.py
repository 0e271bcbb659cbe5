"""The turns that run for open pages: each page has at most one, which its stop button, or its end, stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from genllava_agent.errors import ThreadBusy


class RunningTurns:
    """By session of a page, what stops its turn."""

    def __init__(self) -> None:
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, str] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, session: str, thread: str) -> Iterator[threading.Event]:
        """A turn of a page on a thread; what is yielded is set when it is no longer wanted.

        Raises:
            ThreadBusy: the page has one that runs.
        """
        stop = threading.Event()
        with self._lock:
            if session in self._stops:
                raise ThreadBusy("a turn is running in this page: wait for its end, or stop it")
            self._stops[session], self._threads[session] = stop, thread
        try:
            yield stop
        finally:
            with self._lock:
                del self._stops[session], self._threads[session]

    def stop(self, session: str) -> bool:
        """Stop the turn of a page; whether it has one."""
        with self._lock:
            stop = self._stops.get(session)
        if stop is not None:
            stop.set()
        return stop is not None

    def has(self, session: str) -> bool:
        """Whether a turn runs for this page."""
        with self._lock:
            return session in self._stops

    def runs(self, thread: str) -> bool:
        """Whether a turn of this thread runs for some page."""
        with self._lock:
            return thread in self._threads.values()
