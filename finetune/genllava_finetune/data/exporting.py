"""Rows as LLaVA's JSON, for trainers that read it. What that format cannot say is an error, and never left out."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from genllava_finetune.data.converters.image_placeholders import to_text
from genllava_finetune.data.converters.llava import id_without_digest
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.encoded_pictures import EncodedPicture, encoded_picture
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.fingerprints import digest
from genllava_finetune.data.rows import Message, Row, ShownImage, Text

_SPEAKERS = {"user": "human", "assistant": "gpt"}


def to_llava_json(rows: Iterable[Row], images: Path) -> Iterator[dict[str, Any]]:
    """The record of each row, as `converters.llava` reads it again.

    Args:
        rows: conversations of words and of pictures that the user shows.
        images: folder that the paths of pictures are relative to. One that is not there yet is written under the name
            that it was read under, or, where it has none or another picture has it, under a digest of its bytes.

    Raises:
        RowError: a row has what LLaVA's JSON cannot say: tools, drawn or edited pictures, answers that are not learned,
            turns in another order than user and assistant by turns. The message has the row's id.
        DataError: a picture cannot be written.
    """
    for row in rows:
        try:
            yield _record(row, images)
        except RowError as error:
            raise RowError(f"{row.id}: {error}") from None


def export_llava(rows: Iterable[Row], file: Path, images: Path) -> Counter[str]:
    """Write rows as a JSON list, a record on each line; arguments and errors as for `to_llava_json`.

    Returns:
        The number of rows by licence, for which the format has no place.

    Raises:
        DataError: the file is there already, or cannot be written; nothing of it is left then.
    """
    if file.exists():
        raise DataError(f"{file} is there already: name another file")
    licenses = Counter[str]()

    def counted() -> Iterator[Row]:
        for row in rows:
            licenses[row.license] += 1
            yield row

    try:
        with whole_file(file) as target:
            before = b"["
            for record in to_llava_json(counted(), images):
                target.write(before + b"\n" + json.dumps(record, ensure_ascii=False).encode())
                before = b","
            target.write((b"" if licenses else before) + b"\n]\n")
    except OSError as error:
        raise DataError(f"{file} cannot be written: {error.strerror or error}") from None
    return licenses


def _record(row: Row, images: Path) -> dict[str, Any]:
    if row.tools:
        raise RowError("LLaVA's JSON has no tools that are offered")
    record: dict[str, Any] = {"id": id_without_digest(row.id, row.source)}
    messages = list(row.messages)
    if messages[0].role == "system":
        record["system"] = _words(messages.pop(0))
    conversations = list[dict[str, str]]()
    for number, message in enumerate(messages):
        if message.role != ("user", "assistant")[number % 2]:
            raise RowError(
                f"LLaVA's JSON has user and assistant by turns: message {number + 1} is of the {message.role}"
            )
        value = to_text(_shown(message)) if message.role == "user" else _words(message)
        conversations.append({"from": _SPEAKERS[message.role], "value": value})
    names = [_picture_name(picture, images) for picture in row.images]
    if names:
        record["image"] = names[0] if len(names) == 1 else names
    return {**record, "conversations": conversations}


def _shown(message: Message) -> list[Text | ShownImage]:
    blocks = list[Text | ShownImage]()
    for block in message.content:
        if not isinstance(block, Text | ShownImage):
            raise RowError(f"LLaVA's JSON has no {block.type} block")
        blocks.append(block)
    return blocks


def _words(message: Message) -> str:
    if not message.learn:
        raise RowError("LLaVA's JSON has no answers that are not learned")
    words = list[str]()
    for block in message.content:
        if not isinstance(block, Text):
            raise RowError(f"LLaVA's JSON has no {block.type} block")
        words.append(block.text)
    return "".join(words)


def _picture_name(picture: Any, images: Path) -> str:
    """The name of a picture below the folder, where it is written if it is not there."""
    if isinstance(picture, str | Path) and Path(picture).is_file():
        place = Path(picture).resolve()
        if place.is_relative_to(images.resolve()):
            return place.relative_to(images.resolve()).as_posix()
    file = picture if isinstance(picture, EncodedPicture) else encoded_picture(picture)
    wanted = _inside(file, images)
    if wanted is not None and _put(file, images / wanted):
        return wanted
    with Image.open(io.BytesIO(file)) as opened:
        name = f"{digest(bytes(file)).hex()}.{(opened.format or 'bin').lower()}"
    if not _put(file, images / name):
        raise DataError(f"{images / name} is another picture: name another folder")
    return name


def _inside(file: EncodedPicture, images: Path) -> str | None:
    """The name that a picture has, if it leads to a place below the folder."""
    name = PurePosixPath(file.name)
    if not file.name or name.is_absolute() or ".." in name.parts or "\\" in file.name or ":" in file.name:
        return None
    return file.name if (images / name).resolve().is_relative_to(images.resolve()) else None


def _put(file: bytes, path: Path) -> bool:
    """See that this picture is at a path; whether it is, and not another one."""
    try:
        if path.exists():
            return path.is_file() and path.read_bytes() == file
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as target:
            target.write(file)
    except OSError as error:
        raise DataError(f"the picture {path} cannot be written: {error.strerror or error}") from None
    return True
