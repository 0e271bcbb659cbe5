"""Threads whose checkpoints go into a saver of the user's own, with the artifacts and locks of another store."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from genllava_agent.stores.base import Artifacts, Store
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import file_name
from genllava_agent.stores.waiting import Waiting


class OwnSaverStore(Store):
    """Threads in `checkpointer`; how durable they are is up to it."""

    def __init__(self, place: Store, checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._place = place
        self._saver = checkpointer

    def names(self) -> list[str]:
        with storing():
            places = [kept.config["configurable"] for kept in self._saver.list(None)]
        return sorted({place["thread_id"] for place in places if not place.get("checkpoint_ns")})

    def exists(self, name: str) -> bool:
        file_name(name)
        with storing():
            return self._saver.get_tuple({"configurable": {"thread_id": name, "checkpoint_ns": ""}}) is not None

    def saver(self, name: str) -> BaseCheckpointSaver[Any]:
        file_name(name)
        return self._saver

    def artifacts(self, name: str) -> Artifacts:
        return self._place.artifacts(name)

    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        return self._place.lock(name, waiting)

    def settle(self, name: str) -> None:
        self._place.settle(name)

    def branch(self, name: str, other: str, named: Collection[tuple[str, str]]) -> None:
        self.refuse_taken(other)
        self._place.branch(name, other, named)

    def delete(self, name: str) -> None:
        file_name(name)
        with storing():
            self._saver.delete_thread(name)
        self._place.delete(name)

    def close(self) -> None:
        self._place.close()
