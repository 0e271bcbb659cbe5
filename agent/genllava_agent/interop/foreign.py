"""Conversations that were not held here: the messages of somebody else's graph or chat, taken in as turns."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import decode_base64, load_image
from genllava.options import DESCRIBE
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import EOS
from genllava_agent.history import History
from genllava_agent.inbox import Received, check_count, check_request, keep, record_of
from genllava_agent.records import ImageRecord, Request, Turn
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.stores.memory import MemoryThread
from genllava_agent.workers import has_stream

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.engine import Engine

_UNWANTED: ContextVar[Callable[[], bool]] = ContextVar("unwanted")
KEPT: Final = 64
"""Sessions of such conversations that are kept while they wait for an answer; older ones are made again."""


@contextmanager
def wanted_while(cancel: Callable[[], bool]) -> Iterator[None]:
    """Meanwhile sessions that stop when their caller does ask `cancel`."""
    before = _UNWANTED.set(cancel)
    try:
        yield
    finally:
        _UNWANTED.reset(before)


def unwanted() -> bool:
    """Whether whoever runs the node that asks has stopped."""
    cancel = _UNWANTED.get(None)
    return cancel is not None and cancel()


@dataclass(slots=True)
class _Said:
    """What a user said and showed, and what was replied; `shown` begins with the pictures of the reply before."""

    texts: list[str] = field(default_factory=list)
    shown: list[Image.Image] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    replied: list[Image.Image] = field(default_factory=list)
    answered: bool = False


def open_messages(
    engine: Engine,
    messages: Sequence[AnyMessage | BaseMessage],
    settings: TurnSettings,
    key: str | None = None,
    cancel: Callable[[], bool] = unwanted,
) -> tuple[Session, Received]:
    """A session whose history is all that was said before, and what the user asks now.

    The pictures in the messages are numbered in their order, whoever showed them. System messages are not read: the
    model takes no instructions but the user's. Calls and results of tools that are not ours are not read either, save
    for pictures in them.

    Args:
        key: of the session, if the same one is made again; its seed hangs on it where the settings have none.

    Raises:
        InvalidRequest, ImageRejected.
    """
    *before, now = _exchanges(messages)
    key = key or uuid.uuid4().hex
    seed = settings.seed if settings.seed is not None else int(key[:8], 16)
    artifacts = MemoryThread()
    history: list[Turn] = []
    records: list[ImageRecord] = []
    for said in before:
        parent = history[-1].id if history else None
        images = _admitted(artifacts, said.shown, len(records), len(history) + 1)
        records += images
        history.append(_turn(engine, said, images, parent, len(history) + 1, cancel))
    check_count(now.shown)
    images = _admitted(artifacts, now.shown, len(records), len(history) + 1)
    names = tuple(record.id for record in images)
    text = check_request(_text(now) or DESCRIBE if now.shown else _text(now))
    request = Request(text=text, images=names, task=settings.task)
    session = Session(key, engine, artifacts, History(history), settings, seed, cancel, inline=True)
    focus = next((record.id for record in reversed([*records, *images])), None)
    return session, Received(request, {record.id: record for record in images}, focus)


def keep_session(engine: Engine, session: Session) -> None:
    """Let the nodes find a session; of those that nobody came back to only the latest are kept."""
    waiting = [key for key, other in list(engine.sessions.items()) if other.inline]
    for key in waiting[: max(0, len(waiting) + 1 - KEPT)]:
        engine.sessions.pop(key, None)
    engine.sessions[session.id] = session


def _exchanges(messages: Sequence[AnyMessage | BaseMessage]) -> list[_Said]:
    """What was said, by what the user said; the last of it has no reply.

    Raises:
        InvalidRequest: nothing is asked.
    """
    exchanges: list[_Said] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        text, images = content(message)
        if isinstance(message, HumanMessage):
            if not exchanges or exchanges[-1].answered:
                exchanges.append(_Said(shown=list(exchanges[-1].replied) if exchanges else []))
            exchanges[-1].texts.append(text)
            exchanges[-1].shown += images
            continue
        if not exchanges:  # the assistant spoke first
            exchanges.append(_Said())
        said = exchanges[-1]
        if isinstance(message, AIMessage) and not message.tool_calls:
            said.answered = True
            said.replies.append(text)
            said.replied += images
        elif isinstance(message, (AIMessage, ToolMessage)):  # somebody else's work, in the middle of a reply
            (said.replied if said.answered else said.shown).extend(images)
        else:
            raise InvalidRequest(f"messages of the type {message.type!r} are not understood: human, ai, system or tool")
    if not exchanges or exchanges[-1].answered:
        raise InvalidRequest("the last message must be the user's")
    return exchanges


def _turn(
    engine: Engine,
    said: _Said,
    images: list[ImageRecord],
    parent: str | None,
    number: int,
    cancel: Callable[[], bool],
) -> Turn:
    text, reply = _text(said), " ".join(said.replies).strip() or "Done."
    stream: list[int] = []
    if has_stream(engine.pipeline):
        language = engine.pipeline.protocol.language
        numbers = [record.number for record in images]
        if text or numbers:
            seen = [  # as the model would have noted it then
                f"{layout.picture_prefix(record.number)} {engine.caption(record.key, image, cancel)}"
                for record, image in zip(images, said.shown, strict=True)
            ]
            stream = layout.exchange(
                language.tokenizer, text, numbers, language.tokens_per_image, " ".join(seen), reply
            )
        else:  # the assistant spoke first
            stream = [*layout.answer(language.tokenizer, reply), layout.token_id(language.tokenizer, EOS)]
    # What is the same has the same id, so that what was computed for it before serves again.
    about = repr((parent, text, [record.key for record in images], reply))
    return Turn(
        id=hashlib.sha256(about.encode()).hexdigest(),
        parent=parent,
        number=number,
        at=0.0,
        request=Request(text=text, images=tuple(record.id for record in images)),
        images=tuple(images),
        text=reply,
        stream=tuple(stream),
    )


def _text(said: _Said) -> str:
    """What was said in one message or in several before a reply."""
    return "\n\n".join(filter(None, said.texts))


def _admitted(artifacts: MemoryThread, images: Sequence[Image.Image], known: int, turn: int) -> list[ImageRecord]:
    numbered = enumerate(images, start=known + 1)
    return [keep(artifacts, record_of(image, number, turn), image) for number, image in numbered]


def content(message: AnyMessage | BaseMessage) -> tuple[str, list[Image.Image]]:
    """The words and the pictures of a message.

    Raises:
        ImageRejected: a picture that was not let in.
        InvalidRequest: sound, film, or a file, or what no standard knows.
    """
    texts: list[str] = []
    images: list[Image.Image] = []
    for block in message.content_blocks:
        kind: Any = block["type"]
        value = dict(block).get("value")
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "image":
            images.append(load_image(_bytes(dict(block))))
        elif kind in ("audio", "video", "file", "text-plain"):
            raise InvalidRequest(f"a message with a block of the type {kind!r}: only text and pictures are understood")
        elif kind == "non_standard" and isinstance(value, dict) and isinstance(value.get("image_url"), str):
            images.append(load_image(_bytes({"url": value["image_url"]})))  # LangChain leaves this short form as it is
        elif kind == "non_standard" and isinstance(message, HumanMessage):
            named = value.get("type") if isinstance(value, dict) else value
            raise InvalidRequest(f"a block {named!r} is not understood: text and pictures, as image blocks, are")
    return ("\n\n" if isinstance(message, HumanMessage) else " ").join(texts).strip(), images


def pictures_of(message: BaseMessage) -> list[bytes]:
    """The files of the pictures in a message, as they are.

    Raises:
        ImageRejected: they are not in it.
    """
    return [_bytes(dict(block)) for block in message.content_blocks if block["type"] == "image"]


def _bytes(block: dict[str, Any]) -> bytes:
    data, url = block.get("base64"), block.get("url")
    if data is None and isinstance(url, str) and url.startswith("data:"):
        data = url
    if data is None:
        raise ImageRejected("pictures in messages come as base64: URLs are not fetched, and file_id is not known here")
    return decode_base64(data)


def ignored(messages: Sequence[AnyMessage | BaseMessage]) -> list[str]:
    """What in these messages the model does not read, in words."""
    found = [f"{kind} message" for kind in ("system", "tool") if any(message.type == kind for message in messages)]
    if any(isinstance(message, AIMessage) and message.tool_calls for message in messages):
        found.append("tool call")
    return found
