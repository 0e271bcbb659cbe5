"""What every store can do. A store keeps threads; a thread has a head, a tree of turns, and artifacts of its own.

Artifacts are named by what they hold, are written before anything names them and never changed. They belong to one
thread, so that knowing the name of one gives no way into another, and a thread takes what is its own with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from genllava_agent.history import History
from genllava_agent.records import Head, ImageRecord, Turn
from genllava_agent.stores.artifacts import damaged

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from PIL import Image
    from torch import Tensor

    from genllava_agent.stores.waiting import Waiting

_NOTHING: Final = History()


class Store(ABC):
    """Threads by name."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all threads, sorted."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is such a thread."""

    @abstractmethod
    def open(self, name: str) -> ThreadStore:
        """What is kept of a thread; it comes into being with the first thing that is written."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Forget a thread and everything that only it has. The caller holds its lock."""

    @abstractmethod
    def turns_of_its_own(self, name: str) -> set[str]:
        """The ids of all turns that a thread has and no other, those that no way leads back to included."""

    @abstractmethod
    def lock(self, name: str, waiting: Waiting) -> AbstractContextManager[None]:
        """Nobody else runs a turn of this thread meanwhile, here or in another process.

        Raises:
            ThreadBusy: it took longer than `waiting` allows.
        """

    @abstractmethod
    def close(self) -> None:
        """Give connections back."""


class ThreadStore(ABC):
    """One thread. All but reading needs its lock.

    Attributes:
        saver: keeps the state of a turn that waits for an answer; see `waiting_state`.
    """

    saver: BaseCheckpointSaver[Any]

    @abstractmethod
    def head(self) -> Head | None:
        """Where the thread is; None if it does not exist yet."""

    @abstractmethod
    def save_head(self, head: Head) -> None:
        """Move the thread, and forget the state of any turn but the one that waits; durable when it returns."""

    @abstractmethod
    def commit(self, turn: Turn, head: Head) -> None:
        """Keep a turn and do what `save_head` does, all of it or nothing; durable when it returns."""

    @abstractmethod
    def turn(self, key: str) -> Turn:
        """A kept turn.

        Raises:
            ThreadQuarantined: it is missing or damaged.
        """

    @abstractmethod
    def put(self, key: str, kind: str, data: bytes) -> None:
        """Keep an artifact; durable when it returns. Nothing happens if it is kept already."""

    @abstractmethod
    def get(self, key: str, kind: str) -> bytes:
        """An artifact as it was put.

        Raises:
            ThreadQuarantined: it is missing.
        """

    def put_image(self, image: Image.Image) -> str:
        """Keep a picture (RGB or a mask, L); returns its key."""
        from genllava_agent.stores.artifacts import image_bytes, image_key

        key = image_key(image)
        self.put(key, "png", image_bytes(image))
        return key

    def put_jpeg(self, image: Image.Image, data: bytes) -> str | None:
        """Keep a picture as the JPEG `data` that it came as, without metadata; returns the key of that, and None where
        nothing is kept because it would not be the same picture or not be smaller."""
        from genllava_agent.stores.artifacts import jpeg_bytes

        kept = jpeg_bytes(image, data)
        if kept is None:
            return None
        self.put(kept[0], "jpg", kept[1])
        return kept[0]

    def picture(self, record: ImageRecord) -> Image.Image:
        """The kept picture that a record is about, RGB. Errors as for `image`."""
        from genllava_agent.stores.artifacts import jpeg_from

        if record.jpeg is None:
            return self.image(record.key)
        return jpeg_from(record.jpeg, self.get(record.jpeg, "jpg"))

    def image(self, key: str) -> Image.Image:
        """A kept picture, pixel for pixel.

        Raises:
            ThreadQuarantined: it is missing or damaged.
        """
        from genllava_agent.stores.artifacts import image_from

        return image_from(key, self.get(key, "png"))

    def put_latents(self, latents: Tensor) -> str:
        """Keep latents [C, h, w]; returns their key."""
        from genllava_agent.stores.artifacts import latents_bytes

        key, data = latents_bytes(latents)
        self.put(key, "safetensors", data)
        return key

    def latents(self, key: str) -> Tensor:
        """Kept latents [C, h, w], float32.

        Raises:
            ThreadQuarantined: they are missing or damaged.
        """
        from genllava_agent.stores.artifacts import latents_from

        return latents_from(key, self.get(key, "safetensors"))

    def history(self, last: str | None, known: History = _NOTHING) -> History:
        """The turns up to `last`; those in `known` are not read again."""
        if last == (known[-1].id if known else None):
            return known
        at = {turn.id: place for place, turn in enumerate(known)}
        new: list[Turn] = []
        passed: set[str] = set()
        while last is not None and last not in at:
            if last in passed:
                raise damaged("its history runs in a circle")
            passed.add(last)
            new.append(self.turn(last))
            last = new[-1].parent
        kept = () if last is None else known[: at[last] + 1]
        return History((*kept, *reversed(new)))

    @abstractmethod
    def copy_from(self, other: ThreadStore, turns: Sequence[Turn], head: Head) -> None:
        """Become a thread with these turns of another one of the same store, and with the artifacts that they name;
        all of it or nothing. There is no thread here yet."""


def artifacts_of(turn: Turn) -> list[tuple[str, str]]:
    """(key, kind) of every artifact that a turn names."""
    named = [(record.key, "png") if record.jpeg is None else (record.jpeg, "jpg") for record in turn.images]
    named += [(record.latents, "safetensors") for record in turn.images if record.latents is not None]
    named += [(tried.key, "png") for step in turn.steps for tried in step.tried]
    region = turn.request.region
    return named + ([(region.mask, "png")] if region is not None and region.mask is not None else [])
