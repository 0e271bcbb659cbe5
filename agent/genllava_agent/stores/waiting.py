"""Waiting for one's turn: how long, and until when it is still wanted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from genllava.errors import Cancelled
from genllava_agent.errors import ThreadBusy

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for other turns of a thread.

    Attributes:
        seconds: 0 does not wait, None waits as long as it takes.
        cancel: asked while waiting.
    """

    seconds: float | None = None
    cancel: Callable[[], bool] | None = None

    def until(self, ready: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> None:
        """Ask `ready` until it is true, at growing intervals; `pause` may end early when it is worth asking again.

        Raises:
            ThreadBusy: it took too long.
            Cancelled: it is no longer wanted.
        """
        deadline = None if self.seconds is None else time.monotonic() + self.seconds
        seconds = _FIRST_PAUSE
        while not ready():
            if self.cancel is not None and self.cancel():
                raise Cancelled("cancelled while another turn of this thread was running")
            if deadline is not None and time.monotonic() >= deadline:
                raise ThreadBusy("another turn of this thread is running: wait for it, or ask on another thread")
            pause(seconds)
            seconds = min(2 * seconds, _LONGEST_PAUSE)


class Lock:
    """A lock of this process: first come, first served, and it knows who holds it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()
        """One for each who holds it or waits, set when it is theirs."""
        self._holder: int | None = None

    @property
    def mine(self) -> bool:
        """Whether this thread of execution holds it."""
        return self._holder == threading.get_ident()

    @contextmanager
    def held(self, waiting: Waiting) -> Iterator[None]:
        """Hold it.

        Raises:
            ThreadBusy: it took too long, or the caller is in the middle of a turn of the same thread.
        """
        if self.mine:
            raise ThreadBusy("this thread is in the middle of a turn: read its events to the end, or close them, first")
        mine = threading.Event()
        with self._guard:
            self._queue.append(mine)
            self._queue[0].set()
        try:
            waiting.until(mine.is_set, mine.wait)
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None
        finally:
            with self._guard:
                self._queue.remove(mine)
                if self._queue:
                    self._queue[0].set()


class Locks:
    """Locks by name, which live as long as somebody uses them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def of(self, name: str) -> Lock:
        """The lock of this name."""
        with self._guard:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = Lock()
            return lock

    def used(self, name: str) -> bool:
        """Whether somebody holds the lock of this name, or waits for it."""
        return name in self._locks
