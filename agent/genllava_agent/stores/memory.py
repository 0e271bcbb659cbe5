"""Threads that are gone with the process: for tests, notebooks and one-off requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver

from genllava.errors import InvalidRequest
from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged, image_bytes, image_from, image_key, latents_bytes, latents_from
from genllava_agent.stores.base import Store, ThreadStore, artifacts_of
from genllava_agent.stores.names import artifact_name, file_name
from genllava_agent.stores.serializer import serializer
from genllava_agent.stores.waiting import Locks, Waiting

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


class MemoryStore(Store):
    """Threads in dictionaries."""

    def __init__(self) -> None:
        self._threads: dict[str, MemoryThread] = {}
        self._locks = Locks()

    def names(self) -> list[str]:
        return sorted(name for name in list(self._threads) if self.exists(name))

    def exists(self, name: str) -> bool:
        file_name(name)
        thread = self._threads.get(name)
        return thread is not None and thread.head() is not None

    def open(self, name: str) -> ThreadStore:
        file_name(name)
        return self._threads.get(name) or self._threads.setdefault(name, MemoryThread())

    def delete(self, name: str) -> None:
        file_name(name)
        self._threads.pop(name, None)

    def turns_of_its_own(self, name: str) -> set[str]:
        thread = self._threads.get(name, MemoryThread())
        others = [other._turns.keys() for other in list(self._threads.values()) if other is not thread]
        return set(thread._turns).difference(*others)

    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        file_name(name)
        return self._locks.of(name).held(waiting)

    def close(self) -> None:
        pass


class MemoryThread(ThreadStore):
    """One of them."""

    saver: InMemorySaver

    def __init__(self) -> None:
        self.saver = InMemorySaver(serde=serializer())
        self._head: Head | None = None
        self._turns: dict[str, Turn] = {}
        self._artifacts: dict[str, Any] = {}

    def head(self) -> Head | None:
        return self._head

    def save_head(self, head: Head) -> None:
        self._head = head
        for turn in list(self.saver.storage):
            if head.waiting is None or head.waiting[0] != turn:
                self.saver.delete_thread(turn)

    def commit(self, turn: Turn, head: Head) -> None:
        self._turns[turn.id] = turn
        self.save_head(head)

    def turn(self, key: str) -> Turn:
        if key not in self._turns:
            raise damaged(f"turn {key}")
        return self._turns[key]

    def put(self, key: str, kind: str, data: bytes) -> None:
        self._artifacts.setdefault(artifact_name(key, kind), data)

    def get(self, key: str, kind: str) -> bytes:
        data = self._kept(key, kind)
        if isinstance(data, bytes):
            return data
        return latents_bytes(data)[1] if kind == "safetensors" else image_bytes(data)

    def put_image(self, image: Image.Image) -> str:  # nothing is written, so nothing needs to be bytes
        key = image_key(image)
        self._artifacts.setdefault(artifact_name(key, "png"), image.copy())
        return key

    def image(self, key: str) -> Image.Image:
        kept = self._kept(key, "png")
        return image_from(key, kept) if isinstance(kept, bytes) else kept.copy()

    def put_jpeg(self, image: Image.Image, data: bytes) -> None:
        """Nothing is made smaller here."""

    def put_latents(self, latents: Tensor) -> str:
        key, _ = latents_bytes(latents)
        self._artifacts[artifact_name(key, "safetensors")] = latents.detach().float().cpu().clone()
        return key

    def latents(self, key: str) -> Tensor:
        kept = self._kept(key, "safetensors")
        return latents_from(key, kept) if isinstance(kept, bytes) else kept.clone()

    def copy_from(self, other: ThreadStore, turns: Sequence[Turn], head: Head) -> None:
        if self._head is not None:
            raise InvalidRequest(f"there is a thread {head.name!r} already")
        assert isinstance(other, MemoryThread), "threads are copied within a store"
        named = dict.fromkeys(named for turn in turns for named in artifacts_of(turn))
        self._artifacts |= {artifact_name(key, kind): other._kept(key, kind) for key, kind in named}
        self._turns |= {turn.id: turn for turn in turns}
        self._head = head

    def _kept(self, key: str, kind: str) -> Any:
        name = artifact_name(key, kind)
        if name not in self._artifacts:
            raise damaged(f"{name} is missing")
        return self._artifacts[name]
