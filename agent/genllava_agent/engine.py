"""The model as the agent has it: loaded when it is first needed, one piece of work at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genllava.errors import Cancelled
from genllava_agent.live import LiveConversations

_CAPTIONS = 1024
"""Captions that are kept."""
_PATIENCE = 0.05
"""Seconds between two looks at whether work that waits for the model is still wanted."""

if TYPE_CHECKING:
    from PIL import Image

    from genllava import GenLlavaPipeline


class Engine:
    """The model that all threads of an agent share.

    Args:
        load: gives the pipeline; called once, when something is first to be done.

    Attributes:
        lock: held while the model works.
        live: conversations between turns.
    """

    def __init__(self, load: Callable[[], GenLlavaPipeline]) -> None:
        self._load = load
        self._pipeline: GenLlavaPipeline | None = None
        self.lock = threading.RLock()
        self.live = LiveConversations()
        self._captions: dict[str, str] = {}

    @property
    def pipeline(self) -> GenLlavaPipeline:
        """The model; whoever only looks at it does not wait for its work."""
        if self._pipeline is None:
            with self.lock:
                if self._pipeline is None:
                    self._pipeline = self._load()
        return self._pipeline

    @property
    def has_stream(self) -> bool:
        """Whether the model has a token stream of its own, with notes and plans, and not only a chat template."""
        return bool(self.pipeline.config["protocol"] == "shapes")

    @property
    def model(self) -> str:
        """What the model is called in the records of its pictures."""
        from genllava import __version__
        from genllava.checkpoints import SHIPPED

        name = str(self.pipeline.config.get("_name_or_path") or "")
        return f"shipped with genllava {__version__}" if name in ("", str(SHIPPED)) else name

    @contextmanager
    def held(self, cancel: Callable[[], bool]) -> Iterator[None]:
        """Have the model to oneself.

        Raises:
            Cancelled: it is no longer wanted.
        """
        while not self.lock.acquire(timeout=_PATIENCE):
            if cancel():
                raise Cancelled("cancelled while the model was busy")
        try:
            yield
        finally:
            self.lock.release()

    def caption(self, key: str, image: Image.Image, cancel: Callable[[], bool]) -> str:
        """What the model sees in a picture by itself; it looks once, while the picture is among the latest.

        Args:
            key: of the picture in a store.
        """
        with self.held(cancel):
            caption = self._captions.pop(key, None)
            if caption is None:
                caption = self.pipeline.conversation().describe(image, cancel)
            self._captions[key] = caption
            while len(self._captions) > _CAPTIONS:
                del self._captions[next(iter(self._captions))]
        return caption

    def __getstate__(self) -> dict[str, Any]:
        """For copying and pickling: how to load the model, without what was worked out."""
        return {"_load": self._load}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_load"])  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> Engine:
        return self  # one model, however often an agent is copied
