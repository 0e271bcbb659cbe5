"""An assistant that sees, draws and edits: threads, undo, approval, streaming, on one LangGraph state machine.

Importing this loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genllava_agent import errors, events
    from genllava_agent.agent import VisualAgent
    from genllava_agent.create import create_genllava_agent
    from genllava_agent.errors import AgentError
    from genllava_agent.records import ImageRecord, Question, Step, Turn
    from genllava_agent.reply import Reply
    from genllava_agent.settings import Limits
    from genllava_agent.threads import Thread

__all__ = [
    "AgentError",
    "ImageRecord",
    "Limits",
    "Question",
    "Reply",
    "Step",
    "Thread",
    "Turn",
    "VisualAgent",
    "create_genllava_agent",
    "errors",
    "events",
]

_HOMES: Final = {
    "AgentError": "errors",
    "ImageRecord": "records",
    "Limits": "settings",
    "Question": "records",
    "Reply": "reply",
    "Step": "records",
    "Thread": "threads",
    "Turn": "records",
    "VisualAgent": "agent",
    "create_genllava_agent": "create",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("errors", "events"):
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
