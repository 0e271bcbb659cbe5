"""Threads in a folder: each has one of its own, with a SQLite database and its artifacts.

    locks/NAME                        who runs a turn of the thread holds this file
    threads/NAME/                     see `thread_folder`

A thread that is damaged hurts no other, and one that is deleted takes with it what only it had.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

from genllava_agent.errors import StoreFailed
from genllava_agent.stores.base import Store, ThreadStore
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import file_name, thread_name
from genllava_agent.stores.thread_folder import BEGUN, DATABASE, FolderThread, sync_folder, turns_in
from genllava_agent.stores.waiting import Locks, Waiting

try:
    import fcntl
except ImportError:  # Windows: turns are in order within a process, and not across processes
    fcntl = None  # type: ignore[assignment]

_OPEN: Final = 64
"""Databases kept open; the one that was used longest ago is closed."""
_INHERITED: Final[list[object]] = []
"""Databases that were open when the process was forked: they are the parent's, and must not even be closed here."""


class FolderStore(Store):
    """Threads in the folder `root`.

    Raises:
        StoreFailed: the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, FolderThread] = {}
        self._begin()
        try:
            with storing():
                for folder in ("threads", "locks"):
                    (root / folder).mkdir(parents=True, exist_ok=True)
                for rest in (root / "threads").glob(".*"):  # of threads whose deletion was cut off
                    shutil.rmtree(rest, ignore_errors=True)
                self._sweep()
        except ValueError as error:  # a NUL in the path
            raise StoreFailed(f"{root!r} cannot be a folder: {error}") from None

    def _sweep(self) -> None:
        """Remove what is there of threads whose branching off was cut off."""
        for begun in (self.root / "threads").glob(f"*/{BEGUN}"):
            path = self.root / "locks" / begun.parent.name
            with path.open("ab") as file:
                if fcntl is None or not _try_flock(file) or (begun.parent / DATABASE).is_file():
                    continue
                shutil.rmtree(begun.parent, ignore_errors=True)
                path.unlink(missing_ok=True)

    def names(self) -> list[str]:
        with storing():
            names = (thread_name(folder.parent.name) for folder in (self.root / "threads").glob(f"*/{DATABASE}"))
            return sorted(name for name in names if name is not None)

    def exists(self, name: str) -> bool:
        with storing():
            return (self._folder(name) / DATABASE).is_file()

    def open(self, name: str) -> ThreadStore:
        folder = self._folder(name)
        self._own()
        with self._guard:
            thread = self._open.pop(name, None) or FolderThread(folder)
            self._open[name] = thread
            if len(self._open) > _OPEN:
                idle = (other for other in self._open if other != name and not self._locks.used(other))
                if (oldest := next(idle, None)) is not None:
                    self._open.pop(oldest).close()
            return thread

    def delete(self, name: str) -> None:
        folder = self._folder(name)
        self._own()
        with self._guard:
            thread = self._open.pop(name, None)
        if thread is not None:
            thread.close()
        gone = folder.with_name(f".{uuid.uuid4().hex}")
        with storing():
            if folder.is_dir():
                folder.rename(gone)  # at once; what a crash leaves below is no thread, and removed by the next store
                sync_folder(folder.parent)
                with suppress(FileNotFoundError):  # a store that was opened just now may be removing it as well
                    shutil.rmtree(gone)
            self._lock_file(name).unlink(missing_ok=True)

    def turns_of_its_own(self, name: str) -> set[str]:
        own = self._folder(name) / DATABASE
        with storing():
            turns = turns_in(own) if own.is_file() else set()
            for other in (self.root / "threads").glob(f"*/{DATABASE}") if turns else ():
                with suppress(sqlite3.Error):  # one that is damaged, or was deleted just now, has none
                    turns -= turns_in(other) if other != own else set()
        return turns

    @contextmanager
    def lock(self, name: str, waiting: Waiting) -> Iterator[None]:
        path = self._lock_file(name)
        self._own()
        with self._locks.of(name).held(waiting):
            if fcntl is None:
                yield
                return
            with _locked(path, waiting) as file:
                try:
                    yield
                finally:  # a child of this process may have the file too, so that closing it is not enough
                    fcntl.flock(file.fileno(), fcntl.LOCK_UN)

    def close(self) -> None:
        self._own()
        with self._guard:
            for thread in self._open.values():
                thread.close()
            self._open.clear()

    def _folder(self, name: str) -> Path:
        return self.root / "threads" / file_name(name)

    def _lock_file(self, name: str) -> Path:
        return self.root / "locks" / file_name(name)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._locks = Locks()
        self._guard = threading.Lock()

    def _own(self) -> None:
        """Begin anew after a fork."""
        if self._process != os.getpid():
            _INHERITED.append(self._open)
            self._open = {}
            self._begin()


def _locked(path: Path, waiting: Waiting) -> BufferedWriter:
    """The file at `path`, locked; the lock goes with the process, however that ends."""
    while True:
        with storing():
            file = path.open("ab")
        try:
            waiting.until(lambda: _try_flock(file))  # noqa: B023
            if _same(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it deleted the thread, and the file with it


def _try_flock(file: BufferedWriter) -> bool:
    with storing():
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _same(file: BufferedWriter, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
