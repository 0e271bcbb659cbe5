"""Threads in PostgreSQL, for several machines at once.

    checkpoint*                       LangGraph's own tables
    genllava_artifacts                pictures and latents

Who writes a thread holds an advisory lock, and writes through the connection that holds it: where that breaks, the
lock is gone and nothing more can be written, so that two turns never write at once. Others can only read.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from genllava.errors import InvalidRequest
from genllava_agent.errors import StoreFailed
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import Artifacts, Store
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import artifact_name, file_name
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
CREATE TABLE IF NOT EXISTS genllava_artifacts (
    thread TEXT, name TEXT, data BYTEA NOT NULL, PRIMARY KEY (thread, name));
"""
_PUT: Final = """
INSERT INTO genllava_artifacts (thread, name, data) VALUES (%s, %s, %s)
ON CONFLICT (thread, name) DO UPDATE SET data = excluded.data WHERE genllava_artifacts.data <> excluded.data
"""
_COPY: Final = """
INSERT INTO genllava_artifacts (thread, name, data)
SELECT %s, name, data FROM genllava_artifacts WHERE thread = %s AND name = ANY(%s)
ON CONFLICT (thread, name) DO UPDATE SET data = excluded.data
"""
_ONE: Final = "FROM genllava_artifacts WHERE thread = %s AND name = %s"
_THREADS: Final = "SELECT DISTINCT thread_id FROM checkpoints WHERE checkpoint_ns = ''"
_READ_ONLY: Final = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


class PostgresStore(Store):
    """Threads in the database at `url`. Nothing is connected before the first use.

    Raises:
        StoreFailed: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        with storing():
            self._connection = {**_NETWORK, **conninfo_to_dict(url)}
        self._pool: ConnectionPool[Connection] | None = None
        self._holding: dict[str, PostgresSaver] = {}
        """Of those who hold locks here, by thread."""
        self._prepared = False
        self._begin()

    def names(self) -> list[str]:
        with self.reading() as connection:
            rows = connection.execute(_THREADS).fetchall()
        return sorted(row["thread_id"] for row in rows)

    def exists(self, name: str) -> bool:
        _checked(name)
        with self.reading() as connection:
            return connection.execute(f"{_THREADS} AND thread_id = %s", (name,)).fetchone() is not None

    def saver(self, name: str) -> PostgresSaver:
        _checked(name)
        self._own()
        if self._locks.of(name).mine and name in self._holding:
            return self._holding[name]
        return _saver(self.pool)

    def artifacts(self, name: str) -> Artifacts:
        return PostgresArtifacts(self, name, _checked(name))

    def settle(self, name: str) -> None:
        """Whatever was committed is durable."""

    def branch(self, name: str, other: str, named: Collection[tuple[str, str]]) -> None:
        self.refuse_taken(other)
        files = list({artifact_name(key, kind) for key, kind in named})
        with self.writing(other) as connection, connection.transaction():
            if connection.execute(_COPY, (_checked(other), _checked(name), files)).rowcount != len(files):
                raise damaged("an artifact is missing")

    def delete(self, name: str) -> None:
        key = _checked(name)
        with self.writing(name) as connection, connection.transaction():
            for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
                connection.execute(f"DELETE FROM {table} WHERE thread_id = %s", (name,))
            connection.execute("DELETE FROM genllava_artifacts WHERE thread = %s", (key,))

    @contextmanager
    def lock(self, name: str, waiting: Waiting) -> Iterator[None]:
        key = _checked(name)
        self._own()
        with self._locks.of(name).held(waiting):
            with storing():
                connection: Connection = psycopg.connect(**self._connection, autocommit=True, row_factory=dict_row)
            try:
                self._prepare(connection)
                number = _lock_number(key)
                waiting.until(lambda: _try_lock(connection, number))
                self._holding[name] = _saver(connection)
                try:
                    yield
                finally:
                    del self._holding[name]
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
        """A connection that cannot write.

        Raises:
            StoreFailed.
        """
        with storing(), self.pool.connection() as connection:
            yield connection

    @contextmanager
    def writing(self, name: str) -> Iterator[Connection]:
        """The connection of whoever holds the thread's lock.

        Raises:
            StoreFailed.
        """
        self._own()
        saver = self._holding.get(name)
        if saver is None:
            raise RuntimeError("a thread is written by whoever holds its lock")
        with storing(), saver.lock:  # nothing of ours comes into the middle of a checkpoint
            assert isinstance(saver.conn, psycopg.Connection)
            yield saver.conn

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
                    configure=_only_read,
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
                _saver(connection).setup()
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


class PostgresArtifacts(Artifacts):
    """Artifacts of the thread `name`, which is called `key` in their table."""

    def __init__(self, store: PostgresStore, name: str, key: str) -> None:
        self._store, self._name, self._key = store, name, key

    def put(self, key: str, kind: str, data: bytes) -> None:
        name = artifact_name(key, kind)
        with self._store.writing(self._name) as connection:
            connection.execute(_PUT, (self._key, name, data))

    def get(self, key: str, kind: str) -> bytes:
        name = artifact_name(key, kind)
        with self._store.reading() as connection:
            row = connection.execute(f"SELECT data {_ONE}", (self._key, name)).fetchone()
        if row is None:
            raise damaged(f"{name} is missing")
        return bytes(row["data"])

    def has(self, key: str, kind: str) -> bool:
        name = artifact_name(key, kind)
        with self._store.reading() as connection:
            return connection.execute(f"SELECT 1 {_ONE}", (self._key, name)).fetchone() is not None


def _checked(name: str) -> str:
    """The name of a thread as it is in the table of artifacts.

    Raises:
        InvalidRequest: it cannot be the name of a thread here.
    """
    key = file_name(name)
    if "\0" in name:
        raise InvalidRequest("the name of a thread in PostgreSQL has no NUL character")
    return key


def _saver(connection: Connection | ConnectionPool[Connection]) -> PostgresSaver:
    saver = PostgresSaver(connection, serde=serializer())
    saver.supports_pipeline = False  # it uses a transaction then; a pipeline may hide why something failed
    return saver


def _only_read(connection: Connection) -> None:
    connection.execute(_READ_ONLY)


def _lock_number(key: str) -> int:
    """Of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"genllava:{key}".encode()).digest()[:8], signed=True)


def _try_lock(connection: Connection, number: int) -> bool:
    with storing():
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (number,)).fetchone()
    if row is None:
        raise StoreFailed("the database server gave no answer: ask again")
    return bool(row["held"])
