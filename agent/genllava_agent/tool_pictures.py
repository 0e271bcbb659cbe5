"""Pictures in what tools return, in whatever form: PIL, arrays, files, content blocks; alone, listed, as an artifact.

They join the thread as records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import ToolMessage

from genllava.errors import GenLlavaError, ImageRejected
from genllava_agent.admission import with_transparency
from genllava_agent.messages import (
    PICTURES,
    blocks,
    image_block,
    is_picture,
    picture_file,
    reference,
    text_of,
    with_images,
)
from genllava_agent.records import ImageRecord
from genllava_agent.session import Session, next_image
from genllava_agent.state import Action, AgentState, begun

_NOT_KEPT: Final = "A picture of this result was not kept"


def kept(
    session: Session, state: AgentState, action: Action, message: ToolMessage, parents: Sequence[str]
) -> tuple[ToolMessage, list[ImageRecord], str]:
    """A result whose pictures are stored, their records, and its words, in which is said what could not be read."""
    sources, wrong = list[Any](), list[str]()
    apart = message.artifact if isinstance(message.artifact, list) else [message.artifact]
    for block in [*blocks(message), *(each for each in apart if isinstance(each, Mapping) and "type" in each)]:
        try:
            if is_picture(block):
                sources.append(picture_file(block))
        except GenLlavaError as error:
            wrong.append(f"{_NOT_KEPT}: {error}")
    sources = [*pictures_in(message.artifact), *sources]
    records: list[ImageRecord] = []
    for source in sources:
        try:
            image = with_transparency(source)
        except ImageRejected as error:
            wrong.append(f"{_NOT_KEPT}: {error}")
            continue
        record = ImageRecord(
            id=next_image(state, len(records)),
            key=session.artifacts.put_image(image),
            width=image.width,
            height=image.height,
            origin="tool",
            turn=begun(state).number,
            parents=tuple(parents),
            instruction=action.instruction or None,
            params={"tool": str(action.tool), **action.arguments},
        )
        records.append(record)
    words = " ".join(filter(None, [text_of(message), *wrong]))
    text = " ".join(filter(None, [words, *(f"{record.id} was made." for record in records)])) or "Done."
    return with_images(message, [reference(record) for record in records], text), records, words or text


def pictures_in(value: Any) -> list[Any]:
    """The pictures in what a tool returned: PIL, arrays, files, or what wraps one of these; alone or among others."""
    import numpy as np
    from PIL import Image

    if hasattr(value, "to_raw"):  # as agent frameworks wrap one; it may be a PIL image by class
        return pictures_in(value.to_raw())
    if isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim in (2, 3)):
        return [value]
    if isinstance(value, (bytes, bytearray)):
        return [bytes(value)]
    if type(value).__module__.partition(".")[0] == "torch" and getattr(value, "ndim", 0) in (2, 3):
        return [value.detach().cpu().numpy()]
    if isinstance(value, Mapping) and "type" not in value:  # a content block is one as it is
        return pictures_in(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [picture for each in value for picture in pictures_in(each)]
    return []


def as_content(value: Any) -> Any:
    """What a tool returned as content of a message; words of what has no picture in it are made by LangChain."""
    if isinstance(value, Mapping) and value.get("type") in PICTURES:
        value = [value]
    if not pictures_in(value):
        return value
    made: list[Any] = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        found = pictures_in(each)
        for picture in found:
            try:
                made.append(image_block(with_transparency(picture)))
            except ImageRejected as error:
                words = "" if isinstance(picture, bytes) else f"{picture} "
                made.append({"type": "text", "text": f"{words}{_NOT_KEPT}: {error}"})
        if isinstance(each, str):
            made.append({"type": "text", "text": each})
        elif isinstance(each, Mapping) and found:
            made += [{"type": "text", "text": f"{k}: {v}"} for k, v in each.items() if not pictures_in(v)]
        elif not found:
            made.append(each if isinstance(each, dict) and "type" in each else {"type": "text", "text": str(each)})
    return made
