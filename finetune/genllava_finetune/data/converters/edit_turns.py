"""Edits of pictures as rows: the user shows a picture and says what to change, and the assistant edits it.

Each pair is opened and compared: a picture that cannot be decoded, an instruction without words and an edit that
changes no pixel give no row. Pictures are stored as the bytes of their files. Source and target may differ in size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genllava.errors import ImageRejected
from genllava.images import MAX_BYTES, content_key, load_image
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.rows import Row, read_row


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that can be decoded.

    Attributes:
        file: the bytes of its file, with its name where it has one.
        key: identity of its pixels, as RGB.
    """

    file: EncodedPicture
    key: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One edit.

    Attributes:
        name: of this edit in its data set; that of the first one is in the id of the row.
        instruction: what is changed.
        source: the picture that is edited.
        target: the result.
    """

    name: str
    instruction: str
    source: Picture
    target: Picture


def open_picture(value: object, what: str, root: Path | None = None) -> Picture:
    """A picture as data sets hold it.

    Args:
        value: the bytes of a file, a cell of a table (`{"bytes", "path"}`), or a path below `root`.
        what: its part in the record, for the message: "source", "target".
        root: folder that paths are relative to; None where the record itself holds its pictures.

    Raises:
        RowError: there is none, or it cannot be decoded.
    """
    path = value.get("path") if isinstance(value, Mapping) else value
    data = value.get("bytes") if isinstance(value, Mapping) else value
    if isinstance(data, bytes):
        file = data if isinstance(data, EncodedPicture) else EncodedPicture(data, path if isinstance(path, str) else "")
    elif path is None:
        raise RowError(f"there is no {what} picture")
    elif root is None:
        raise RowError(f"the {what} picture is not in the record: it names {path!r:.200}")
    else:
        file = picture_file(root, path)
    try:
        return Picture(file, content_key(load_image(bytes(file))))
    except ImageRejected as error:
        raise RowError(f"the {what} picture cannot be read: {error.reason}") from None


def picture_file(root: Path, name: object) -> EncodedPicture:
    """The bytes of a picture that a record names by its path below a folder.

    Raises:
        RowError: there is no such file, it leads out of the folder, or it is too large to be a picture.
    """
    path = picture_path(root, name)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RowError(f"a picture has more than {MAX_BYTES} bytes: {path}")
        return EncodedPicture(path.read_bytes(), str(name))
    except OSError as error:
        raise RowError(f"a picture's file cannot be read: {path}: {error.strerror}") from None


def edit_turn(name: str, instruction: object, source: Picture, target: Picture) -> Turn:
    """An edit that says what it changes, and changes it.

    Raises:
        RowError: the instruction is no text or an empty one, or no pixel differs.
    """
    turn = Turn(name, words(instruction, "instruction"), source, target)
    if source.key == target.key:
        raise RowError("the edit changes nothing: source and target have the same pixels")
    return turn


def words(value: object, what: str) -> str:
    """A text without the space around it.

    Raises:
        RowError: it is no text, or an empty one.
    """
    if not isinstance(value, str):
        raise RowError(f"the {what} is no text: {value!r:.80}")
    if not value.strip():
        raise RowError(f"the {what} is empty")
    return value.strip()


def pair_row(original: object, instruction: object, edited: object, *, source: str, license: str) -> Row:
    """The row of a single edit of a data set that gives it no name.

    Args:
        original: the picture before, as `open_picture` takes it.
        instruction: what is changed.
        edited: the picture after.
        source: name of the data set.
        license: its licence.

    Raises:
        RowError: a picture is missing or damaged, the instruction is empty, or the edit changes nothing.
    """
    text = words(instruction, "instruction")
    first, second = open_picture(original, "source"), open_picture(edited, "edited")
    turn = edit_turn(_pair_name(text, first, second), text, first, second)
    return edit_rows([turn], source=source, license=license)[0]


def edit_rows(
    turns: Iterable[Turn], *, source: str, license: str, session: str = "", any_earlier: bool = False
) -> list[Row]:
    """The conversations that edits make in their order.

    An edit of the picture that the one before made goes on with its conversation. Any other begins a new row, so that
    no edit is lost where one before it is missing.

    Args:
        turns: the edits of one session.
        source: name of the data set.
        license: its licence.
        session: name of the session, for the ids of its rows; without one they have the names of their first edits.
        any_earlier: an edit of any earlier picture of the conversation goes on with it, not of the last one only.
    """
    rows, current = list[Row](), list[tuple[Turn, int]]()
    shown = list[str]()

    def finish() -> None:
        if current:
            name = ":".join(part for part in (source, session, current[0][0].name) if part)
            rows.append(_row(current, source, license, name))

    for turn in turns:
        candidates = shown if any_earlier else shown[-1:]
        if turn.source.key in candidates:
            index = len(shown) - 1 - shown[::-1].index(turn.source.key)
        else:
            finish()
            current, shown, index = [], [turn.source.key], 0
        current.append((turn, index))
        shown.append(turn.target.key)
    finish()
    return rows


def _row(turns: Sequence[tuple[Turn, int]], source: str, license: str, id: str) -> Row:
    messages = list[dict[str, Any]]()
    for number, (turn, index) in enumerate(turns):
        picture = [] if number else [{"type": "image"}]
        messages.append({"role": "user", "content": [*picture, {"type": "text", "text": turn.instruction}]})
        edit = {"type": "edit", "instruction": turn.instruction, "source": index}
        messages.append({"role": "assistant", "content": [edit]})
    images = [turns[0][0].source.file, *(turn.target.file for turn, _ in turns)]
    return read_row({"images": images, "messages": messages, "source": source, "license": license, "id": id})


def _pair_name(instruction: str, source: Picture, target: Picture) -> str:
    """A name for an edit of a data set that gives it none: a hash of its words and pixels.

    It is the same in every form of the data set, and equal edits have equal names.
    """
    return hashlib.sha256("\n".join([instruction, source.key, target.key]).encode()).hexdigest()[:32]
