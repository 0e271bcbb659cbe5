"""What files and databases raise, as our own errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import ValidationError

from genllava_agent.errors import StoreFailed, ThreadQuarantined
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
    """Turn what files and SQLite raise into our own errors.

    Raises:
        StoreFailed: no room, no permission, and the like.
        ThreadQuarantined: the database is damaged.
    """
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StoreFailed(_said(f"{error.strerror or error}{where}", _advice(error.errno))) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if isinstance(error, sqlite3.ProgrammingError):  # closed by somebody else in the middle
            raise StoreFailed(_said(str(error), "try again")) from error
        if primary in _BROKEN or not isinstance(error, sqlite3.OperationalError):
            raise damaged(str(error)) from error
        raise StoreFailed(_said(str(error), _sqlite_advice(primary))) from error
    except UnicodeDecodeError as error:  # of what SQLite says about a database in which it found damage
        raise damaged(str(error)) from error
    except ValidationError as error:  # of a record
        raise ThreadQuarantined(
            f"what is stored of this thread was written by another version, or is damaged ({error.error_count()} "
            "errors): use the version that wrote it, restore it from a backup, or delete the thread"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("psycopg", "psycopg_pool"):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        state = str(getattr(error, "sqlstate", None) or "")
        if state.startswith("XX"):  # data_corrupted, index_corrupted
            raise damaged(reason) from error
        if state == _SERVER_FULL:
            raise StoreFailed(_said(reason, "make room on the disk of the database server, and ask again")) from error
        raise StoreFailed(_said(reason, "see that the database server runs and has room, and ask again")) from error


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
