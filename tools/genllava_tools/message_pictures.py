"""Pictures in LangChain messages: read out of their content blocks, named, and shown to a model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypedDict

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from PIL import Image

from genllava.errors import ImageRejected
from genllava.images import decode_base64
from genllava_tools.picture_files import as_base64, load_layer, preview

Show = Literal["user", "tool", "no"]
"""Where a model is shown the pictures that tools made: in a message of the user behind the results, which all APIs of
chat models take; in the results themselves, which some take; or nowhere, for models that see no pictures."""

IMAGES: Final = "images"
"""Key of a result's artifact: the files of its pictures, and once they have names, those."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_LONGEST: Final = 1024
"""Pixels of the longer side of a picture that is shown."""


class ImageRecord(TypedDict):
    """A picture of a thread.

    Attributes:
        file: as it came, or a PNG of what a tool made.
        width: in pixels.
        height: in pixels.
        message: the id of the message that it came in.
        block: its place in the content of that message; -1, -2 and so on for the pictures that a visual tool made.
        tool: by which it was made; "" where it was not.
        arguments: of the call by which it was made.
    """

    file: bytes
    width: int
    height: int
    message: str
    block: int
    tool: str
    arguments: dict[str, Any]


Images = Mapping[str, ImageRecord]


def pictures_in(message: AnyMessage) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The pictures in the content of a message of the user or in a result, in whatever form LangChain knows: their
    places, and each as a standard content block."""
    if not isinstance(message, (HumanMessage, ToolMessage)) or isinstance(message.content, str):
        return
    for place, block in enumerate(message.content):
        if isinstance(block, dict) and block.get("type") != "text":
            if isinstance(url := block.get("image_url"), str):  # as people write it, and LangChain does not read it
                block = {"type": "image", "url": url}
            for standard in HumanMessage([block]).content_blocks:
                if standard["type"] == "image":
                    yield place, standard


def picture_file(block: Mapping[str, Any]) -> bytes:
    """The file of a picture in a standard content block.

    Raises:
        ImageRejected: it is not in it, but at an address or behind an id; or its base64 is damaged.
    """
    url = block.get("url")
    data = block.get("base64", block.get("data", url if isinstance(url, str) and url[:5].lower() == "data:" else None))
    if data is None:
        where = "behind a file id" if url is None else "at an address"
        raise ImageRejected(f"it is {where}, which is not fetched: send it as base64 for tools to take it")
    return decode_base64(data)


def told(
    messages: Sequence[AnyMessage], images: Images, refused: Mapping[str, str], show: Show, most: int
) -> list[AnyMessage]:
    """Messages for a model, in which pictures have their names before them and those that tools made are shown.

    Args:
        messages: of the thread.
        images: all pictures of the thread.
        refused: why pictures have no name, by `place_of` them.
        show: where the model sees what tools made.
        most: of those that are shown, the newest.
    """
    names = {(record["message"], record["block"]): name for name, record in images.items()}
    made_by_tools = [name for name, record in images.items() if record["block"] < 0]
    newest = set(made_by_tools[-most:] if show != "no" and most > 0 else [])
    made, waiting = list[AnyMessage](), list[dict[str, Any]]()

    def flush() -> None:
        if waiting:
            made.append(HumanMessage([{"type": "text", "text": "Made by your calls:"}, *waiting]))
            waiting.clear()

    for message in messages:
        if not isinstance(message, ToolMessage):
            flush()
        labels = {}
        for place, _ in pictures_in(message):
            key = (str(message.id), place)
            if key in names:
                labels[place] = f"{names[key]}:"
            elif reason := refused.get(place_of(*key)):
                labels[place] = f"This picture has no name, and tools cannot take it: {reason}"
        if labels:
            content = list[Any]()
            for place, block in enumerate(message.content):
                content += [{"type": "text", "text": labels[place]}] if place in labels else []
                content.append(block)
            message = message.model_copy(update={"content": content})
        shown = [name for name in named_in(message) if name in newest and name in images]
        blocks = [block for name in shown for block in _shown(name, images[name])]
        if show == "tool" and blocks:
            text = [{"type": "text", "text": message.content}] if isinstance(message.content, str) else message.content
            message = message.model_copy(update={"content": [*text, *blocks]})
        else:
            waiting += blocks
        made.append(message)
    flush()
    return made


def named_in(message: AnyMessage) -> list[str]:
    """The names of the pictures that a result of a tool of ours made."""
    if not isinstance(message, ToolMessage) or not isinstance(message.artifact, Mapping):
        return []
    listed = message.artifact.get(IMAGES, [])
    return [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []


def place_of(message: str, block: int) -> str:
    """The key of a picture's place in a thread."""
    return f"{message}/{block}"


def _shown(name: str, record: ImageRecord) -> list[dict[str, Any]]:
    data, kind = _small(record["file"])
    text = {"type": "text", "text": f"{name}, {record['width']}x{record['height']} pixels:"}
    return [text, {"type": "image", "base64": data, "mime_type": kind}]


def opened(file: bytes) -> Image.Image:
    """The picture in a file that was let in before, or that a tool made: RGB, RGBA or L.

    Raises:
        ImageRejected: tools do not take such pictures.
    """
    if file.startswith(_PNG):  # also what is longer and thinner than pictures that come in may be
        with Image.open(io.BytesIO(file)) as image:
            if image.mode in ("RGB", "RGBA", "L") and not image.getexif() and "transparency" not in image.info:
                image.load()
                return image.copy()
    return load_layer(file)


@lru_cache(maxsize=32)
def _small(file: bytes) -> tuple[str, str]:
    """A file to look at, as base64, and its MIME type."""
    data, kind = preview(opened(file), _LONGEST)
    return as_base64(data), kind
