"""The threads of one person among those of all: listed, begun, found, renamed, deleted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from genllava_agent.errors import AgentError, ThreadNotFound
from genllava_agent.threads import new_name
from genllava_agent.web.titles import LONGEST, Titles

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.threads import Thread

SHOWN: Final = 100
"""Threads in a list: the latest ones."""
_UNTITLED: Final = "New thread"
_KEPT: Final = 1000
"""First words of threads that are kept."""


class OwnThreads:
    """Threads by their owner. A thread that a browser names is looked for among its owner's, and never made from it.

    Args:
        shared: everybody sees all threads of the store.
    """

    def __init__(self, agent: VisualAgent, titles: Titles, shared: bool = False) -> None:
        self._agent, self._titles, self._shared = agent, titles, shared
        self._first: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def new(self, owner: str) -> Thread:
        """A thread that nothing was said on yet."""
        return self._agent.thread(f"{_prefix(owner)}{new_name()}")

    def get(self, owner: str, name: str | None) -> Thread:
        """A thread of this person by name; a new one where they named none.

        Raises:
            ThreadNotFound: they have no such thread.
        """
        if not name:
            return self.new(owner)
        known = next((each for each in self._names(owner) if each == name), None)
        if known is None:
            raise ThreadNotFound("this thread is not there any more: choose another one, or begin a new one")
        return self._agent.thread(known)

    def listed(self, owner: str) -> list[tuple[str, str]]:
        """Title and name of each thread of this person, the latest first."""
        return [(self.title(name), name) for name in self._names(owner)[:SHOWN]]

    def title(self, name: str) -> str:
        """What a thread is called: as its owner says, or by its first words."""
        return self._titles.get(name) or self._first_words(name) or _UNTITLED

    def rename(self, owner: str, name: str, title: str) -> None:
        """Call a thread of this person something.

        Raises:
            ThreadNotFound, InvalidRequest, StoreFailed.
        """
        self._titles.set(self.get(owner, name).name, title)

    def delete(self, owner: str, name: str) -> None:
        """Forget a thread of this person, and its pictures.

        Raises:
            ThreadNotFound, StoreFailed.
        """
        thread = self.get(owner, name)
        thread.delete()
        self._titles.forget(thread.name)
        with self._lock:
            self._first.pop(thread.name, None)

    def branch(self, owner: str, thread: Thread) -> Thread:
        """Another thread of this person that goes on from here."""
        other = thread.branch(self.new(owner).name)
        self._titles.set(other.name, f"{self.title(thread.name)[: LONGEST - 9]} (branch)")
        return other

    def _names(self, owner: str) -> list[str]:
        names = [each for each in self._agent.threads() if self._shared or each.startswith(_prefix(owner))]
        return names[::-1]

    def _first_words(self, name: str) -> str:
        with self._lock:
            if name in self._first:
                return self._first[name]
        thread = self._agent.thread(name)
        try:
            history, unfinished = thread.history(), thread.unfinished
        except AgentError:  # damaged, or just deleted elsewhere; the list is shown all the same
            return "(cannot be read)"
        said = history[0].request.text if history else unfinished.request.text if unfinished else ""
        words = " ".join(said.split())
        words = words if len(words) <= LONGEST // 2 else f"{words[: LONGEST // 2]}…"
        if history:
            with self._lock:
                self._first[name] = words
                while len(self._first) > _KEPT:
                    self._first.popitem(last=False)
        return words


def _prefix(owner: str) -> str:
    return f"web-{owner}-"
