"""Threads in a folder: each has one of its own, with a SQLite database and its artifacts.

    locks/NAME                        who runs a turn of the thread holds this file
    threads/NAME/thread.sqlite        head, turns, and the state of a turn that waits
    threads/NAME/artifacts/KEY.png    pictures; KEY.safetensors: latents

A thread that is damaged hurts no other, and one that is deleted takes with it what only it had.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from langgraph.checkpoint.sqlite import SqliteSaver

from genllava.errors import InvalidRequest
from genllava_agent.errors import StoreFailed
from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import Store, ThreadStore
from genllava_agent.stores.faults import storing
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting import Locks, Waiting

try:
    import fcntl
except ImportError:  # Windows: turns are in order within a process, and not across processes
    fcntl = None  # type: ignore[assignment]

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST: Final = 200
_OPEN: Final = 64
"""Databases kept open; the one that was used longest ago is closed."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS turns (id TEXT PRIMARY KEY, body TEXT NOT NULL, sum TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS head (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL, sum TEXT NOT NULL);
"""


class FolderStore(Store):
    """Threads in the folder `root`.

    Raises:
        StoreFailed: the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks = Locks()
        self._open: dict[str, FolderThread] = {}
        self._guard = threading.Lock()
        with storing():
            for folder in ("threads", "locks"):
                (root / folder).mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        with storing():
            return sorted(unquote(folder.name) for folder in (self.root / "threads").iterdir() if folder.name[0] != ".")

    def exists(self, name: str) -> bool:
        return (self._folder(name) / "thread.sqlite").is_file()

    def open(self, name: str) -> ThreadStore:
        with self._guard:
            thread = self._open.pop(name, None) or FolderThread(self._folder(name))
            self._open[name] = thread
            if len(self._open) > _OPEN:
                self._open.pop(next(iter(self._open))).close()
            return thread

    def delete(self, name: str) -> None:
        folder = self._folder(name)
        with self._guard:
            thread = self._open.pop(name, None)
        if thread is not None:
            thread.close()
        gone = folder.with_name(f".{uuid.uuid4().hex}")
        with storing():
            if folder.is_dir():
                folder.rename(gone)  # at once; a crash below leaves rubbish, not half a thread
                shutil.rmtree(gone)

    @contextmanager
    def lock(self, name: str, waiting: Waiting) -> Iterator[None]:
        with self._locks.of(name).held(waiting):
            if fcntl is None:
                yield
                return
            with storing():
                file = (self.root / "locks" / file_name(name)).open("ab")
            with file:
                waiting.until(lambda: _try_flock(file.fileno()))
                yield  # closing the file lets go, and so does the end of the process, however it comes

    def close(self) -> None:
        with self._guard:
            for thread in self._open.values():
                thread.close()
            self._open.clear()

    def _folder(self, name: str) -> Path:
        return self.root / "threads" / file_name(name)


class FolderThread(ThreadStore):
    """One of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.RLock()
        self._made: SqliteSaver | None = None

    @property
    def saver(self) -> SqliteSaver:  # type: ignore[override]
        with self._guard:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def head(self) -> Head | None:
        if not (self._folder / "thread.sqlite").is_file():
            return None
        row = self._read("SELECT body, sum FROM head WHERE only = 1")
        with storing():
            return None if row is None else Head.model_validate_json(self._intact(row, "its head"))

    def save_head(self, head: Head) -> None:
        self._write(head)

    def commit(self, turn: Turn, head: Head) -> None:
        self._write(head, turn)

    def turn(self, key: str) -> Turn:
        row = self._read("SELECT body, sum FROM turns WHERE id = ?", key)
        if row is None:
            raise damaged(f"turn {key} is missing in {self._folder}")
        with storing():
            return Turn.model_validate_json(self._intact(row, f"turn {key}"))

    def put(self, key: str, kind: str, data: bytes) -> None:
        target = self._artifact(key, kind)
        if target.is_file():
            return
        with storing():
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{uuid.uuid4().hex}")
            try:
                with unfinished.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(target)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            _sync_folder(target.parent)

    def get(self, key: str, kind: str) -> bytes:
        try:
            return self._artifact(key, kind).read_bytes()
        except FileNotFoundError:
            raise damaged(f"{key}.{kind} is missing in {self._folder}") from None
        except OSError as error:
            raise StoreFailed(f"cannot read the store: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the database."""
        with self._guard:
            if self._made is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._made.conn.close()
                self._made = None

    def _artifact(self, key: str, kind: str) -> Path:
        return self._folder / "artifacts" / f"{key}.{kind}"

    def _connect(self) -> SqliteSaver:
        with storing():
            new = not (self._folder / "thread.sqlite").is_file()
            self._folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._folder / "thread.sqlite", check_same_thread=False, timeout=30)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                if not new:
                    (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                    if state != "ok":
                        raise damaged(f"{self._folder / 'thread.sqlite'}: {state}")
                saver = SqliteSaver(connection, serde=serializer())
                saver.setup()
                connection.executescript(_SCHEMA)
                if new:
                    _sync_folder(self._folder)
                    _sync_folder(self._folder.parent)
            except BaseException:
                connection.close()
                raise
            return saver

    def _read(self, query: str, *values: str) -> tuple[str, str] | None:
        saver = self.saver
        with storing(), saver.lock:
            row: tuple[str, str] | None = saver.conn.execute(query, values).fetchone()
            return row

    def _write(self, head: Head, turn: Turn | None = None) -> None:
        saver = self.saver
        with storing(), saver.lock:
            connection = saver.conn
            try:
                if turn is not None:
                    body = turn.model_dump_json()
                    connection.execute("INSERT OR REPLACE INTO turns VALUES (?, ?, ?)", (turn.id, body, _sum(body)))
                body = head.model_dump_json()
                connection.execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (body, _sum(body)))
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    def _intact(self, row: tuple[str, str], what: str) -> str:
        body, expected = row
        if _sum(body) != expected:
            raise damaged(f"{what} in {self._folder}")
        return body


def file_name(name: str) -> str:
    """`name` as the name of a file on any system; `unquote` turns it back.

    Raises:
        InvalidRequest: empty, too long, or not valid Unicode.
    """
    try:
        parts = [char if char in _PLAIN else "".join(f"%{byte:02X}" for byte in char.encode()) for char in name]
    except UnicodeEncodeError:
        raise InvalidRequest("the name of the thread is not valid Unicode") from None
    encoded = "".join(parts)
    if not name or len(encoded) > _LONGEST:
        raise InvalidRequest("the name of a thread has 1 to 200 characters; fewer if they are not plain letters")
    return encoded


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
