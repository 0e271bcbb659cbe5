"""Requests of a thread, new ones and repeated ones, as the graph takes them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AnyMessage, HumanMessage

from genllava.errors import ImageRejected
from genllava.options import DESCRIBE
from genllava_agent.admission import admitted, jpeg_file, keep, record_of, with_transparency
from genllava_agent.history import History
from genllava_agent.messages import check_count, check_request, records_in, reference, with_images
from genllava_agent.pictures import ThreadImage
from genllava_agent.records import Turn
from genllava_agent.settings import SETTINGS, TurnSettings, stored
from genllava_agent.thread_state import closing
from genllava_agent.thread_verbs import AGAIN, without

if TYPE_CHECKING:
    from genllava_agent.running import Place
    from genllava_agent.stores.base import Artifacts


def new_request(
    artifacts: Artifacts,
    place: Place,
    history: History,
    text: str,
    images: Sequence[Any],
    region: Any,
    settings: TurnSettings,
) -> dict[str, Any]:
    """A request, with its pictures admitted and stored.

    Args:
        place: where the thread is; `history`: its turns that have ended.

    Raises:
        InvalidRequest, ImageRejected, UnknownImage: it cannot be; nothing is stored.
    """
    text = check_request(text or DESCRIBE if images else text)
    check_count(images)
    state = place.state
    records = list((state.get("images") or {}).values())
    for source in images:
        if isinstance(source, ThreadImage):
            raise ImageRejected(f"{source.id} is in a thread: name it in the request, or send its pixels, `.image`")
    loaded = [admitted(source, with_transparency) for source in images]
    number = max((record.number for record in records), default=0)
    turn = max((turn.number for turn in history), default=0) + 1 + place.open
    shown = [
        record_of(image, count, turn, _label(source))
        for count, (source, image) in enumerate(zip(images, loaded, strict=True), start=number + 1)
    ]
    where = None
    if region is not None:
        from genllava_agent.regions import resolve_region

        where = resolve_region(artifacts, region, [*records, *shown])
    for count, (source, image) in enumerate(zip(images, loaded, strict=True)):  # nothing is kept of what cannot be
        shown[count] = keep(artifacts, shown[count], image, jpeg_file(source))
    asked = with_images(_message(text, settings), [reference(record) for record in shown])
    return {"messages": [*closing(place), asked], "region": where}


def repeated_request(
    place: Place, messages: Sequence[AnyMessage], turn: Turn, text: str | None, settings: TurnSettings
) -> dict[str, Any]:
    """The request of the last turn, in its place; that stands until this has ended.

    Args:
        messages: of that turn.
        text: other words for it.
    """
    words = check_request(turn.request.text if text is None else text)
    shown = [
        reference(record)
        for message in messages
        if isinstance(message, HumanMessage)
        for record in records_in(message)
        if record.origin == "user"
    ]
    update = without(place.state, [messages])
    undone = list(place.state.get("undone") or [])
    asked = with_images(_message(words, settings, {AGAIN: len(undone)}), shown)
    return {
        "messages": [*update["messages"], asked],
        "images": update["images"],
        "region": turn.request.region,
        "undone": [*undone, list(messages)],
    }


def _message(text: str, settings: TurnSettings, about: dict[str, Any] | None = None) -> HumanMessage:
    kept = stored(settings)
    said = {**({SETTINGS: kept} if kept else {}), **(about or {})}
    return HumanMessage(text, id=uuid.uuid4().hex, additional_kwargs=said)


def _label(source: Any) -> str | None:
    if not isinstance(source, (str, Path)):
        return None
    return os.fsencode(Path(source).name).decode(errors="replace")  # the name of a file need not be text
