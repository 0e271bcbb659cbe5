"""Calls of the agent's tools: LangChain tools, whose pictures come from and go to the thread."""

from __future__ import annotations

import asyncio
import contextvars
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from genllava.errors import ImageRejected, InvalidRequest
from genllava.requests import listed
from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, Step

if TYPE_CHECKING:
    from langchain_core.messages.tool import ToolCall
    from langchain_core.tools import BaseTool

    from genllava_agent.session import Session
    from genllava_agent.state import Action, AgentState


def call(session: Session, state: AgentState, action: Action) -> tuple[Step, dict[str, ImageRecord]]:
    """Run a tool; a picture in its artifact, or else the only one in its content, joins the thread.

    A tool says in its metadata which of its arguments are pictures, `{"images": ["image"]}`: it is called with their
    names and gets PIL images.

    Raises:
        InvalidRequest, UnknownImage: no such tool, no such picture, or several pictures at once. What the tool raises
            is passed on.
    """
    from genllava_agent.interop.foreign import content

    tool = session.engine.tools.get(action.tool or "")
    if tool is None:
        raise InvalidRequest(f"there is no tool {action.tool!r}")
    records = session.known(state)
    arguments: dict[str, Any] = dict(action.arguments)
    parents = []
    for name in (tool.metadata or {}).get("images", []):
        if arguments.get(name) not in records:
            raise UnknownImage.among(arguments.get(name), records)
        parents.append(arguments[name])
        arguments[name] = session.image(records[arguments[name]])
    began = time.monotonic()
    message = _run(tool, {"type": "tool_call", "id": session.id, "name": tool.name, "args": arguments})
    seconds = time.monotonic() - began
    step = Step(
        action="tool",
        text=str(message.text),
        tool=tool.name,
        arguments=action.arguments,
        source=parents[0] if parents else None,
        seconds=seconds,
        probabilities=action.probabilities,
        outcome="error" if message.status == "error" else "ok",
    )
    pictures = _pictures(message.artifact)
    if not pictures and step.outcome == "ok":
        with suppress(InvalidRequest, ImageRejected):  # what else is in a result is not for us
            _, shown = content(message)
            pictures = shown if len(shown) == 1 else []
    if not pictures:
        return step, {}
    if len(pictures) > 1:
        raise InvalidRequest(f"the tool {tool.name!r} gave {len(pictures)} pictures: a call may give one")
    from genllava.images import load_image

    image = load_image(pictures[0])
    record = ImageRecord(
        id=session.next_image(state),
        key=session.artifacts.put_image(image),
        width=image.width,
        height=image.height,
        origin="tool",
        turn=len(session.history) + 1,
        parents=tuple(parents),
        instruction=action.instruction or None,
        params={"tool": tool.name, **action.arguments},
    )
    return step.model_copy(update={"image": record.id}), {record.id: record}


def _run(tool: BaseTool, call: ToolCall) -> Any:
    """Call a tool; one that can only be awaited is, in an event loop of its own."""
    if getattr(tool, "coroutine", None) is None or getattr(tool, "func", None) is not None:
        return tool.invoke(call)
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(contextvars.copy_context().run, asyncio.run, tool.ainvoke(call)).result()


def _pictures(artifact: Any) -> list[Any]:
    from PIL import Image

    return [given for given in listed(artifact) if isinstance(given, Image.Image)]
