"""How a request comes in: from a thread of ours, or as the messages of somebody else's graph."""

from __future__ import annotations

import base64
import binascii
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from genllava import layout
from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import load_image
from genllava.requests import check_text
from genllava.tokens import EOS
from genllava_agent.records import ImageRecord, Request, image_name
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState
from genllava_agent.stores.memory import MemoryThread

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing
    from genllava_agent.engine import Engine
    from genllava_agent.stores.base import ThreadStore

MAX_IMAGES = 16
"""Pictures in one request."""
MAX_CHARACTERS = 20_000
"""Characters of one request."""


@dataclass(slots=True)
class Received:
    """A request with its pictures, and the picture that was worked on last."""

    request: Request
    images: dict[str, ImageRecord] = field(default_factory=dict)
    focus: str | None = None


def receive(engine: Engine, state: AgentState, settings: TurnSettings, foreign: bool) -> tuple[Session, Received]:
    """The session of this turn and what is asked in it.

    Args:
        foreign: there is nothing but messages; all that was said and shown in them becomes the conversation.

    Raises:
        InvalidRequest, ImageRejected.
    """
    if foreign:
        return _from_messages(engine, state["messages"], settings)
    session = engine.sessions[state["session"]]
    return session, Received(state["request"], state["images"], state["focus"])


def check_request(text: object) -> str:
    """`text` if it is a request.

    Raises:
        InvalidRequest: empty, not text, or too long.
    """
    checked = check_text(text)
    if len(checked) > MAX_CHARACTERS:
        raise InvalidRequest(
            f"the request has {len(checked):,} characters; at most {MAX_CHARACTERS:,} are read: say it in fewer words"
        )
    try:
        checked.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("the request is not valid Unicode") from None
    return checked


def check_count(images: Sequence[Any]) -> None:
    """Raises:
    InvalidRequest: more pictures than one request may bring.
    """
    if len(images) > MAX_IMAGES:
        raise InvalidRequest(f"{len(images)} pictures in one request; at most {MAX_IMAGES} are looked at: send fewer")


def admit(store: ThreadStore, image: Image.Image, number: int, turn: int, label: str | None = None) -> ImageRecord:
    """Keep a user's picture, which has come in through the door."""
    key = store.put_image(image)
    return ImageRecord(
        id=image_name(number), key=key, width=image.width, height=image.height, origin="user", turn=turn, label=label
    )


def _from_messages(
    engine: Engine, messages: Sequence[AnyMessage], settings: TurnSettings
) -> tuple[Session, Received]:
    if not messages or not isinstance(messages[-1], HumanMessage):
        raise InvalidRequest("the last message must be the user's")
    artifacts = MemoryThread()
    seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**32)
    session = Session(uuid.uuid4().hex, engine, artifacts, [], settings, seed, inline=True)
    engine.sessions[session.id] = session
    records: dict[str, ImageRecord] = {}
    ids: list[int] = []
    waiting: list[str] = []  # pictures of the assistant, which the model sees with the user's next words
    language = engine.pipeline.language
    tokenizer, shown = language.tokenizer, list[Any]()
    for message in messages[:-1]:
        text, images = _content(message)
        names = [_admitted(artifacts, records, image) for image in images]
        if isinstance(message, HumanMessage):
            numbers = [records[name].number for name in (*waiting, *names)]
            shown += [session.drawing(records[name]) for name in (*waiting, *names)]
            ids += layout.user_turn(tokenizer, text, numbers, language.tokens_per_image)
            ids += layout.seen(tokenizer, "")
            waiting = []
        elif isinstance(message, AIMessage):
            ids += layout.answer(tokenizer, text or "Done.")
            ids += [layout.token_id(tokenizer, EOS)]
            waiting += names
    if ids:
        session.opening = (ids, shown)
    text, images = _content(messages[-1])
    check_count(images)
    names = [*waiting, *(_admitted(artifacts, records, image) for image in images)]
    request = Request(text=check_request(text), images=tuple(names), task=settings.task)
    return session, Received(request, records, list(records)[-1] if records else None)


def _admitted(artifacts: ThreadStore, records: dict[str, ImageRecord], image: Image.Image) -> str:
    record = admit(artifacts, image, len(records) + 1, 1)
    records[record.id] = record
    return record.id


def _content(message: AnyMessage) -> tuple[str, list[Image.Image]]:
    """The words and the pictures of a message."""
    texts: list[str] = []
    images: list[Image.Image] = []
    for block in message.content_blocks:
        kind: Any = block["type"]
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "image":
            images.append(load_image(_bytes(dict(block))))
        elif kind == "non_standard" and isinstance(value := dict(block).get("value"), dict):
            if isinstance(url := value.get("image_url"), str):  # the short form, which LangChain leaves as it is
                images.append(load_image(_bytes({"url": url})))
    return " ".join(texts).strip(), images


def _bytes(block: dict[str, Any]) -> bytes:
    data, url = block.get("base64"), block.get("url")
    if data is None and isinstance(url, str) and url.startswith("data:"):
        data = url.partition(",")[2]
    if data is None:
        raise ImageRejected("pictures in messages come as base64: URLs are not fetched, and file_id is not known here")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ImageRejected("the base64 of a picture is damaged") from None
