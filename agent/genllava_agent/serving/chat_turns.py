"""A turn of the agent as a chat asks for it, piece by piece: on its messages alone, or on a thread that remembers."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

from genllava_agent import events
from genllava_agent.interop.chat_text import ReplyText
from genllava_agent.messages import IMAGES
from genllava_agent.serving.chat_schemas import About, CalledFunction, ChatRequest, ToolCall, Usage
from genllava_agent.serving.errors import ApiError
from genllava_tools.picture_files import png_bytes

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata

    from genllava_agent.interop.chat_model import ChatGenLlava
    from genllava_agent.threads import Thread


@dataclass(frozen=True, slots=True)
class Words:
    """More of the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was made.

    Attributes:
        name: in its conversation.
        png: its file.
    """

    name: str
    png: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The turn is over."""

    finish_reason: str
    usage: Usage
    calls: Sequence[ToolCall]
    about: About


Piece = Words | Picture | End


async def on_messages(
    model: ChatGenLlava, messages: Sequence[BaseMessage], request: ChatRequest
) -> AsyncIterator[Piece]:
    """A turn of which nothing is kept.

    Raises:
        ApiError: the caller has tools, and what decides here calls none.
        InvalidRequest, ImageRejected, PlannerFailed, ...
    """
    given = {"stop": _stops(request), **({} if request.seed is None else {"seed": request.seed})}
    asked: Any = model
    if request.tools and request.tool_choice != "none":
        asked = _with_tools(model, request)
    calls = dict[int, dict[str, str]]()
    async with contextlib.aclosing(asked.astream(list(messages), **given)) as heard:
        async for chunk in heard:
            if chunk.content:
                yield Words(chunk.content)
            for block in chunk.additional_kwargs.get(IMAGES, ()):
                yield Picture(str(block.get("id", "image")), base64.b64decode(block["base64"]))
            for part in chunk.tool_call_chunks:
                calls[part["index"]] = {"id": part["id"], "name": part["name"], "arguments": part["args"]}
            said = chunk.response_metadata
            if "finish_reason" in said:
                about = About(seed=said["seed"], steps=said["steps"], ignored=said.get("ignored", []))
                made = [_call(call) for _, call in sorted(calls.items())]
                yield End(said["finish_reason"], _usage(chunk.usage_metadata), made, about)


async def on_thread(
    thread: Thread, text: str, files: Sequence[bytes], request: ChatRequest, limits: dict[str, float]
) -> AsyncIterator[Piece]:
    """A turn of a thread that is kept.

    Raises:
        ApiError: the caller has tools.
        InvalidRequest, ImageRejected, ThreadBusy, StoreFailed, ...
    """
    if request.tools and request.tool_choice != "none":
        said = "tools are for conversations that are not kept here: leave out tools, or user"
        raise ApiError(400, said, "unsupported_parameter", param="tools")
    spoken = ReplyText(_stops(request) or ())
    options: dict[str, Any] = {"limits": limits, **({} if request.seed is None else {"seed": request.seed})}
    turn: Any = thread.astream(text, list(files), **options)
    async with contextlib.aclosing(turn) as heard:
        async for event in heard:
            new = spoken.delta(event.text) if isinstance(event, events.TextDelta) else ""
            if isinstance(event, events.ImageReady):
                yield Picture(event.record.id, png_bytes(event.image))
            if isinstance(event, events.TurnFinished):
                new = spoken.ended(event.reply.text)
            if new:
                yield Words(new)
            if isinstance(event, events.TurnFinished):
                reply = event.reply
                steps = [step.model_dump(mode="json", exclude_defaults=True) for step in reply.steps]
                reason = "length" if reply.stopped else "stop"
                yield End(reason, _usage(reply.usage), (), About(seed=reply.seed, steps=steps))


def _with_tools(model: ChatGenLlava, request: ChatRequest) -> Any:
    """The chat model with the caller's tools."""
    given = {"tool_choice": request.tool_choice, "parallel_tool_calls": request.parallel_tool_calls}
    bound: Any = {name: value for name, value in given.items() if value is not None}
    tools = [tool.model_dump(exclude_unset=True) for tool in request.tools or ()]
    try:
        return model.bind_tools(tools, **bound)
    except NotImplementedError:
        said = "the model here calls no tools of yours: leave them out, or have a chat model decide (docs/serving.md)"
        raise ApiError(400, said, "unsupported_parameter", param="tools") from None


def _stops(request: ChatRequest) -> list[str] | None:
    return [request.stop] if isinstance(request.stop, str) else request.stop


def _usage(said: UsageMetadata | None) -> Usage:
    if said is None:
        return Usage()
    return Usage(
        prompt_tokens=said["input_tokens"], completion_tokens=said["output_tokens"], total_tokens=said["total_tokens"]
    )


def _call(call: dict[str, str]) -> ToolCall:
    return ToolCall(id=call["id"], function=CalledFunction(name=call["name"], arguments=call["arguments"]))
