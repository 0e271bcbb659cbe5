"""What every store can do. A store keeps threads; a thread has checkpoints of its graph, and artifacts of its own.

Checkpoints are LangGraph's, written by one of its savers. Artifacts (pictures, latents) are named by what they hold,
are written before any checkpoint names them, and never changed. They belong to one thread, so that knowing the name of
one gives no way into another, and a thread takes what is its own with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest
from genllava_agent.records import ImageRecord
from genllava_agent.stores.artifacts import (
    image_bytes,
    image_from,
    image_key,
    jpeg_bytes,
    jpeg_from,
    latents_bytes,
    latents_from,
)
from genllava_tools.picture_files import on_white

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from PIL import Image
    from torch import Tensor

    from genllava_agent.stores.version_0_1 import OldThread
    from genllava_agent.stores.waiting import Waiting


class Store(ABC):
    """Threads by name. All but looking needs the thread's lock."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all threads, sorted."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is such a thread: it has a checkpoint, or was written by an earlier version."""

    @abstractmethod
    def saver(self, name: str) -> BaseCheckpointSaver[Any]:
        """The saver of a thread's checkpoints: in it the thread's name is the `thread_id`, and `checkpoint_ns` is
        empty. One to write with is had by whoever holds the lock, in the thread of execution that took it.

        The thread comes into being with the first checkpoint that is put.
        """

    @abstractmethod
    def artifacts(self, name: str) -> Artifacts:
        """A thread's pictures and latents."""

    @abstractmethod
    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        """Nobody else writes this thread meanwhile, here or in another process.

        Raises:
            ThreadBusy: it took longer than `waiting` allows.
        """

    @abstractmethod
    def settle(self, name: str) -> None:
        """What was written of a thread outlives a power cut from here on: the end of a turn."""

    @abstractmethod
    def branch(self, name: str, other: str, named: Collection[tuple[str, str]]) -> None:
        """Give a new thread `other` these artifacts (key, kind) of the thread `name`, all of them or none; the caller
        holds both locks, puts its checkpoints afterwards, and settles it.

        Raises:
            InvalidRequest: there is a thread `other`.
            ThreadQuarantined: an artifact is missing.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Forget a thread and everything that only it has."""

    @abstractmethod
    def close(self) -> None:
        """Give connections back. The store can be used again."""

    def old(self, name: str) -> OldThread | None:
        """A thread that version 0.1 wrote, and that was not brought over yet.

        Raises:
            ThreadQuarantined: it is damaged.
        """
        return None

    def refuse_taken(self, name: str) -> None:
        """Raises:
        InvalidRequest: there is a thread of this name.
        """
        if self.exists(name):
            raise InvalidRequest(f"there is a thread {name!r} already: choose another name, or delete it")


class Artifacts(ABC):
    """What a thread has besides its checkpoints. Putting needs the thread's lock."""

    @abstractmethod
    def put(self, key: str, kind: str, data: bytes) -> None:
        """Keep an artifact; durable when it returns. What is kept already is healed if it was damaged."""

    @abstractmethod
    def get(self, key: str, kind: str) -> bytes:
        """An artifact as it was put.

        Raises:
            ThreadQuarantined: it is missing.
        """

    @abstractmethod
    def has(self, key: str, kind: str) -> bool:
        """Whether there is such an artifact."""

    def put_image(self, image: Image.Image) -> str:
        """Keep a picture (RGB, RGBA, or a mask, L); returns its key."""
        key = image_key(image)
        self.put(key, "png", image_bytes(image))
        return key

    def put_jpeg(self, image: Image.Image, data: bytes) -> str | None:
        """Keep a picture as the JPEG `data` that it came as, without metadata; returns the key of that, and None where
        nothing is kept because it would not be the same picture or not be smaller."""
        kept = jpeg_bytes(image, data)
        if kept is None:
            return None
        self.put(kept[0], "jpg", kept[1])
        return kept[0]

    def picture(self, record: ImageRecord) -> Image.Image:
        """The kept picture that a record is about, RGB: white where it is transparent. Errors as for `image`."""
        return on_white(self.layer(record))

    def layer(self, record: ImageRecord) -> Image.Image:
        """The same, as RGBA where it has transparency."""
        if record.jpeg is None:
            return self.image(record.key)
        return jpeg_from(record.jpeg, self.get(record.jpeg, "jpg"))

    def image(self, key: str) -> Image.Image:
        """A kept picture, pixel for pixel.

        Raises:
            ThreadQuarantined: it is missing or damaged.
        """
        return image_from(key, self.get(key, "png"))

    def put_latents(self, latents: Tensor) -> str:
        """Keep latents [C, h, w]; returns their key."""
        key, data = latents_bytes(latents)
        self.put(key, "safetensors", data)
        return key

    def latents(self, key: str) -> Tensor:
        """Kept latents [C, h, w], float32.

        Raises:
            ThreadQuarantined: they are missing or damaged.
        """
        return latents_from(key, self.get(key, "safetensors"))
