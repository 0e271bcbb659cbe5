"""Errors of the store are ours, and errors of anything else are left alone."""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from talking import NOW, State, reply, say

from genllava.errors import Cancelled, InvalidRequest
from genllava_agent.errors import StoreFailed, ThreadBusy, ThreadQuarantined
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store


def _coded(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("what SQLite says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        FileNotFoundError(errno.ENOENT, "no file"),
        TimeoutError("late"),
        sqlite3.OperationalError("a tool's own database"),
        sqlite3.IntegrityError("a tool's own database"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        json.JSONDecodeError("x", "x", 0),
        Cancelled("stop"),
        InvalidRequest("no"),
        ThreadBusy("later"),
        ZeroDivisionError(),
        KeyboardInterrupt(),
    ],
)
def test_what_a_node_raises_is_left_as_it_is(error: BaseException, store: Store) -> None:
    def think(state: State) -> dict[str, Any]:
        raise error

    built = StateGraph(State).add_node(think).add_node(reply).add_edge(START, "think").add_edge("think", "reply")
    with pytest.raises(type(error)) as raised:
        say(store, "a", "one", built=built)
    assert raised.value is error


class Failing(InMemorySaver):
    """A saver of somebody's own."""

    error: Exception

    def put(self, *args: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected", "advice"),
    [
        (OSError(errno.ENOSPC, "full"), StoreFailed, "make room"),
        (PermissionError(errno.EACCES, "forbidden", "/x"), StoreFailed, "right to write"),
        (NotADirectoryError(errno.ENOTDIR, "no folder"), StoreFailed, "choose a folder"),
        (TimeoutError("late"), StoreFailed, "late"),
        (_coded(sqlite3.SQLITE_FULL), StoreFailed, "make room"),
        (_coded(sqlite3.SQLITE_IOERR), StoreFailed, "make room"),
        (_coded(sqlite3.SQLITE_READONLY), StoreFailed, "right to write"),
        (_coded(sqlite3.SQLITE_BUSY), StoreFailed, "try again"),
        (sqlite3.ProgrammingError("closed"), StoreFailed, "try again"),
        (_coded(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError), ThreadQuarantined, "damaged"),
        (_coded(sqlite3.SQLITE_NOTADB, sqlite3.DatabaseError), ThreadQuarantined, "damaged"),
        (_coded(sqlite3.SQLITE_ERROR), ThreadQuarantined, "damaged"),
        (ValueError("a fault of theirs"), ValueError, "theirs"),
    ],
)
def test_what_a_saver_raises_is_ours(error: Exception, expected: type[Exception], advice: str, tmp_path: Path) -> None:
    saver = Failing()
    saver.error = error
    with pytest.raises(expected, match=advice):
        say(open_store(tmp_path, saver), "a", "one")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreFailed, match="choose a folder"):
        open_store(tmp_path / "file")
    store = open_store(tmp_path / "store")
    (tmp_path / "store" / "threads" / "a").write_text("in the way")
    with pytest.raises(StoreFailed):
        say(store, "a", "one")
    with store.lock("a", NOW), pytest.raises(StoreFailed):
        store.artifacts("a").put("0" * 64, "png", b"x")
