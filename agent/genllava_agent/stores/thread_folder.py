"""One thread in a folder.

    thread.sqlite                     head, turns, and the state of a turn that waits
    artifacts/KEY.png                 pictures, KEY.jpg where they came so; KEY.safetensors: latents
    unfinished.*                      being written, or left by a process that ended; removed by the next turn

The database comes into being at once, with a head in it: one without is damaged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from langgraph.checkpoint.sqlite import SqliteSaver

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadNotFound
from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import ThreadStore, artifacts_of
from genllava_agent.stores.bodies import read_head, read_turn, written
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import artifact_name
from genllava_agent.stores.serializer import serializer

DATABASE: Final = "thread.sqlite"
BEGUN: Final = "begun"
"""Stands in the folder of a thread while it branches off another."""
_UNFINISHED: Final = "unfinished."
_PATIENCE: Final = 30.0
"""Seconds to wait for another process that is writing."""

_SCHEMA: Final = """
CREATE TABLE turns (id TEXT PRIMARY KEY, body TEXT NOT NULL, sum TEXT NOT NULL);
CREATE TABLE head (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL, sum TEXT NOT NULL);
"""
_TABLES: Final = {"turns", "head", "checkpoints", "writes"}
_PUT_TURN: Final = "INSERT OR REPLACE INTO turns VALUES (?, ?, ?)"
_PUT_HEAD: Final = "INSERT OR REPLACE INTO head VALUES (1, ?, ?)"
_FORGET: Final = "DELETE FROM {} WHERE (thread_id, checkpoint_ns) <> (?, ?)"


class FolderThread(ThreadStore):
    """The thread in `folder`, with one connection to its database in this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = folder / DATABASE
        self._guard = threading.RLock()
        self._saver: SqliteSaver | None = None
        self._file: os.stat_result | None = None

    @property
    def saver(self) -> SqliteSaver:  # type: ignore[override]
        saver = self._connected()
        if saver is None:
            raise ThreadNotFound("this thread was deleted: ask something on it first")
        return saver

    def head(self) -> Head | None:
        if self._connected() is None:
            return None
        row = self._read("SELECT body, sum FROM head WHERE only = 1")
        return read_head(row)

    def save_head(self, head: Head) -> None:
        """Durable when it returns, but for the note that a turn has begun: a power cut may lose that, and then the
        turn has not begun."""
        self._write(head)

    def commit(self, turn: Turn, head: Head) -> None:
        self._write(head, turn)

    def turn(self, key: str) -> Turn:
        return read_turn(self._read("SELECT body, sum FROM turns WHERE id = ?", key), key)

    def put(self, key: str, kind: str, data: bytes) -> None:
        target = self._artifact(key, kind)
        with storing():
            if not (target.is_file() and target.read_bytes() == data):
                target.parent.mkdir(parents=True, exist_ok=True)
                unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
                try:
                    with unfinished.open("xb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    unfinished.replace(target)
                except BaseException:
                    unfinished.unlink(missing_ok=True)
                    raise
            sync_folder(target.parent)  # also where it is there already: whoever put it may not have come this far

    def get(self, key: str, kind: str) -> bytes:
        target = self._artifact(key, kind)
        with storing():
            try:
                return target.read_bytes()
            except FileNotFoundError:
                if not self._database.is_file():
                    raise ThreadNotFound(f"the thread of {target.name} was deleted") from None
                raise damaged(f"{target.name} is missing in {self._folder}") from None

    def copy_from(self, other: ThreadStore, turns: Sequence[Turn], head: Head) -> None:
        if self._database.is_file():
            raise InvalidRequest(f"there is a thread {head.name!r} already")
        try:
            with storing():
                (self._folder / "artifacts").mkdir(parents=True, exist_ok=True)
                (self._folder / BEGUN).touch()
                for key, kind in dict.fromkeys(named for turn in turns for named in artifacts_of(turn)):
                    if not (isinstance(other, FolderThread) and self._link(other, key, kind)):
                        self.put(key, kind, other.get(key, kind))
                sync_folder(self._folder / "artifacts")
                self._create(head, turns)
                (self._folder / BEGUN).unlink()
        except BaseException:
            self.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def close(self) -> None:
        """Close the database."""
        with self._guard:
            if self._saver is not None:
                with self._saver.lock, contextlib.suppress(sqlite3.Error):
                    self._saver.conn.close()
            self._saver = self._file = None

    def _artifact(self, key: str, kind: str) -> Path:
        return self._folder / "artifacts" / artifact_name(key, kind)

    def _link(self, other: FolderThread, key: str, kind: str) -> bool:
        """Have an artifact of another thread under a name of our own, since files are never changed.

        Returns:
            False where that is not possible: there is one already, or the disk has no links, or it is another disk.
        """
        try:
            os.link(other._artifact(key, kind), self._artifact(key, kind))
        except OSError:
            return False
        return True

    def _connected(self) -> SqliteSaver | None:
        """The connection; None while there is no database. Another process may have deleted the thread and begun it
        again, so that the file is another one than it was."""
        with self._guard, storing():
            try:
                file = self._database.stat()
            except FileNotFoundError:
                self.close()
                return None
            if self._file is not None and not os.path.samestat(file, self._file):
                self.close()
            if self._saver is None:
                self._saver = _connect(self._database)
                self._file = file
            return self._saver

    def _read(self, query: str, *values: str) -> object:
        with self._guard, storing():
            saver = self._connected()
            if saver is None:
                return None
            with saver.lock:
                return saver.conn.execute(query, values).fetchone()

    def _write(self, head: Head, turn: Turn | None = None) -> None:
        turns = [] if turn is None else [turn]
        note = turn is None and head.pending is not None and head.pending.question is None
        with self._guard, storing():
            if not note:
                self._sweep()
            saver = self._connected()
            if saver is None:
                self._create(head, turns)
                return
            with saver.lock:
                connection = saver.conn
                connection.rollback()  # what an earlier fault may have left open
                connection.execute(f"PRAGMA synchronous={'OFF' if note else 'FULL'}")
                try:
                    _insert(connection, head, turns)
                    for table in ("checkpoints", "writes"):
                        connection.execute(_FORGET.format(table), head.waiting or ("", ""))
                    connection.commit()
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        connection.rollback()
                    raise
                if not note:
                    _empty_log(connection)

    def _create(self, head: Head, turns: Sequence[Turn]) -> None:
        """Make the database elsewhere and move it here, so that there is never half of one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            connection = sqlite3.connect(unfinished)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                SqliteSaver(connection, serde=serializer()).setup()
                connection.executescript(_SCHEMA)
                _insert(connection, head, turns)
                connection.commit()
                if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    raise sqlite3.OperationalError("the new database is in use")
            finally:
                connection.close()
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(self._database)
        except BaseException:
            self._sweep()
            raise
        sync_folder(self._folder)
        sync_folder(self._folder.parent)

    def _sweep(self) -> None:
        """Remove what a process left that ended in the middle of writing."""
        if not self._folder.is_dir():
            return
        for name in os.listdir(self._folder):
            if name.startswith(_UNFINISHED):
                (self._folder / name).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def turns_in(database: Path) -> set[str]:
    """The ids of the turns in a database that exists."""
    with contextlib.closing(sqlite3.connect(_address(database), uri=True, timeout=_PATIENCE)) as connection:
        return {turn for (turn,) in connection.execute("SELECT id FROM turns")}


def _address(database: Path) -> str:
    return f"file:{quote(str(database.absolute()))}?mode=rw"  # rather than to make one


def _connect(database: Path) -> SqliteSaver:
    """Open a database that exists.

    Raises:
        ThreadQuarantined: it is damaged.
    """
    connection = sqlite3.connect(_address(database), uri=True, check_same_thread=False, timeout=_PATIENCE)
    try:
        for setting in ("trusted_schema=OFF", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {setting}")
        (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise damaged(f"{database}: {state}")
        parts = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        tables = {name for kind, name in parts if kind == "table"}
        if tables != _TABLES or any(kind not in ("table", "index") for kind, _ in parts):
            raise damaged(f"{database}: its tables are not those of a thread")
        saver = SqliteSaver(connection, serde=serializer())
        saver.setup()
        for folder in (database.parent, database.parent.parent):  # whoever made it may not have come this far
            sync_folder(folder)
    except BaseException:
        connection.close()
        raise
    return saver


def _insert(connection: sqlite3.Connection, head: Head, turns: Sequence[Turn]) -> None:
    for turn in turns:
        connection.execute(_PUT_TURN, (turn.id, *written(turn)))
    connection.execute(_PUT_HEAD, written(head))


def _empty_log(connection: sqlite3.Connection) -> None:
    """Move what was written from the log into the database, whose pages a damaged log could undo; it is durable
    either way, so that this may fail."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout=100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with contextlib.suppress(sqlite3.Error):
        connection.execute(f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}")
