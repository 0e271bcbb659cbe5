"""Threads that are gone with the process: for tests, notebooks and one-off requests."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager

from langgraph.checkpoint.memory import InMemorySaver

from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import Artifacts, Store
from genllava_agent.stores.names import artifact_name, file_name
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting import Locks, Waiting


class MemoryStore(Store):
    """Threads in dictionaries."""

    def __init__(self) -> None:
        self._saver = InMemorySaver(serde=serializer())
        self._artifacts: dict[str, MemoryArtifacts] = {}
        self._locks = Locks()

    def names(self) -> list[str]:
        return sorted(name for name, spaces in list(self._saver.storage.items()) if spaces.get(""))

    def exists(self, name: str) -> bool:
        file_name(name)
        return bool(self._saver.storage.get(name, {}).get(""))

    def saver(self, name: str) -> InMemorySaver:
        file_name(name)
        return self._saver

    def artifacts(self, name: str) -> Artifacts:
        file_name(name)
        return self._artifacts.get(name) or self._artifacts.setdefault(name, MemoryArtifacts())

    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        file_name(name)
        return self._locks.of(name).held(waiting)

    def settle(self, name: str) -> None:
        """Nothing outlives the process."""

    def branch(self, name: str, other: str, named: Collection[tuple[str, str]]) -> None:
        self.refuse_taken(other)
        source, copy = self.artifacts(name), MemoryArtifacts()
        for key, kind in named:
            copy.put(key, kind, source.get(key, kind))
        self._artifacts[other] = copy

    def delete(self, name: str) -> None:
        file_name(name)
        self._saver.delete_thread(name)
        self._artifacts.pop(name, None)

    def close(self) -> None:
        pass


class MemoryArtifacts(Artifacts):
    """Artifacts in a dictionary."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, key: str, kind: str, data: bytes) -> None:
        self._data[artifact_name(key, kind)] = data

    def get(self, key: str, kind: str) -> bytes:
        name = artifact_name(key, kind)
        if name not in self._data:
            raise damaged(f"{name} is missing")
        return self._data[name]

    def has(self, key: str, kind: str) -> bool:
        return artifact_name(key, kind) in self._data
