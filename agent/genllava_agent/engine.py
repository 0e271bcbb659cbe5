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
    from genllava_agent.deciders import Decider
    from genllava_agent.session import Session


class Engine:
    """What all threads of an agent share.

    Args:
        load: gives the pipeline; called once, when something is first to be done.
        decider: chooses what is done; by default the model itself, by its task tokens.
        tools: more things that can be done, by name.

    Attributes:
        lock: held while the model works.
        live: conversations between turns.
        sessions: of the turns that are running, by the turn's id.
    """

    def __init__(
        self,
        load: Callable[[], GenLlavaPipeline],
        decider: Decider | None = None,
        tools: dict[str, Any] | None = None,
    ) -> None:
        self._load = load
        self._pipeline: GenLlavaPipeline | None = None
        self._decider = decider
        self.tools = tools or {}
        self.lock = threading.RLock()
        self.live = LiveConversations()
        self.sessions: dict[str, Session] = {}
        self._captions: dict[str, str] = {}

    @property
    def pipeline(self) -> GenLlavaPipeline:
        """The model."""
        with self.lock:
            if self._pipeline is None:
                self._pipeline = self._load()
            return self._pipeline

    @property
    def decider(self) -> Decider:
        """Who chooses what is done."""
        with self.lock:
            if self._decider is None:
                from genllava_agent.deciders import default_decider
                from genllava_agent.workers import check_tools

                if self.tools:
                    check_tools(self.pipeline)
                self._decider = default_decider(self.pipeline)
            return self._decider

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
