"""Which thread of the agent a chat is said on."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from genllava_agent.errors import ThreadNotFound

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.threads import Thread


class ApiThreads:
    """The threads of an agent that clients name; whatever a client says, the name in the store is a hash.

    Args:
        agent: whose threads they are.
        limits: of each turn on them.
        most: threads of a store in memory; the one that was used least lately goes first. None: those of a store on
            disk, which stay.

    Attributes:
        limits: see above.
    """

    def __init__(self, agent: VisualAgent, limits: Mapping[str, float], most: int | None) -> None:
        self._agent, self.limits, self._most = agent, dict(limits), most
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    async def get(self, sender: str, name: str) -> Thread:
        """The thread that this sender calls so; those of others with the same name are others."""
        own = f"api-{hashlib.sha256(f'{sender}/{name}'.encode()).hexdigest()}"
        if self._most is not None:
            for old in self._too_many(own, self._most):
                await asyncio.to_thread(self._forget, old)
        return self._agent.thread(own)

    def _too_many(self, used: str, most: int) -> list[str]:
        with self._lock:
            self._used[used] = None
            self._used.move_to_end(used)
            return [self._used.popitem(last=False)[0] for _ in range(len(self._used) - most)]

    def _forget(self, name: str) -> None:
        try:
            self._agent.thread(name).delete()
        except ThreadNotFound:  # nothing came of its first request
            return
