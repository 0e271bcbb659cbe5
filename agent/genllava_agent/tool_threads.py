"""A tool at work: in a thread of its own, which is left behind where nobody waits any longer.

Python cannot stop a function that does not ask. What it gives in the end is ignored.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

from langchain_core.tools import BaseTool, StructuredTool, Tool

from genllava.errors import Cancelled
from genllava_agent.background import CALLER_LOOP, POLL, left_behind
from genllava_agent.errors import ToolLeftBehind
from genllava_agent.session import Session, spent_limit, unwanted
from genllava_agent.tool_pictures import as_content

_WATCH: Final[ContextVar[Callable[[], None]]] = ContextVar("watch", default=lambda: None)
"""Raises where the tool that is called now is not waited for any longer."""
_WITHIN: Final[ContextVar[Callable[[], AbstractContextManager[object]]]] = ContextVar("within", default=nullcontext)
_GRACE: Final = 2.0
"""Seconds that a coroutine has to end after it was cancelled."""
_NOT_AWAITED: Final = (BaseTool._arun, Tool._arun, StructuredTool._arun)
"""What tools have that are not made to be awaited."""


@contextmanager
def watched(session: Session, name: str, within: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Meanwhile a tool may take as long as the limits of the turn say.

    Args:
        within: entered in the thread of the tool, for as long as it works.
    """
    ends = time.monotonic() + session.settings.limits.tool_seconds

    def watch() -> None:
        if unwanted():
            raise Cancelled(f"cancelled while {name} was at work")
        limit = spent_limit(session)
        if not limit and time.monotonic() > ends:
            limit = f"the limit of {session.settings.limits.tool_seconds:g} seconds for a tool"
        if limit:
            raise ToolLeftBehind(f"{name} was still at work at {limit}: it was left behind, and nothing of it is kept")

    before, outer = _WATCH.set(watch), _WITHIN.set(within)
    try:
        yield
    finally:
        _WATCH.reset(before)
        _WITHIN.reset(outer)


def in_thread(tool: BaseTool) -> BaseTool:
    """The tool, run in a thread of its own, with pictures in what it returns as content blocks, where LangChain would
    make words of them.

    One that can be awaited is awaited on the loop of whoever waits for the turn; one that can only be awaited on a loop
    of its own, where nobody has one.
    """
    kind, function = type(tool), getattr(tool, "func", None)
    awaits = getattr(tool, "coroutine", None) is not None or kind._arun not in _NOT_AWAITED
    only_awaits = awaits and getattr(tool, "coroutine", None) is not None and function is None

    @functools.wraps(kind._run)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch, within = _WATCH.get(), _WITHIN.get()

        def work() -> Any:
            with within():
                return kind._run(self, *args, **kwargs)

        if awaits and (only_awaits or CALLER_LOOP.get() is not None):
            kwargs.pop("run_manager", None)
            value = _awaited(kind._arun(self, *args, **kwargs), watch)
        else:
            value = left_behind(work, watch)
        return value if tool.response_format == "content_and_artifact" else as_content(value)

    copy = tool.model_copy()
    copy.__class__ = type(kind.__name__, (kind,), {"_run": run, "__module__": kind.__module__})
    return copy


def _awaited(work: Coroutine[Any, Any, Any], watch: Callable[[], None]) -> Any:
    """What a coroutine gives, from a thread that runs no event loop."""

    async def stoppable() -> Any:
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=POLL)
                if not task.done():
                    watch()
        except BaseException:
            task.cancel()
            await asyncio.wait([task], timeout=_GRACE)
            raise
        return task.result()

    loop = CALLER_LOOP.get()
    if loop is not None and loop.is_running():
        return asyncio.run_coroutine_threadsafe(stoppable(), loop).result()
    return left_behind(lambda: asyncio.run(stoppable()), watch)
