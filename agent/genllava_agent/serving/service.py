"""What the routes of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from genllava.errors import Cancelled
from genllava_agent.interop.chat_model import ChatGenLlava
from genllava_agent.serving.batching import Batcher
from genllava_agent.serving.errors import ApiError
from genllava_agent.serving.kept_pictures import KeptPictures
from genllava_agent.serving.metrics import Metrics
from genllava_agent.serving.settings import ServerSettings
from genllava_agent.serving.threads import ApiThreads
from genllava_agent.stores.memory import MemoryStore

if TYPE_CHECKING:
    from starlette.requests import Request

    from genllava_agent.agent import VisualAgent

T = TypeVar("T")
_POLL: Final = 0.1
"""Seconds between two looks at whether a client is still there."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A server's parts.

    Attributes:
        settings: its limits.
        chat_model: the agent, for chats of which nothing is kept.
        threads: those of which something is.
        batcher: draws.
        kept: pictures that were made lately.
        metrics: for Prometheus.
        keeps_flat: whether an edit leaves alone what it was not told to change, see `regions.put_back`.
    """

    settings: ServerSettings
    chat_model: ChatGenLlava
    threads: ApiThreads
    batcher: Batcher
    kept: KeptPictures
    metrics: Metrics
    keeps_flat: bool

    @classmethod
    def of(cls, agent: VisualAgent, settings: ServerSettings, metrics: Metrics) -> Service:
        """The parts of a server for this agent; loads the model."""
        limits = {"tokens": settings.tokens, "seconds": settings.seconds, "images": settings.pictures}
        chat_model: Any = agent.chat_model(limits=limits)
        return cls(
            settings=settings,
            chat_model=chat_model,
            threads=ApiThreads(agent, limits, settings.threads if isinstance(agent.store, MemoryStore) else None),
            batcher=Batcher(agent.engine, settings.batch, metrics),
            kept=KeptPictures(settings.public_url, settings.kept_bytes),
            metrics=metrics,
            keeps_flat=agent.engine.has_stream,
        )

    def check_model(self, named: str) -> None:
        """See that the model that a client names is the one that is here.

        Raises:
            ApiError: it is not.
        """
        if named != self.settings.model:
            said = f"there is no such model here: the one that is served is {self.settings.model}"
            raise ApiError(404, said, "model_not_found", param="model")


async def while_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What work gives; where its client goes away, the work is stopped.

    Raises:
        Cancelled: the client is gone.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_POLL)
            if not task.done() and await request.is_disconnected():
                raise Cancelled("the client is gone")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
