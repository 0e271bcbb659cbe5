"""The checkpoints of one thread, in a SQLite database of its own.

LangGraph's tables, and a checksum over all rows where the thread is settled: what was changed behind our back is
noticed when the database is opened. A database comes into being at once, with a checkpoint in it, and there is never
half of one.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from langgraph.checkpoint.sqlite import SqliteSaver

from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.faults import storing
from genllava_agent.stores.serializer import serializer

DATABASE: Final = "checkpoints.sqlite"
UNFINISHED: Final = "unfinished."
"""Begins the name of what is being written, or was left by a process that ended."""
_PATIENCE: Final = 30.0
"""Seconds to wait for another process that is writing."""
_SETTLED: Final = "CREATE TABLE settled (only INTEGER PRIMARY KEY CHECK (only = 1), sum TEXT NOT NULL)"
_TABLES: Final = {"checkpoints", "writes", "settled"}
_ROWS: Final = {
    "checkpoints": "thread_id checkpoint_ns checkpoint_id parent_checkpoint_id type substr(checkpoint,1,16) metadata",
    "writes": "thread_id checkpoint_ns checkpoint_id task_id task_path idx channel type substr(value,1,16)",
}
"""What of a table is under the checksum: all of it, since what was serialized begins with a checksum of its own."""
_INHERITED: Final[list[object]] = []
"""Databases that were open when the process was forked: they are the parent's, and must not even be closed here."""


class FolderSaver(SqliteSaver):
    """LangGraph's saver, for the thread in `folder`. It opens the database when it is used, and makes it with the first
    thing that is written; another process may have deleted the thread meanwhile, and begun it again."""

    def __init__(self, folder: Path) -> None:
        with storing():
            super().__init__(_nothing(), serde=serializer())
        self._database = folder / DATABASE
        self._guard = threading.Lock()
        self._file: os.stat_result | None = None
        self._process = os.getpid()
        self.is_setup = True
        self._sums = Sums()

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """What every method of LangGraph's saver does its work with.

        Raises:
            StoreFailed, ThreadQuarantined.
        """
        with self._guard, storing():
            if self._connected() or not transaction:
                with self._either(transaction) as cursor:
                    yield cursor
                return
            with self._made(), self._either(transaction) as cursor:
                yield cursor

    def settle(self) -> None:
        """What was written is durable when this returns, and under a checksum."""
        with self._guard, storing():
            if not self._connected():
                return
            with self.lock:
                if self.conn.execute("SELECT 1 FROM settled").fetchone() is None:
                    _settle(self.conn, self._sums)
                _empty_log(self.conn)

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that there is of a thread."""
        if self._database.is_file():
            super().delete_thread(thread_id)

    def close(self) -> None:
        """Close the database; it is opened again when it is used."""
        with self._guard, storing():
            self._close()

    @contextmanager
    def _either(self, writing: bool) -> Iterator[sqlite3.Cursor]:
        """A cursor for reading, or one whose changes are made together or not at all."""
        if self.conn.in_transaction:  # what an earlier fault may have left open
            self.conn.rollback()
        with super().cursor(writing) as cursor:
            try:
                if writing:
                    cursor.execute("DELETE FROM settled")
                yield cursor
            except BaseException:
                if writing:
                    with suppress(sqlite3.Error):
                        self.conn.rollback()
                raise

    def _close(self) -> None:
        if self._process != os.getpid():
            _INHERITED.append(self.conn)
        else:
            with self.lock, suppress(sqlite3.Error):
                self.conn.close()
        self.conn, self._file, self._process = _nothing(), None, os.getpid()

    def _connected(self) -> bool:
        """Whether there is a database; then it is open."""
        try:
            file = self._database.stat()
        except FileNotFoundError:
            file = None
        known = self._file
        if known is not None and (file is None or self._process != os.getpid() or not os.path.samestat(file, known)):
            self._close()
        if file is not None and self._file is None:
            self.conn.close()
            self.conn, self._sums = _opened(self._database)
            self._file = file
        return file is not None

    @contextmanager
    def _made(self) -> Iterator[None]:
        """Make the database elsewhere, with what is written meanwhile, and move it to its place."""
        folder = self._database.parent
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{UNFINISHED}{uuid.uuid4().hex}"
        try:
            self.conn.close()
            self.conn = sqlite3.connect(unfinished, check_same_thread=False)
            _set_up(self.conn, "FULL")
            yield
            _settle(self.conn, Sums())
            if self.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("the new database is in use")
            self.conn.close()
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(self._database)
        except BaseException:
            self.conn.close()
            for rest in ("", "-wal", "-shm"):
                unfinished.with_name(unfinished.name + rest).unlink(missing_ok=True)
            raise
        finally:
            self.conn = _nothing()
        sync_folder(folder)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def connect(database: Path) -> sqlite3.Connection:
    """Open a database that exists, rather than to make one, and look whether it is sound.

    Raises:
        ThreadQuarantined: it is damaged.
    """
    address = f"file:{quote(str(database.absolute()))}?mode=rw"
    connection = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=_PATIENCE)
    try:
        for setting in ("trusted_schema=OFF", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {setting}")
        (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if state != "ok":
            raise damaged(f"{database}: {state}")
    except BaseException:
        connection.close()
        raise
    return connection


def tables_of(connection: sqlite3.Connection) -> set[str]:
    """The names of the tables, and of whatever else there is that no thread has."""
    parts = connection.execute("SELECT type, name FROM sqlite_master WHERE type <> 'index'").fetchall()
    return {name if kind == "table" else f"{kind} {name}" for kind, name in parts}


def _opened(database: Path) -> tuple[sqlite3.Connection, Sums]:
    connection = connect(database)
    try:
        if tables_of(connection) != _TABLES:
            raise damaged(f"{database}: its tables are not those of a thread")
        connection.execute("BEGIN")  # another process may be writing
        settled = connection.execute("SELECT sum FROM settled").fetchone()
        sums = Sums()
        if settled is not None and settled != (sums.of(connection),):
            raise damaged(f"{database}: its rows are not those that were written")
        connection.rollback()
        _set_up(connection, "NORMAL")
        for folder in (database.parent, database.parent.parent):  # whoever made it may not have come this far
            sync_folder(folder)
    except BaseException:
        connection.close()
        raise
    return connection, sums


def _set_up(connection: sqlite3.Connection, synchronous: str) -> None:
    """Let LangGraph make its tables, and bring older ones of its own up to date."""
    connection.execute(f"PRAGMA synchronous={synchronous}")
    SqliteSaver(connection).setup()
    if "settled" not in tables_of(connection):
        connection.execute(_SETTLED)


def _nothing() -> sqlite3.Connection:
    """What is read of a thread that does not exist."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    _set_up(connection, "OFF")
    return connection


def _settle(connection: sqlite3.Connection, sums: Sums) -> None:
    connection.rollback()
    connection.execute("PRAGMA synchronous=FULL")
    try:
        connection.execute("INSERT OR REPLACE INTO settled VALUES (1, ?)", (sums.of(connection),))
        connection.commit()
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise
    finally:
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA synchronous=NORMAL")


class Sums:
    """Checksums over all rows, of which only those that are new are read again.

    The sum of a table is the number of its rows and the exclusive or of their SHA-256, so that rows can be added to it.
    """

    def __init__(self) -> None:
        self._known = dict.fromkeys(_ROWS, (0, 0, 0))  # last rowid, rows, their sum

    def of(self, connection: sqlite3.Connection) -> str:
        """The sum of the database as it is now."""
        for table in _ROWS:
            last, rows, total = self._known[table]
            (now,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            new = self._read(connection, table, last, rows, total)
            # A row that was replaced or removed has taken its part of the sum along.
            self._known[table] = new if new[1] == now else self._read(connection, table, 0, 0, 0)
        return " ".join(f"{rows}:{total:064x}" for _, rows, total in self._known.values())

    @staticmethod
    def _read(connection: sqlite3.Connection, table: str, last: int, rows: int, total: int) -> tuple[int, int, int]:
        row = "||','||".join(f"quote({column})" for column in _ROWS[table].split())
        query = f"SELECT rowid, {row} FROM {table} WHERE rowid > ? ORDER BY rowid"
        for place, text in connection.execute(query, (last,)):
            last, rows = place, rows + 1
            total ^= int.from_bytes(hashlib.sha256(str(text).encode(errors="surrogatepass")).digest())
        return last, rows, total


def _empty_log(connection: sqlite3.Connection) -> None:
    """Move what was written from the log into the database, whose pages a damaged log could undo; it is durable
    either way, so that this may fail."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout=100")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with suppress(sqlite3.Error):
        connection.execute(f"PRAGMA busy_timeout={int(_PATIENCE * 1000)}")
