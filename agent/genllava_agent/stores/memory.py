"""Threads that are gone with the process: for tests, notebooks and one-off requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.memory import InMemorySaver

from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged, image_bytes, image_from, image_key, latents_bytes, latents_from
from genllava_agent.stores.base import Store, ThreadStore, artifacts_of
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
        return name in self._threads and self._threads[name].head() is not None

    def open(self, name: str) -> ThreadStore:
        return self._threads.setdefault(name, MemoryThread())

    def delete(self, name: str) -> None:
        self._threads.pop(name, None)

    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        return self._locks.of(name).held(waiting)

    def close(self) -> None:
        pass


class MemoryThread(ThreadStore):
    """One of them."""

    def __init__(self) -> None:
        self.saver = InMemorySaver(serde=serializer())
        self._head: Head | None = None
        self._turns: dict[str, Turn] = {}
        self._artifacts: dict[str, Any] = {}

    def head(self) -> Head | None:
        return self._head

    def save_head(self, head: Head) -> None:
        self._head = head

    def commit(self, turn: Turn, head: Head) -> None:
        self._turns[turn.id] = turn
        self._head = head

    def turn(self, key: str) -> Turn:
        if key not in self._turns:
            raise damaged(f"turn {key}")
        return self._turns[key]

    def put(self, key: str, kind: str, data: bytes) -> None:
        self._artifacts.setdefault(f"{key}.{kind}", data)

    def get(self, key: str, kind: str) -> bytes:
        data = self._kept(key, kind)
        if isinstance(data, bytes):
            return data
        return latents_bytes(data)[1] if kind == "safetensors" else image_bytes(data)

    def put_image(self, image: Image.Image) -> str:  # nothing is written, so nothing needs to be bytes
        key = image_key(image)
        self._artifacts.setdefault(f"{key}.png", image.copy())
        return key

    def image(self, key: str) -> Image.Image:
        kept = self._kept(key, "png")
        return image_from(key, kept) if isinstance(kept, bytes) else kept.copy()

    def put_latents(self, latents: Tensor) -> str:
        key, _ = latents_bytes(latents)
        self._artifacts[f"{key}.safetensors"] = latents
        return key

    def latents(self, key: str) -> Tensor:
        kept = self._kept(key, "safetensors")
        return latents_from(key, kept) if isinstance(kept, bytes) else kept

    def copy_from(self, other: ThreadStore, turns: Sequence[Turn], head: Head) -> None:
        if not isinstance(other, MemoryThread):
            super().copy_from(other, turns, head)
            return
        self._turns = {turn.id: turn for turn in turns}
        named = [f"{key}.{kind}" for turn in turns for key, kind in artifacts_of(turn)]
        self._artifacts = {name: other._artifacts[name] for name in named}
        self._head = head

    def _kept(self, key: str, kind: str) -> Any:
        if f"{key}.{kind}" not in self._artifacts:
            raise damaged(f"{key}.{kind}")
        return self._artifacts[f"{key}.{kind}"]
