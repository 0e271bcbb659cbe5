"""How a request comes in: from a thread of ours, or as the messages of somebody else's graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import load_image, picture_notes
from genllava.requests import check_text
from genllava_agent.pictures import ThreadImage
from genllava_agent.records import ImageRecord, Request, image_name
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState
from genllava_agent.stores.artifacts import image_key

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.engine import Engine
    from genllava_agent.stores.base import ThreadStore

MAX_IMAGES = 16
"""Pictures in one request."""
MAX_CHARACTERS = 20_000
"""Characters of one request."""
_JPEG = b"\xff\xd8\xff"


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
        from genllava_agent.interop.foreign import keep_session, open_messages

        session, received = open_messages(engine, state["messages"], settings)
        keep_session(engine, session)
        return session, received
    session = engine.sessions[state["session"]]
    return session, Received(state["request"], state["images"], state["focus"])


def reopen(engine: Engine, state: AgentState, settings: TurnSettings) -> Session:
    """The session of a turn of somebody else's graph that goes on in another process than it began in.

    Raises:
        InvalidRequest: the turn has made pictures, which were in the memory of that process.
    """
    from genllava_agent.interop.foreign import keep_session, open_messages

    session, received = open_messages(engine, state["messages"], settings, state["session"])
    if not state["images"].keys() <= received.images.keys():
        raise InvalidRequest("this turn was begun by a process that has ended, and its pictures with it: ask again")
    keep_session(engine, session)
    return session


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


def jpeg_file(source: Any) -> bytes | None:
    """The bytes of a picture that came as a JPEG, as a file or as bytes; None of any other."""
    if isinstance(source, (str, Path)):
        with suppress(OSError), Path(source).open("rb") as file:  # it was there a moment ago
            head = file.read(len(_JPEG))
            source = head + file.read() if head == _JPEG else head
    is_jpeg = isinstance(source, (bytes, bytearray, memoryview)) and bytes(source[: len(_JPEG)]) == _JPEG
    return bytes(source) if is_jpeg else None


def check_count(images: Sequence[Any]) -> None:
    """Raises:
    InvalidRequest: more pictures than one request may bring.
    """
    if len(images) > MAX_IMAGES:
        raise InvalidRequest(f"{len(images)} pictures in one request; at most {MAX_IMAGES} are looked at: send fewer")


def admitted(source: Any) -> Image.Image:
    """A picture through the one door.

    Raises:
        ImageRejected: it was not let in; the message names its file.
    """
    if isinstance(source, ThreadImage):
        raise ImageRejected(f"{source.id} is in a thread: name it in the request, or send its pixels, `.image`")
    try:
        return load_image(source)
    except ImageRejected as error:
        if isinstance(source, (str, Path)) and not str(source).startswith("data:"):
            raise ImageRejected(f"{source}: {error}") from None
        raise


def record_of(image: Image.Image, number: int, turn: int, label: str | None = None) -> ImageRecord:
    """The record of a user's picture, which has come in through the door and is still to be kept."""
    return ImageRecord(
        id=image_name(number),
        key=image_key(image),
        width=image.width,
        height=image.height,
        origin="user",
        turn=turn,
        label=label,
    )


def keep(store: ThreadStore, record: ImageRecord, image: Image.Image, jpeg: bytes | None = None) -> ImageRecord:
    """Keep a user's picture; returns its record, which then says how.

    Args:
        jpeg: the JPEG that it came as, if it did.
    """
    # A photo that came in reduced does not have the pixels of its file.
    kept = None if jpeg is None or picture_notes(image) else store.put_jpeg(image, jpeg)
    if kept is None:
        store.put_image(image)
    return record.model_copy(update={"jpeg": kept})
