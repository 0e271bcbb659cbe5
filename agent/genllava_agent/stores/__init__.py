"""Where threads are kept: in memory, in a folder, in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genllava_agent.stores.base import Store

MEMORY = ":memory:"


def open_store(place: str | Path | Store | None) -> Store:
    """A store by its place: None is this user's data folder, `:memory:` is gone with the process, `postgresql://...`
    is a database, anything else a folder, which is made if need be.

    Raises:
        StoreFailed: it cannot be reached or written.
    """
    from genllava_agent.errors import StoreFailed
    from genllava_agent.stores.base import Store

    if isinstance(place, Store):
        return place
    if not isinstance(place, (str, Path, type(None))):
        raise StoreFailed(f"{place!r} is no place for threads: give a folder, {MEMORY} or postgresql://...")
    if place == MEMORY:
        from genllava_agent.stores.memory import MemoryStore

        return MemoryStore()
    if isinstance(place, str) and place.startswith(("postgresql://", "postgres://")):
        try:
            from genllava_agent.stores.postgres import PostgresStore
        except ImportError as error:
            raise StoreFailed(
                f"threads in PostgreSQL need more packages ({error}): pip install 'genllava[postgres]'"
            ) from None
        return PostgresStore(place)
    from genllava_agent.stores.folder import FolderStore

    if place is None:
        from platformdirs import user_data_path

        place = user_data_path("genllava", appauthor=False)
    if not str(place).strip() or "://" in str(place):
        raise StoreFailed(f"{str(place)!r} is no place for threads: give a folder, {MEMORY} or postgresql://...")
    try:
        return FolderStore(Path(place).expanduser())
    except RuntimeError as error:  # there is no such user
        raise StoreFailed(f"{str(place)!r} is no place for threads: {error}") from None
