"""What files and databases raise, as our own errors."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from genllava_agent.errors import AgentError, StoreFailed
from genllava_agent.stores.artifacts import damaged

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SERVER_FULL: Final = "53100"
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER: Final = (errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
_BROKEN: Final = frozenset(
    (None, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH)
)
"""Statements are always the same, so that one that SQLite does not understand is about tables that are not ours."""


@contextmanager
def storing() -> Iterator[None]:
    """Turn what files and databases raise into our own errors, in what the stores do and in what a graph has its saver
    do; errors of anything else, a tool's for example, pass as they are.

    Raises:
        StoreFailed: no room, no permission, and the like.
        ThreadQuarantined: the database is damaged.
    """
    try:
        yield
    except Exception as error:
        if not _of_a_store(error):
            raise
        meant = _meant(error)
        if meant is None:
            raise
        raise meant from error


def _of_a_store(error: Exception) -> bool:
    """Whether it was raised in what a store or a saver does."""
    from langgraph.checkpoint.base import BaseCheckpointSaver

    place = error.__traceback__
    while place is not None:
        frame = place.tb_frame
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and module.startswith(__package__):
            return True
        if isinstance(frame.f_locals.get("self"), BaseCheckpointSaver):
            return True
        place = place.tb_next
    return False


def _meant(error: Exception) -> AgentError | None:
    """What it means for us; None if it is no fault of a store."""
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return StoreFailed(_said(f"{error.strerror or error}{where}", _advice(error.errno)))
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if isinstance(error, sqlite3.ProgrammingError):  # closed by somebody else in the middle
            return StoreFailed(_said(str(error), "try again"))
        if primary in _BROKEN or not isinstance(error, sqlite3.OperationalError):
            return damaged(str(error))
        return StoreFailed(_said(str(error), _sqlite_advice(primary)))
    if isinstance(error, (UnicodeDecodeError, json.JSONDecodeError)):  # of what SQLite found, or says that it found
        return damaged(str(error))
    if type(error).__module__.partition(".")[0] in ("psycopg", "psycopg_pool"):
        reason = " ".join(str(error).split()) or type(error).__name__
        state = str(getattr(error, "sqlstate", None) or "")
        if state.startswith("XX"):  # data_corrupted, index_corrupted
            return damaged(reason)
        if state == _SERVER_FULL:
            return StoreFailed(_said(reason, "make room on the disk of the database server, and ask again"))
        return StoreFailed(_said(reason, "see that the database server runs and has room, and ask again"))
    return None


def _said(what: str, advice: str) -> str:
    return f"cannot use the store: {what}. Nothing that was stored is lost: {advice}"


def _advice(number: int | None) -> str:
    if number in _FULL:
        return "make room on the disk, and ask again"
    if number in _FORBIDDEN:
        return "give this user the right to write in the store's folder, or choose another folder"
    if number in _NO_FOLDER:
        return "choose a folder for the store"
    return "see to it, and ask again"


def _sqlite_advice(code: int | None) -> str:
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return "make room on the disk, and ask again"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _advice(errno.EACCES)
    return "try again"
