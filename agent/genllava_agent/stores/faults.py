"""What files and databases raise, as our own errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from genllava_agent.errors import StoreFailed, ThreadQuarantined
from genllava_agent.stores.artifacts import damaged


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
        raise StoreFailed(f"cannot write the store: {error.strerror or error}. Nothing stored is lost") from error
    except sqlite3.OperationalError as error:
        raise StoreFailed(f"cannot use the store: {error}. Nothing stored is lost") from error
    except sqlite3.DatabaseError as error:
        raise damaged(str(error)) from error
    except ValidationError as error:
        raise ThreadQuarantined(
            f"what is stored of this thread was written by another version, or is damaged: {error.error_count()} errors"
        ) from error
