"""Children that end themselves at a named point: where a file or a database is about to be changed, or just was.

The points are made by wrapping what the product calls (os, sqlite3, files), in the child and nowhere else.
"""

from __future__ import annotations

import io
import os
import pathlib
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.pregel import _runner

Reached = Callable[[str], None]
"""Told the name of a point when it is reached."""


class Recorder:
    """Writes down the names of the points."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, name: str) -> None:
        self.names.append(name)


class Killer:
    """Ends the process at point number `at`, as kill -9 does."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, name: str) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


class Breaker:
    """Raises what `error` makes at point number `at`, before anything is changed there."""

    def __init__(self, at: int, error: Callable[[str], Exception]) -> None:
        self._left = at
        self._error = error
        self.name = ""

    def __call__(self, name: str) -> None:
        if name.startswith("after "):
            return
        if self._left == 0:
            self.name = name
            self._left -= 1
            raise self._error(name)
        self._left -= 1


@contextmanager
def points(reached: Reached) -> Iterator[None]:
    """Tell `reached` before and after every change of a file or a database."""

    def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            reached(f"before {name}")
            result = call(*args, **kwargs)
            reached(f"after {name}")
            return result

        return wrapped

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
            return around(f"sqlite {_short(sql)}", super().execute)(sql, *args)

        def executemany(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
            return around(f"sqlite {_short(sql)}", super().executemany)(sql, *args)

        def executescript(self, sql: str) -> Any:  # type: ignore[override]
            return around(f"sqlite {_short(sql)}", super().executescript)(sql)

        def cursor(self, *args: Any) -> Any:
            return super().cursor(Cursor)

        def commit(self) -> None:
            around("sqlite commit", super().commit)()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
            return around(f"sqlite {_short(sql)}", super().execute)(sql, *args)

        def executemany(self, sql: str, *args: Any) -> Any:  # type: ignore[override]
            return around(f"sqlite {_short(sql)}", super().executemany)(sql, *args)

    connect, opened = sqlite3.connect, pathlib.Path.open

    def connected(*args: Any, **kwargs: Any) -> Any:
        return around("sqlite connect", connect)(*args, **kwargs, factory=Connection)

    def open_path(self: pathlib.Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wxa"):
            return opened(self, mode, *args, **kwargs)
        return Written(around("open", opened)(self, mode, *args, **kwargs))

    class Written(io.RawIOBase):
        """A file whose writes are points, in two halves."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: Any) -> int:
            middle = len(data) // 2
            for name, part in (("write", data[:middle]), ("second half", data[middle:])):
                reached(f"before {name}")
                self._file.write(part)
                self._file.flush()
                reached(f"after {name}")
            return len(data)

        def fileno(self) -> int:
            return self._file.fileno()  # type: ignore[no-any-return]

        def flush(self) -> None:
            if not self._file.closed:
                self._file.flush()

        def close(self) -> None:
            self._file.close()

    calls = ("fsync", "replace", "link", "mkdir", "rename", "unlink", "rmdir")
    patches: list[Any] = [patch.object(os, name, around(name, getattr(os, name))) for name in calls]
    patches += [patch.object(sqlite3, "connect", connected), patch.object(pathlib.Path, "open", open_path)]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


@contextmanager
def steps(reached: Reached) -> Iterator[None]:
    """Tell `reached` before and after every node of a graph, and whenever its saver is given something."""
    run, put, put_writes = _runner.run_with_retry, SqliteSaver.put, SqliteSaver.put_writes

    def run_node(task: Any, *args: Any, **kwargs: Any) -> Any:
        reached(f"before the node {task.name}")
        result = run(task, *args, **kwargs)
        reached(f"after the node {task.name}")
        return result

    def put_all(saver: Any, *args: Any, **kwargs: Any) -> Any:
        reached("before a checkpoint")
        result = put(saver, *args, **kwargs)
        reached("after a checkpoint")
        return result

    def put_some(saver: Any, *args: Any, **kwargs: Any) -> None:
        reached("before writes")
        put_writes(saver, *args, **kwargs)
        reached("after writes")

    with (
        patch.object(_runner, "run_with_retry", run_node),
        patch.object(SqliteSaver, "put", put_all),
        patch.object(SqliteSaver, "put_writes", put_some),
    ):
        yield


def in_child(work: Callable[[], object], seconds: int = 60) -> int | None:
    """Do `work` in a child of this process; the number of the signal that ended it, None if it came to its end.

    Raises:
        AssertionError: it raised, or took too long.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(seconds)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0, "the child raised"
    return None


def _short(sql: str) -> str:
    return " ".join(sql.split()[:4])
