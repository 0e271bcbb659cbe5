"""Where threads are kept: in memory, in a folder, in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from genllava_agent.stores.base import Store

MEMORY = ":memory:"


def open_store(place: str | Path | Store | None, checkpointer: BaseCheckpointSaver[Any] | None = None) -> Store:
    """A store by its place: None is this user's data folder, `:memory:` is gone with the process, `postgresql://...`
    is a database, anything else a folder, which is made if need be.

    Args:
        checkpointer: keeps the checkpoints of all threads instead; at the place are pictures, latents and locks.

    Raises:
        StoreFailed: it cannot be reached or written.
    """
    if checkpointer is None:
        return _opened(place)
    from genllava_agent.stores.own_saver import OwnSaverStore

    return OwnSaverStore(_opened(place, sweep=False), checkpointer)


def _opened(place: str | Path | Store | None, sweep: bool = True) -> Store:
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
        return FolderStore(Path(place).expanduser(), sweep=sweep)
    except RuntimeError as error:  # there is no such user
        raise StoreFailed(f"{str(place)!r} is no place for threads: {error}") from None
