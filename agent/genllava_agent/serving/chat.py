"""`POST /v1/chat/completions`: replies, whole and piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, StreamingResponse

from genllava_agent.serving.chat_messages import conversation, latest
from genllava_agent.serving.chat_schemas import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    Choice,
    Delta,
    DeltaCall,
    DeltaChoice,
    ImagePart,
    ImageUrl,
    Name,
    Reply,
)
from genllava_agent.serving.chat_turns import End, Picture, Piece, Words, on_messages, on_thread
from genllava_agent.serving.data_urls import Admission
from genllava_agent.serving.errors import ApiError, api_error
from genllava_agent.serving.service import Service, while_wanted
from genllava_tools.picture_files import as_base64

_FIRST: Final = 1.0
"""Seconds in which a request that fails is answered with a status, also where a stream was asked for."""
_DONE: Final = "data: [DONE]\n\n"
_EVENTS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
ThreadHeader = Annotated[Name | None, Header(alias="X-GenLLaVA-Thread")]


def chat_routes(service: Service) -> APIRouter:
    """The routes of chats."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions", response_model=ChatCompletion)
    async def completions(given: ChatRequest, request: Request, thread: ThreadHeader = None) -> object:
        service.check_model(given.model)
        if len(given.messages) > service.settings.messages:
            said = f"{len(given.messages):,} messages; at most {service.settings.messages:,} are read: send the latest"
            raise ApiError(400, said, "context_length_exceeded", param="messages")
        pieces = await _turn(service, given, request.state.sender, thread or given.user)
        if not given.stream:
            return JSONResponse((await while_wanted(request, _whole(service, pieces))).model_dump())
        first = asyncio.ensure_future(anext(pieces))
        await asyncio.wait([first], timeout=_FIRST)
        if first.done():
            first.result()  # raises what went wrong
        include = given.stream_options is not None and given.stream_options.include_usage
        stream = _streamed(service, first, pieces, include)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_EVENTS)

    return routes


async def _turn(service: Service, given: ChatRequest, sender: str, thread: str | None) -> AsyncGenerator[Piece]:
    """The turn that is asked for, with its pictures let in."""
    admission = Admission(service.settings, service.kept)
    if thread is not None:
        text, files = await asyncio.to_thread(latest, given.messages, admission)
        kept = await service.threads.get(sender, thread)
        return _aclosed(on_thread(kept, text, files, given, service.threads.limits))
    messages = await asyncio.to_thread(conversation, given.messages, admission, service.kept)
    return _aclosed(on_messages(service.chat_model, messages, given))


async def _aclosed(pieces: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
    """Those pieces; where nobody listens any more, the turn is stopped at once."""
    async with contextlib.aclosing(pieces) as heard:  # type: ignore[type-var]
        async for piece in heard:
            yield piece


class _Content:
    """The content of a reply as it grows: words, and links to the pictures between them."""

    def __init__(self) -> None:
        self.text = ""
        self._behind_picture = False

    def words(self, text: str) -> str:
        """What these words add."""
        new = f"\n\n{text.lstrip()}" if self._behind_picture and text.strip() else text
        self._behind_picture = self._behind_picture and not text.strip()
        self.text += new
        return new

    def picture(self, name: str, address: str) -> str:
        """What the link to a picture adds."""
        new = f"{self.text and chr(10) * 2}![{name}]({address})"
        self._behind_picture = True
        self.text += new
        return new


async def _whole(service: Service, pieces: AsyncGenerator[Piece]) -> ChatCompletion:
    """A turn as one answer."""
    content, images, end = _Content(), list[ImagePart](), None
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Words):
                content.words(piece.text)
            elif isinstance(piece, Picture):
                content.picture(piece.name, service.kept.put(piece.png))
                images.append(_part(piece))
            else:
                end = piece
    assert end is not None
    _count(service, end, len(images))
    calls = list(end.calls) or None
    message = Reply(content=content.text or (None if calls else ""), tool_calls=calls, images=images or None)
    return ChatCompletion(
        id=_new_id(),
        created=int(time.time()),
        model=service.settings.model,
        choices=[Choice(message=message, finish_reason=end.finish_reason)],
        usage=end.usage,
        genllava=end.about,
    )


async def _streamed(
    service: Service, first: asyncio.Future[Piece], pieces: AsyncGenerator[Piece], include_usage: bool
) -> AsyncIterator[str]:
    """A turn as server-sent events; what goes wrong behind the first piece is an event as well."""
    made = {"id": _new_id(), "created": int(time.time()), "model": service.settings.model}
    images, content = 0, _Content()

    def event(delta: Delta, reason: str | None = None, **more: object) -> str:
        choice = DeltaChoice(delta=delta, finish_reason=reason)
        return _event(ChatCompletionChunk.model_validate({**made, "choices": [choice], **more}))

    try:
        yield event(Delta(role="assistant", content=""))
        async for piece in _chained(first, pieces):
            if isinstance(piece, Words):
                yield event(Delta(content=content.words(piece.text)))
            elif isinstance(piece, Picture):
                images += 1
                link = content.picture(piece.name, service.kept.put(piece.png))
                yield event(Delta(content=link, images=[_part(piece)]))
            else:
                _count(service, piece, images)
                if piece.calls:
                    calls = [DeltaCall(index=at, id=c.id, function=c.function) for at, c in enumerate(piece.calls)]
                    yield event(Delta(tool_calls=calls))
                yield event(Delta(), piece.finish_reason, genllava=piece.about)
                if include_usage:
                    yield _event(ChatCompletionChunk.model_validate({**made, "choices": [], "usage": piece.usage}))
        yield _DONE
    except Exception as fault:
        yield f"data: {json.dumps(api_error(fault).body())}\n\n"


async def _chained(first: asyncio.Future[Piece], pieces: AsyncGenerator[Piece]) -> AsyncIterator[Piece]:
    """All pieces, of which the first is already waited for; whoever stops listening stops the turn."""
    try:
        yield await first
        async for piece in pieces:
            yield piece
    finally:
        if not first.done():
            first.cancel()
            await asyncio.wait([first])
        await pieces.aclose()


def _event(chunk: ChatCompletionChunk) -> str:
    return f"data: {chunk.model_dump_json(exclude_none=True)}\n\n"


def _part(picture: Picture) -> ImagePart:
    return ImagePart(image_url=ImageUrl(url=f"data:image/png;base64,{as_base64(picture.png)}"))


def _count(service: Service, end: End, pictures: int) -> None:
    service.metrics.tokens.labels("prompt").inc(end.usage.prompt_tokens)
    service.metrics.tokens.labels("completion").inc(end.usage.completion_tokens)
    service.metrics.pictures.inc(pictures)


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
