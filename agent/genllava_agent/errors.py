"""What the agent raises on purpose; all of it is a `GenLlavaError`, and every message says what to do."""

from __future__ import annotations

from collections.abc import Iterable

from genllava.errors import GenLlavaError


class AgentError(GenLlavaError):
    """Base of the agent's errors.

        AgentError
        ├── ThreadNotFound     no such thread
        ├── ThreadBusy         another turn is running on the thread
        ├── ThreadQuarantined  what is stored of the thread is damaged; other threads go on
        ├── UnknownImage       the thread has no picture of that name
        ├── AnswerPending      the thread waits for an answer
        ├── InvalidAnswer      the answer does not fit what was asked
        ├── NothingPending     there is nothing to answer or to resume
        ├── PlannerFailed      the chat model that plans does not say anything that can be done
        ├── NothingToUndo      there is no turn to take back, or to bring back
        ├── ToolLeftBehind     a tool took longer than it may
        └── StoreFailed        the store could not be read or written: disk full, no permission, server gone
    """


class ThreadNotFound(AgentError):
    """No such thread."""


class ThreadBusy(AgentError):
    """Another turn is running on this thread."""


class ThreadQuarantined(AgentError):
    """What is stored of a thread is damaged. It is left as it is, and other threads go on."""


class UnknownImage(AgentError, KeyError):
    """The thread has no picture of that name."""

    @classmethod
    def among(cls, name: object, known: Iterable[str]) -> UnknownImage:
        """There is no picture `name`; the message says which are known."""
        return cls(f"there is no picture {name!r} in this thread: {', '.join(known) or 'none so far'}")

    def __str__(self) -> str:  # a KeyError would quote it
        return str(self.args[0])


class AnswerPending(AgentError):
    """The thread waits for an answer, so that it cannot take another request."""


class InvalidAnswer(AgentError):
    """An answer that does not fit what was asked. The question stays open."""


class NothingPending(AgentError):
    """There is no question to answer, and no turn to resume."""


class NothingToUndo(AgentError):
    """There is no turn to take back, or none to bring back."""


class PlannerFailed(AgentError):
    """The chat model that plans called what cannot be called, and did so again after it was told."""


class ToolLeftBehind(AgentError):
    """A tool took longer than it may. It may still be at work; what comes of it is not waited for and not kept."""


class StoreFailed(AgentError):
    """The store could not be read or written; what was stored before is as it was."""


def is_transient(fault: BaseException) -> bool:
    """Whether the same may work in a moment: a server that is too busy, or did not answer in time."""
    status = getattr(fault, "status_code", getattr(getattr(fault, "response", None), "status_code", None))
    if isinstance(status, int):
        return status in (408, 409, 429) or status >= 500
    return isinstance(fault, (TimeoutError, ConnectionError)) and not isinstance(fault, StoreFailed)
