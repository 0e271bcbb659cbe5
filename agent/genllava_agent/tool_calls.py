"""Calls of the agent's tools: LangChain tools, whose pictures come from and go to the thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest
from genllava_agent.errors import UnknownImage
from genllava_agent.records import ImageRecord, Step

if TYPE_CHECKING:
    from genllava_agent.session import Session
    from genllava_agent.state import Action, AgentState


def call(session: Session, state: AgentState, action: Action) -> tuple[Step, dict[str, ImageRecord]]:
    """Run a tool; a picture in its artifact joins the thread.

    A tool says in its metadata which of its arguments are pictures, `{"images": ["image"]}`: it is called with their
    names and gets PIL images.

    Raises:
        InvalidRequest, UnknownImage: no such tool, or no such picture. What the tool raises is passed on.
    """
    from PIL import Image

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
    message = tool.invoke({"type": "tool_call", "id": session.id, "name": tool.name, "args": arguments})
    seconds = time.monotonic() - began
    text, artifact = message.text, message.artifact
    step = Step(
        action="tool",
        text=str(text),
        tool=tool.name,
        arguments=action.arguments,
        source=parents[0] if parents else None,
        seconds=seconds,
        probabilities=action.probabilities,
        outcome="error" if message.status == "error" else "ok",
    )
    if not isinstance(artifact, Image.Image):
        return step, {}
    from genllava.images import load_image

    image = load_image(artifact)
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
