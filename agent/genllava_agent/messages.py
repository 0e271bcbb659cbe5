"""Pictures in messages: content blocks of every common form into pictures, and pictures into content blocks.

In messages of the user pictures stand in the content. Those of replies stand in `additional_kwargs["images"]`, and
those of results in the artifact: APIs of other chat models refuse them in the content there. `content_blocks` of a
reply has them all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.block_translators import register_translator
from pydantic import ValidationError

from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import decode_base64
from genllava.requests import check_text
from genllava_agent.records import ImageRecord
from genllava_tools.picture_files import png_base64

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGES: Final = 16
"""Pictures in one request."""
MAX_CHARACTERS: Final = 20_000
"""Characters of one request."""
PROVIDER: Final = "genllava"
"""`model_provider` of our replies, by which LangChain knows how to read them."""
IMAGES: Final = "images"
_RECORD: Final = "genllava"
"""Key of a reference's `extras`."""
_UNREADABLE: Final = ("audio", "video", "file", "text-plain", "input_audio", "document")
PICTURES: Final = ("image", "image_url", "input_image", "media")
"""Types of content blocks that are pictures."""


class Pictures(Protocol):
    """Where the pixels of records are."""

    def picture(self, record: ImageRecord) -> Image.Image:
        """The picture that a record is about, RGB."""


def image_block(image: Image.Image, name: str | None = None) -> dict[str, Any]:
    """LangChain's standard content block of a picture, with its pixels."""
    block = {"type": "image", "base64": png_base64(image), "mime_type": "image/png"}
    return block if name is None else {**block, "id": name}


def reference(record: ImageRecord) -> dict[str, Any]:
    """The content block of a picture whose pixels are an artifact of the thread: `file_id` is its SHA-256."""
    return {
        "type": "image",
        "id": record.id,
        "file_id": record.jpeg or record.key,
        "mime_type": "image/png" if record.jpeg is None else "image/jpeg",
        "extras": {_RECORD: record.model_dump(mode="json", exclude_defaults=True)},
    }


def record_in(block: Any) -> ImageRecord | None:
    """The record in a reference; None of any other block."""
    if not isinstance(block, Mapping) or block.get("type") != "image":
        return None
    kept = (block.get("extras") or {}).get(_RECORD)
    try:
        return None if kept is None else ImageRecord.model_validate(kept)
    except ValidationError:
        return None


def records_in(message: BaseMessage) -> list[ImageRecord]:
    """The records of all references in a message."""
    return [record for block in blocks(message) if (record := record_in(block)) is not None]


def blocks(message: BaseMessage) -> list[Any]:
    """The content of a message as a list of blocks, as they are, and behind them its pictures that stand elsewhere."""
    content = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    apart = message.additional_kwargs.get(IMAGES, []) if isinstance(message, AIMessage) else []
    if isinstance(message, ToolMessage) and isinstance(message.artifact, Mapping):
        apart = message.artifact.get(IMAGES, [])
    return [*content, *apart] if isinstance(apart, list) else list(content)


def with_images(message: AnyMessage, images: Sequence[dict[str, Any]], content: Any = None) -> Any:
    """The message with these blocks as its pictures.

    Args:
        content: its other content; None for what is no picture of what it has.
    """
    rest = [block for block in message.content if not is_picture(block)] if isinstance(message.content, list) else None
    words = content if content is not None else message.content if rest is None else rest
    if isinstance(message, ToolMessage):
        return message.model_copy(update={"content": words, "artifact": {IMAGES: list(images)} if images else None})
    if isinstance(message, AIMessage):
        more = {**message.additional_kwargs, IMAGES: list(images)} if images else message.additional_kwargs
        return message.model_copy(update={"content": words, "additional_kwargs": more})
    listed = words if isinstance(words, list) else [{"type": "text", "text": words}]
    return message.model_copy(update={"content": [*images, *listed] if images else words})


def _content_blocks(message: AIMessage) -> list[Any]:
    """The standard content blocks of one of our replies."""
    texts = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks(message)]
    said = [block for block in texts if block.get("text") != ""] if message.tool_calls else texts
    return [*said, *({**call, "type": "tool_call"} for call in message.tool_calls)]


def _chunk_blocks(message: AIMessageChunk) -> list[Any]:
    """The standard content blocks of a piece of one of our replies."""
    texts = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks(message)]
    return [*texts, *({**call, "type": "tool_call_chunk"} for call in message.tool_call_chunks)]


register_translator(PROVIDER, _content_blocks, _chunk_blocks)


def text_of(message: BaseMessage) -> str:
    """The words of a message."""
    texts = [block if isinstance(block, str) else block.get("text", "") for block in blocks(message) if is_text(block)]
    return ("\n\n" if isinstance(message, HumanMessage) else " ").join(filter(None, texts)).strip()


def is_text(block: Any) -> bool:
    """Whether a block is words."""
    return isinstance(block, str) or (isinstance(block, Mapping) and block.get("type") in ("text", "input_text"))


def is_picture(block: Any) -> bool:
    """Whether a block is a picture, in whatever form.

    Raises:
        InvalidRequest: it is sound, film, or a file.
    """
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    if kind == "media" and not str(block.get("mime_type", "")).startswith("image/"):
        kind = "file"
    if kind == "file" and str(block.get("mime_type", block.get("mimeType", ""))).startswith("image/"):
        return True
    if kind == "deepagents_blob":
        raise InvalidRequest("a block 'deepagents_blob' names a picture in another agent's files: send its base64")
    if kind in _UNREADABLE:
        named = f"a message with a block of the type {block.get('type')!r}"
        raise InvalidRequest(f"{named}: only text and pictures are understood")
    return kind in PICTURES


def picture_file(block: Mapping[str, Any]) -> bytes:
    """The file of a picture in a content block, as it is in it.

    Read are LangChain's standard blocks and their older form, those of OpenAI (chat and responses), Anthropic and
    Google, and the form in which MCP and Agent Chat UI send pictures.

    Raises:
        ImageRejected: it is not in it, but at a URL or behind an id; or it is no base64.
    """
    source = block.get("source")
    inner: Mapping[str, Any] = source if isinstance(source, Mapping) else block
    url = inner.get("image_url", inner.get("url"))
    if isinstance(url, Mapping):
        url = url.get("url")
    data = inner.get("base64", inner.get("data"))
    if data is None and isinstance(url, str) and url.startswith("data:"):
        data = url
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if not isinstance(data, str):
        raise ImageRejected("pictures in messages come as base64: URLs are not fetched, and file_id is not known here")
    return decode_base64("".join(data.split()))


def picture_files(message: BaseMessage) -> list[bytes]:
    """The files of all pictures in a message that has them in it; errors as for `picture_file`."""
    return [picture_file(block) for block in blocks(message) if is_picture(block)]


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


def about(record: ImageRecord) -> str:
    """What there is to say of a picture to a model that is shown it."""
    if record.origin == "region":
        return f"{record.id}, the part of {record.parents[0]} that the user means:"
    if record.origin == "user":
        return f"{record.id}, from the user{f' ({record.label})' if record.label else ''}:"
    source = f" from {record.parents[0]}" if record.parents else ""
    return f"{record.id}, made{source}{f' to show: {record.plan}' if record.plan else ''}:"


def for_chat_model(messages: Sequence[AnyMessage], pictures: Pictures | None, most: int = 8) -> list[AnyMessage]:
    """Messages as APIs of chat models take them: references become pictures behind their names, in user messages only.

    Pictures of replies and of results come in a message of the user right behind them, since APIs refuse them where
    they are.

    Args:
        pictures: where the pixels are; None to name pictures and show none.
        most: pictures that are shown, the ones that were named last, each once; the others are named.
    """
    named: dict[str, None] = {}
    for record in (record for message in messages for record in records_in(message)):
        named.pop(record.id, None)
        named[record.id] = None
    new, left = set(named), {*list(named)[-most:]}
    made: list[AnyMessage] = []
    waiting: list[Any] = []

    def told(record: ImageRecord) -> list[Any]:
        first = record.id in new
        new.discard(record.id)
        if pictures is None or record.id not in left:
            return [{"type": "text", "text": about(record)}] if first else []
        left.remove(record.id)
        return [{"type": "text", "text": about(record)}, image_block(pictures.picture(record))]

    def show() -> None:
        if waiting:
            text = {"type": "text", "text": "Made by your calls:"}
            made.append(HumanMessage([text, *waiting], additional_kwargs={"shown": True}))
            waiting.clear()

    for message in answered(messages):
        records = records_in(message)
        if isinstance(message, HumanMessage):
            spoken = [block for block in blocks(message) if record_in(block) is None]  # and pictures as they are
            shown = [block for record in records for block in told(record)]
            content = [*waiting, *shown, *spoken] if waiting or shown else message.content
            waiting.clear()
            made.append(HumanMessage(content, id=message.id))
            continue
        if not isinstance(message, ToolMessage):
            show()
        waiting += [block for record in records for block in told(record)]
        if isinstance(message, (AIMessage, ToolMessage)):
            said = text_of(message)
            message = _without_images(message, said or ("Done." if not _calls(message) else ""))
        made.append(message)
    show()
    return made


def answered(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Messages in which the results of calls stand right behind them, in their order, and none is missing."""
    made: list[AnyMessage] = []
    placed = set[int]()
    for place, message in enumerate(messages):
        if id(message) in placed:
            continue
        made.append(message)
        if not isinstance(message, AIMessage) or not message.tool_calls:
            continue
        since = list(takewhile(lambda each: not isinstance(each, AIMessage), messages[place + 1 :]))
        results = {str(each.tool_call_id): each for each in since if isinstance(each, ToolMessage)}
        for call in message.tool_calls:
            none = ToolMessage("There is no result.", tool_call_id=call["id"], name=call["name"], status="error")
            made.append(results.get(str(call["id"]), none))
            placed.add(id(made[-1]))
    return made


def _without_images(message: AnyMessage, text: str) -> Any:
    if isinstance(message, AIMessage):
        kept = {key: value for key, value in message.additional_kwargs.items() if key != IMAGES}
        return message.model_copy(update={"content": text, "additional_kwargs": kept})
    return message.model_copy(update={"content": text, "artifact": None})


def _calls(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and bool(message.tool_calls)
