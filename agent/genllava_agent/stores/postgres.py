"""Threads in PostgreSQL, for several machines at once.

    genllava_threads                  head; which turn has begun
    genllava_turns                    turns
    genllava_artifacts                pictures and latents
    checkpoint*                       the state of turns that wait: LangGraph's own tables

Who runs a turn of a thread holds an advisory lock, and writes through the connection that holds it: where that breaks,
the lock is gone and nothing more can be written, so that two turns never write at once.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from genllava.errors import InvalidRequest
from genllava_agent.errors import StoreFailed
from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import Store, ThreadStore, artifacts_of
from genllava_agent.stores.bodies import read_head, read_turn, written
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import artifact_name, file_name, thread_name
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting import Locks, Waiting

Connection = psycopg.Connection[DictRow]

_PATIENCE: Final = 10.0
"""Seconds to wait for a connection."""
_READERS: Final = 8
"""Connections that are kept for reading. Every turn that runs has one more of its own."""
_NETWORK: Final[dict[str, Any]] = {
    "application_name": "genllava",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Where the URL says nothing else: a server that is gone is noticed within half a minute."""
_INHERITED: Final[list[object]] = []
"""Connections that were open when the process was forked: they are the parent's, and must not even be closed here."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS genllava_threads (
    name TEXT PRIMARY KEY, body TEXT NOT NULL, sum TEXT NOT NULL, begun TEXT);
CREATE TABLE IF NOT EXISTS genllava_turns (
    thread TEXT, id TEXT, body TEXT NOT NULL, sum TEXT NOT NULL, PRIMARY KEY (thread, id));
CREATE TABLE IF NOT EXISTS genllava_artifacts (
    thread TEXT, name TEXT, data BYTEA NOT NULL, PRIMARY KEY (thread, name));
"""
_PUT_HEAD: Final = """
INSERT INTO genllava_threads (name, body, sum, begun) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET body = excluded.body, sum = excluded.sum, begun = excluded.begun
"""
_PUT_TURN: Final = """
INSERT INTO genllava_turns (thread, id, body, sum) VALUES (%s, %s, %s, %s)
ON CONFLICT (thread, id) DO UPDATE SET body = excluded.body, sum = excluded.sum
"""
_PUT_ARTIFACT: Final = """
INSERT INTO genllava_artifacts (thread, name, data) VALUES (%s, %s, %s)
ON CONFLICT (thread, name) DO UPDATE SET data = excluded.data WHERE genllava_artifacts.data <> excluded.data
"""
_COPY_ARTIFACTS: Final = """
INSERT INTO genllava_artifacts (thread, name, data)
SELECT %s, name, data FROM genllava_artifacts WHERE thread = %s AND name = ANY(%s)
ON CONFLICT (thread, name) DO UPDATE SET data = excluded.data
"""
_OWN_TURNS: Final = """
SELECT id FROM genllava_turns WHERE thread = %s
EXCEPT SELECT id FROM genllava_turns WHERE thread <> %s
"""
_STATES: Final = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


class PostgresStore(Store):
    """Threads in the database at `url`. Nothing is connected before the first use.

    Raises:
        StoreFailed: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        with storing():
            self._connection = {**_NETWORK, **conninfo_to_dict(url)}
        self._pool: ConnectionPool[Connection] | None = None
        self._holding: dict[str, Connection] = {}
        """Of the turns that run here: the connection that holds the lock, by thread."""
        self._prepared = False
        self._begin()

    def names(self) -> list[str]:
        with self.reading() as connection:
            rows = connection.execute("SELECT name FROM genllava_threads").fetchall()
        return sorted(name for row in rows if (name := thread_name(row["name"])) is not None)

    def exists(self, name: str) -> bool:
        key = file_name(name)
        with self.reading() as connection:
            return connection.execute("SELECT 1 FROM genllava_threads WHERE name = %s", (key,)).fetchone() is not None

    def open(self, name: str) -> ThreadStore:
        return PostgresThread(self, file_name(name))

    def delete(self, name: str) -> None:
        key = file_name(name)
        with self.writing(key) as connection:
            _forget_states(connection, key, None)
            connection.execute("DELETE FROM genllava_threads WHERE name = %s", (key,))
            connection.execute("DELETE FROM genllava_turns WHERE thread = %s", (key,))
            connection.execute("DELETE FROM genllava_artifacts WHERE thread = %s", (key,))

    def turns_of_its_own(self, name: str) -> set[str]:
        key = file_name(name)
        with self.reading() as connection:
            return {row["id"] for row in connection.execute(_OWN_TURNS, (key, key)).fetchall()}

    @contextmanager
    def lock(self, name: str, waiting: Waiting) -> Iterator[None]:
        key = file_name(name)
        self._own()
        with self._locks.of(key).held(waiting):
            with storing():
                connection: Connection = psycopg.connect(**self._connection, autocommit=True, row_factory=dict_row)
            try:
                self._prepare(connection)
                number = _lock_number(key)
                waiting.until(lambda: _try_lock(connection, number))
                self._holding[key] = connection
                try:
                    yield
                finally:
                    del self._holding[key]
                    with suppress(psycopg.Error):  # at once: the server hears of a connection's end a little later
                        connection.execute("SELECT pg_advisory_unlock(%s)", (number,))
            finally:
                connection.close()  # lets go of the lock, and so does the end of the process, however it comes

    def close(self) -> None:
        self._own()
        with self._guard:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading.

        Raises:
            StoreFailed.
        """
        with storing(), self.pool.connection() as connection:
            yield connection

    @contextmanager
    def writing(self, key: str) -> Iterator[Connection]:
        """A transaction of whoever holds the thread's lock: all of it or nothing.

        Raises:
            StoreFailed.
        """
        self._own()
        connection = self._holding.get(key)
        if connection is None:
            raise RuntimeError("a thread is written by whoever holds its lock")
        with storing(), connection.transaction():
            yield connection

    @property
    def pool(self) -> ConnectionPool[Connection]:
        """The connections for reading.

        Raises:
            StoreFailed: there is no server, or it does not let us in.
        """
        self._own()
        with self._guard:
            if self._pool is None:
                self._pool = ConnectionPool(
                    kwargs={**self._connection, "autocommit": True, "row_factory": dict_row},
                    connection_class=psycopg.Connection[DictRow],
                    min_size=0,
                    max_size=_READERS,
                    timeout=_PATIENCE,
                    reconnect_timeout=_PATIENCE / 2,
                    check=ConnectionPool.check_connection,
                    open=True,
                )
            pool = self._pool
        if not self._prepared:
            with storing(), psycopg.connect(**self._connection, autocommit=True, row_factory=dict_row) as connection:
                self._prepare(connection)
        return pool

    def _prepare(self, connection: Connection) -> None:
        """Make the tables, once."""
        if self._prepared:
            return
        number = _lock_number("")  # making an index waits for whoever waits for a lock in SQL: ask again instead
        Waiting(_PATIENCE * 6).until(lambda: _try_lock(connection, number))
        with storing():
            try:
                connection.execute(_SCHEMA)
                PostgresSaver(connection, serde=serializer()).setup()
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (number,))
        self._prepared = True

    def _begin(self) -> None:
        self._process = os.getpid()
        self._locks = Locks()
        self._guard = threading.Lock()
        self._holding, self._pool, self._prepared = {}, None, False

    def _own(self) -> None:
        """Begin anew after a fork."""
        if self._process != os.getpid():
            _INHERITED.append((self._pool, self._holding))
            self._begin()


class PostgresThread(ThreadStore):
    """The thread that is called `key` in the tables."""

    def __init__(self, store: PostgresStore, key: str) -> None:
        self._store = store
        self._key = key

    @property
    def saver(self) -> PostgresSaver:  # type: ignore[override]
        saver = PostgresSaver(self._store.pool, serde=serializer())
        saver.supports_pipeline = False  # it uses a transaction then; a pipeline may hide why something failed
        return saver

    def head(self) -> Head | None:
        with self._store.reading() as connection:
            row = connection.execute("SELECT body, sum FROM genllava_threads WHERE name = %s", (self._key,)).fetchone()
        return None if row is None else read_head((row["body"], row["sum"]))

    def save_head(self, head: Head) -> None:
        with self._store.writing(self._key) as connection:
            _forget_states(connection, self._key, head.waiting)
            _put_head(connection, self._key, head)

    def commit(self, turn: Turn, head: Head) -> None:
        with self._store.writing(self._key) as connection:
            connection.execute(_PUT_TURN, (self._key, turn.id, *written(turn)))
            _forget_states(connection, self._key, head.waiting)
            _put_head(connection, self._key, head)

    def turn(self, key: str) -> Turn:
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT body, sum FROM genllava_turns WHERE thread = %s AND id = %s", (self._key, key)
            ).fetchone()
        return read_turn(row and (row["body"], row["sum"]), key)

    def put(self, key: str, kind: str, data: bytes) -> None:
        with self._store.writing(self._key) as connection:
            connection.execute(_PUT_ARTIFACT, (self._key, artifact_name(key, kind), data))

    def get(self, key: str, kind: str) -> bytes:
        name = artifact_name(key, kind)
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT data FROM genllava_artifacts WHERE thread = %s AND name = %s", (self._key, name)
            ).fetchone()
        if row is None:
            raise damaged(f"{name} is missing")
        return bytes(row["data"])

    def copy_from(self, other: ThreadStore, turns: Sequence[Turn], head: Head) -> None:
        assert isinstance(other, PostgresThread), "threads are copied within a store"
        if self.head() is not None:
            raise InvalidRequest(f"there is a thread {head.name!r} already")
        named = list({artifact_name(key, kind) for turn in turns for key, kind in artifacts_of(turn)})
        with self._store.writing(self._key) as connection:
            if connection.execute(_COPY_ARTIFACTS, (self._key, other._key, named)).rowcount != len(named):
                raise damaged("an artifact is missing")
            for turn in turns:
                connection.execute(_PUT_TURN, (self._key, turn.id, *written(turn)))
            _put_head(connection, self._key, head)


def _put_head(connection: Connection, key: str, head: Head) -> None:
    begun = None if head.pending is None else head.pending.id
    connection.execute(_PUT_HEAD, (key, *written(head), begun))


def _forget_states(connection: Connection, key: str, waiting: tuple[str, str] | None) -> None:
    """Forget where the turn that has begun stood, but for the state that it waits in."""
    row = connection.execute("SELECT begun FROM genllava_threads WHERE name = %s FOR UPDATE", (key,)).fetchone()
    if row is None or row["begun"] is None:
        return
    for table in _STATES:
        connection.execute(
            f"DELETE FROM {table} WHERE thread_id = %s AND (thread_id, checkpoint_ns) <> (%s, %s)",
            (row["begun"], *(waiting or ("", ""))),
        )


def _lock_number(key: str) -> int:
    """Of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"genllava:{key}".encode()).digest()[:8], signed=True)


def _try_lock(connection: Connection, number: int) -> bool:
    with storing():
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (number,)).fetchone()
    if row is None:
        raise StoreFailed("the database server gave no answer: ask again")
    return bool(row["held"])
