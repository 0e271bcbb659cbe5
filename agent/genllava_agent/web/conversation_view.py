"""What was said on a thread, as messages of Gradio's chat component: words, and pictures as links to their route."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from genllava_agent.pages.markup import escaped
from genllava_agent.records import ImageRecord, Region

if TYPE_CHECKING:
    from genllava_agent.records import Pending, Turn

PICTURES: Final = "/pictures"
"""Begins the address of a picture of a thread."""

Message = dict[str, Any]


def address(thread: str, record: ImageRecord) -> str:
    """Where a picture of a thread is: relative to the page. It changes with what is in the picture."""
    return f"{PICTURES}/{quote(thread)}/{record.id}?of={record.key[:16]}"


def alt_text(record: ImageRecord) -> str:
    """What a picture shows, for people who do not see it: its caption, or the best that is known instead."""
    known = record.caption or record.plan or record.label or record.instruction or "no description"
    return f"{record.id}: {known}"


def messages(
    thread: str,
    history: Iterable[Turn],
    records: Mapping[str, ImageRecord],
    unfinished: Pending | None = None,
    runs: bool = False,
) -> list[Message]:
    """The conversation, the first message first.

    Args:
        thread: its name.
        history: its turns.
        records: its pictures, by name.
        unfinished: the turn that has not ended; its words stand at the end.
        runs: that turn, in another page.
    """
    said: list[Message] = []
    for turn in history:
        own = [record for record in turn.images if record.origin == "user"]
        said.append(request_message(thread, turn.request.text, own, turn.request.region))
        shown = {record.id: record for record in turn.images if record.origin not in ("user", "region")}
        again = (step.source for step in turn.steps if step.tool == "show_image")
        shown.update({name: records[name] for name in again if name and name in records})
        said.append(_message("assistant", thread, turn.text, shown.values()))
    if unfinished is not None:
        own = [record for record in unfinished.images if record.origin == "user"]
        said.append(request_message(thread, unfinished.request.text, own, unfinished.request.region))
        question = unfinished.question
        text = question.text if question is not None else "…" if runs else "This turn was cut off."
        said.append(_message("assistant", thread, text, ()))
    return said


def request_message(
    thread: str, text: str, images: Iterable[ImageRecord] = (), region: Region | None = None
) -> Message:
    """What a person asked."""
    where = "" if region is None else f"\n\n*about {region_text(region)}*"
    return _message("user", thread, text + where, images)


def region_text(region: Region) -> str:
    """A part of a picture, in words."""
    if region.box is not None:
        left, top, right, bottom = (f"{part:.0%}" for part in region.box)
        return f"the part of {region.image} from {left}, {top} to {right}, {bottom}"
    if region.point is not None:
        x, y = (f"{part:.0%}" for part in region.point)
        return f"what is at {x}, {y} of {region.image}"
    return f"a mask of {region.image}"


def _message(role: str, thread: str, text: str, images: Iterable[ImageRecord]) -> Message:
    shown = "".join(_figure(thread, record) for record in images)
    return {"role": role, "content": f"{text}\n\n{shown}" if shown else text}


def _figure(thread: str, record: ImageRecord) -> str:
    """A picture that opens at its full size, and its name."""
    where, alt = escaped(address(thread, record)), escaped(alt_text(record))
    image = f'<img src="{where}" alt="{alt}">'
    return f'<a href="{where}" target="_blank">{image}</a><br><code>{record.id}</code> '
