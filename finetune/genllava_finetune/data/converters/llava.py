"""LLaVA's JSON: `[{"id", "image", "conversations": [{"from": "human" | "gpt", "value"}, ...]}, ...]`, or a line each.

`image` is a path, a list of paths, or missing in a conversation without pictures. Turns of the user have `<image>`
where a picture stands, as often as there are pictures; where they do not, the record gives no row. In an answer it is
text. A first turn of the assistant is left out and listed, as LLaVA's loader leaves it out. `system` may stand beside
the conversation or be its first turn.

Ids are those of pictures in these data sets: several conversations have one. A row's id is
`source:id#digest`, whose digest is that of the conversation, so that only equal records have equal ids.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from genllava_finetune.data.converters.image_placeholders import PLACEHOLDER, to_blocks
from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row, read_row

_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
_DIGEST = 8


def read_llava(source: Source, name: str, license: str) -> Iterator[Record]:
    """The records of a file in this layout.

    Args:
        source: the file; paths of pictures are relative to its folder where `images` is None.
        name: of the data set.
        license: of the data set.
    """
    for origin, value in json_objects(Path(source.location)):
        yield value_record(origin, value, partial(llava_row, source=source, name=name, license=license))


def value_record(
    origin: Origin, value: dict[str, Any] | Rejected, convert: Callable[[Mapping[str, Any], Origin], Row]
) -> Record:
    """The record of a JSON object that gives one row, or none; and what was left out of it.

    Args:
        origin: where it stands.
        value: the object.
        convert: makes the row of it; raises `RowError` where it cannot.
    """
    if isinstance(value, Rejected):
        return Record(origin, (value,))
    try:
        row = convert(value, origin)
    except RowError as error:
        return Record(origin, (Rejected(str(error), written_id(value)),))
    if _leads_with_answer(value):
        reason = "the first turn is the assistant's and was left out; the others gave a row"
        return Record(origin, (row, Rejected(reason, row.id)))
    return Record(origin, (row,))


def llava_row(record: Mapping[str, Any], origin: Origin, *, source: Source, name: str, license: str) -> Row:
    """The row of one record.

    Raises:
        RowError: it is malformed, or a picture of it is missing.
    """
    turns = read_turns(record)
    messages = list[dict[str, Any]]()
    if record.get("system") is not None:
        if turns[0][0] == "system":
            raise RowError("there are two system messages: system, and the first turn")
        messages.append({"role": "system", "content": [{"type": "text", "text": text_of(record["system"], "system")}]})
    for number, (role, turn) in enumerate(turns, start=1):
        text = text_of(turn.get("value"), f"turn {number}")
        blocks = to_blocks(text) if role == "user" else [{"type": "text", "text": text}]
        messages.append({"role": role, "content": blocks})
    names = picture_names(record)
    check_placeholders(messages, len(names))
    pictures = [picture_path(picture_root(source), picture) for picture in names]
    says = [names, [[message["role"], message["content"]] for message in messages]]
    row_id = unique_id(name, record.get("id"), origin, says)
    return read_row({"images": pictures, "messages": messages, "source": name, "license": license, "id": row_id})


def picture_root(source: Source) -> Path:
    """The folder that paths of pictures are relative to: the one that was given, or that of the file."""
    return Path(source.location).parent if source.images is None else source.images


def read_turns(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Role and turn of a conversation, from the first one that is not the assistant's.

    Raises:
        RowError: there are none, or a turn is no turn, or two of one role follow each other.
    """
    conversations = record.get("conversations")
    if not isinstance(conversations, list) or not conversations:
        raise RowError(f"conversations is no list of turns: {conversations!r:.80}")
    turns = list[tuple[str, Mapping[str, Any]]]()
    for number, turn in enumerate(conversations, start=1):
        speaker = turn.get("from") if isinstance(turn, Mapping) else None
        role = _ROLES.get(speaker) if isinstance(speaker, str) else None
        if role is None:
            raise RowError(f"a turn is of none of human, gpt and system: turn {number}, of {speaker!r:.80}")
        if role == "system" and number > 1:
            raise RowError(f"the system's turn is not the first: turn {number}")
        if turns and turns[-1][0] == role:
            raise RowError(f"two turns of the same speaker follow each other: turn {number}, of {speaker}")
        turns.append((role, turn))
    if turns[0][0] == "assistant":
        turns = turns[1:]
    if not turns:
        raise RowError("there is no turn but the assistant's")
    return turns


def text_of(value: object, what: str) -> str:
    """A text with words in it.

    Raises:
        RowError: it is none.
    """
    if not isinstance(value, str):
        raise RowError(f"a text is missing: {what}, {value!r:.80}")
    if not value.strip():
        raise RowError(f"a text is empty: {what}")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, by an escape or in place of a byte that is no UTF-8
        raise RowError(f"a text is not in UTF-8: {what}") from None
    return value


def picture_names(record: Mapping[str, Any], key: str = "image") -> list[Any]:
    """What a record names as its pictures: a path, a list of them, or nothing."""
    names = record.get(key)
    if names is None:
        return []
    return names if isinstance(names, list) else [names]


def check_placeholders(messages: Sequence[Mapping[str, Any]], pictures: int) -> None:
    """Sees that the turns place as many pictures as there are.

    Raises:
        RowError: they do not.
    """
    placed = sum(block["type"] == "image" for message in messages for block in message["content"])
    if placed != pictures:
        raise RowError(f"{PLACEHOLDER} stands not as often as there are pictures: {placed} times, for {pictures}")


def unique_id(name: str, id: object, origin: Origin, says: object) -> str:
    """The id of a row from that of its record, which others may have too.

    Args:
        name: of the data set.
        id: of the record: a text or a number; without one the number of the record takes its place.
        origin: of the record.
        says: what the record says, as JSON has it; its digest tells it from others with this id.

    Raises:
        RowError: the id is none.
    """
    if id is None:
        id = f"record-{origin.line}"
    if isinstance(id, float) and id.is_integer():
        id = int(id)
    numeric = isinstance(id, int | float) and not isinstance(id, bool) and math.isfinite(id)
    if not numeric and not (isinstance(id, str) and id.strip()):
        raise RowError(f"the id is no text and no number: {id!r:.80}")
    digest = hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()
    return f"{name}:{id}#{digest[:_DIGEST]}"


def id_without_digest(row_id: str, name: str) -> str:
    """The id that the record of a row had: what `unique_id` made, undone."""
    plain = row_id.removeprefix(f"{name}:")
    front, mark, digest = plain.rpartition("#")
    made = mark and len(digest) == _DIGEST and set(digest) <= set("0123456789abcdef")
    return front if made else plain


def written_id(record: Mapping[str, Any], key: str = "id") -> str:
    """The id of a record that gives no row, as it is written there."""
    value = record.get(key)
    return str(value)[:200] if isinstance(value, str | int | float) else ""


def _leads_with_answer(record: Mapping[str, Any]) -> bool:
    match record.get("conversations"):
        case [{"from": "gpt"}, *_]:
            return True
    return False


def _converter(name: str, license: str, summary: str) -> Converter:
    return Converter(name, license, summary, partial(read_llava, name=name, license=license))


CONVERTERS: tuple[Converter, ...] = (
    _converter("llava_pretrain", "other", "LLaVA's captions for alignment (558K LAION/CC/SBU, 595K CC3M), LLaVA JSON"),
    _converter("llava_instruct", "CC-BY-4.0", "LLaVA-Instruct-158K: dialogues, descriptions, reasoning on COCO"),
    _converter("llava_mix665k", "unknown", "LLaVA-1.5's mix of 665K, of ten sources with licences of their own"),
    _converter("lvis_instruct4v", "unknown", "LVIS-Instruct4V: 220K dialogues and descriptions on COCO"),
    _converter("sharegpt4v", "CC-BY-NC-4.0", "ShareGPT4V: dense captions (100K, 1.2M) and its mix, LLaVA JSON"),
)
