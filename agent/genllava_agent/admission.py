"""Pictures that come into a thread: through one door, into its artifacts, and with a record each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AnyMessage, HumanMessage
from PIL import Image

from genllava.errors import ImageRejected
from genllava.images import load_image, picture_notes
from genllava_agent.messages import blocks, is_picture, picture_file, record_in, reference, with_images
from genllava_agent.records import ImageRecord, image_name
from genllava_agent.stores.artifacts import image_key
from genllava_tools.picture_files import load_layer, on_white
from genllava_tools.pictures import layer_in

if TYPE_CHECKING:
    from genllava_agent.stores.base import Artifacts

_JPEG: Final = b"\xff\xd8\xff"


def admitted(source: Any, load: Callable[[Any], Image.Image] = load_image) -> Image.Image:
    """A picture through the one door.

    Raises:
        ImageRejected: it was not let in; the message names its file.
    """
    try:
        return load(source)
    except ImageRejected as error:
        if isinstance(source, (str, Path)) and not str(source).startswith("data:"):
            raise ImageRejected(f"{source}: {error}") from None
        raise


def with_transparency(source: Any) -> Image.Image:
    """A picture that is let in by `load_image`, as RGB, or as RGBA where it has transparency.

    Raises:
        ImageRejected.
    """
    if isinstance(source, (str, Path, bytes)):
        image = load_layer(source)
    else:
        image = load_image(source)
        raw: Any = source.to_raw() if hasattr(source, "to_raw") else source
        if isinstance(raw, Image.Image) and raw.has_transparency_data:
            image = layer_in(raw, "image")
    return image.convert("RGB") if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255) else image


def jpeg_file(source: Any) -> bytes | None:
    """The bytes of a picture that came as a JPEG, as a file or as bytes; None of any other."""
    if isinstance(source, (str, Path)):
        with suppress(OSError), Path(source).open("rb") as file:  # it was there a moment ago
            head = file.read(len(_JPEG))
            source = head + file.read() if head == _JPEG else head
    is_jpeg = isinstance(source, (bytes, bytearray, memoryview)) and bytes(source[: len(_JPEG)]) == _JPEG
    return bytes(source) if is_jpeg else None


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


def keep(store: Artifacts, record: ImageRecord, image: Image.Image, jpeg: bytes | None = None) -> ImageRecord:
    """Keep a user's picture; returns its record, which then says how.

    Args:
        jpeg: the JPEG that it came as, if it did.
    """
    # A photo that came in reduced does not have the pixels of its file.
    kept = None if jpeg is None or picture_notes(image) else store.put_jpeg(image, jpeg)
    if kept is None:
        store.put_image(image)
    return record.model_copy(update={"jpeg": kept})


def check_kept(store: Artifacts, record: ImageRecord) -> None:
    """Raises:
    ImageRejected: the thread does not have that picture.
    """
    if not store.has(record.jpeg or record.key, "png" if record.jpeg is None else "jpg"):
        raise ImageRejected(f"{record.id} refers to a picture that this thread does not have: send it")


def adopt(
    store: Artifacts,
    turns: Sequence[Sequence[AnyMessage]],
    caption: Callable[[str, Image.Image], str] | None = None,
    known: Mapping[str, ImageRecord] | None = None,
    first: int = 1,
) -> list[AnyMessage]:
    """Messages whose pictures are references: those that came with their bytes are kept, with a number each.

    Args:
        turns: the messages of turns; the last one is the latest request.
        caption: what the model sees in a picture, by key and pixels; asked of pictures before the latest request.
        known: the pictures of turns before these, by name.
        first: number of the first of these turns.

    Returns:
        Those messages that changed.

    Raises:
        ImageRejected: a picture that was not let in, or a reference to one that the thread does not have.
        InvalidRequest: sound, film, or a file.
    """
    known, last = dict(known or {}), first + len(turns) - 1
    changed: list[AnyMessage] = []
    for turn, said in enumerate(turns, start=first):
        for message in said:
            shown, new = list[Any](), False
            for block in blocks(message):
                record = record_in(block)
                if record is not None:
                    check_kept(store, record)
                    known[record.id] = record
                elif is_picture(block):
                    new, file = True, picture_file(block)
                    image = with_transparency(file)
                    record = keep(store, record_of(image, _free(known), turn), image, jpeg_file(file))
                    if not isinstance(message, HumanMessage):
                        record = record.model_copy(update={"origin": "tool"})
                    if caption is not None and turn < last:
                        record = record.model_copy(update={"caption": caption(record.key, on_white(image))})
                    known[record.id] = record
                if record is not None:
                    shown.append(reference(record))
            if new:
                changed.append(with_images(message, shown))
    return changed


def _free(known: dict[str, ImageRecord]) -> int:
    return 1 + max((record.number for record in known.values()), default=0)
