"""LLaVA-Plus: conversations in which the assistant calls tools (`llava-plus-v1-117k-tool-merge.json`, and
`llava-150k-tool-aug.json`, in which it calls none).

A turn of the assistant is `{"from": "gpt", "thoughts", "actions": [{"API_name", "API_params"}], "value"}`. What the
tool says follows as a turn of `human`: `NAME output: ...`, a blank line, and the user's question once more. It becomes
a message of the role `tool` without that question, and what the user says besides, if anything, a message of the user.
The message with the call has the words of `value` and the call. `thoughts` are left out: they are stock sentences on
why the tool is called, and the row format has no place for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from genllava_finetune.data.converters.image_placeholders import PLACEHOLDER, to_blocks
from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.converters.llava import (
    check_placeholders,
    picture_names,
    picture_root,
    read_turns,
    text_of,
    unique_id,
    value_record,
)
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Converter, Origin, Record, Source
from genllava_finetune.data.rows import Row, read_row

_NAME, _LICENSE = "llava_plus", "CC-BY-NC-4.0"
# the two ways in which the generators of the data set lead back to the question
_QUESTION_AGAIN = re.compile(r"(?:Please summarize the model outputs and a|A)nswer my first question[:.]?")


def _read(source: Source) -> Iterator[Record]:
    for origin, value in json_objects(Path(source.location)):
        yield value_record(origin, value, partial(_row, source=source))


def _row(record: Mapping[str, Any], origin: Origin, *, source: Source) -> Row:
    messages = list[dict[str, Any]]()
    questions, calls = list[str](), list[dict[str, Any]]()
    for number, (role, turn) in enumerate(read_turns(record), start=1):
        text = turn.get("value")
        if role == "assistant":
            calls = _calls(turn.get("actions"), number)
            said = [{"type": "text", "text": text}] if calls and text else []
            content = [*said, *calls] if calls else [{"type": "text", "text": text_of(text, f"turn {number}")}]
            messages.append({"role": role, "content": content})
            continue
        text = text_of(text, f"turn {number}")
        if calls:
            result, text = _result_and_rest(text, calls[0]["name"], questions)
            content = [{"type": "tool_result", "id": calls[0]["id"], "name": calls[0]["name"], "text": result}]
            messages.append({"role": "tool", "content": content})
            calls = []
        if text:
            questions += [text] if role == "user" else []
            blocks = to_blocks(text) if role == "user" else [{"type": "text", "text": text}]
            messages.append({"role": role, "content": blocks})
    names = picture_names(record) or picture_names(record, "file_name")
    check_placeholders(messages, len(names))
    pictures = [picture_path(picture_root(source), name) for name in names]
    written = record["unique_id"] if record.get("unique_id") is not None else record.get("id")
    row_id = unique_id(_NAME, written, origin, [names, messages])
    return read_row({"images": pictures, "messages": messages, "source": _NAME, "license": _LICENSE, "id": row_id})


def _calls(actions: object, number: int) -> list[dict[str, Any]]:
    """The tool call of a turn, if it has one."""
    if actions is None:
        return []
    if not isinstance(actions, list):
        raise RowError(f"the actions of a turn are no list: turn {number}")
    if len(actions) > 1:
        raise RowError(f"a turn calls several tools, and only one result can follow: turn {number}")
    calls = list[dict[str, Any]]()
    for action in actions:
        match action:
            case {"API_name": str() as name} if name.strip():
                arguments = action.get("API_params") or {}
            case _:
                raise RowError(f"an action has no API_name: turn {number}")
        if not isinstance(arguments, Mapping):
            raise RowError(f"the API_params of an action are no JSON object: turn {number}")
        calls.append({"type": "tool_call", "id": f"call_{number}", "name": name.strip(), "arguments": dict(arguments)})
    return calls


def _result_and_rest(turn: str, tool: str, questions: list[str]) -> tuple[str, str]:
    """What the tool said in a turn, and what the user says besides: nothing, where that is a question again."""
    result, rest = turn, ""
    for found in _QUESTION_AGAIN.finditer(turn):
        result, rest = turn[: found.start()], turn[found.end() :]
    for heading in (f"{tool} output:", f"{tool} model outputs:"):
        result = result.strip().removeprefix(heading)
    again = not rest.strip() or _words(rest) in map(_words, questions)
    return result.strip(), "" if again else rest.strip()


def _words(text: str) -> str:
    return " ".join(text.replace(PLACEHOLDER, " ").split())


CONVERTERS: tuple[Converter, ...] = (
    Converter(_NAME, _LICENSE, "LLaVA-Plus: dialogues with tool calls and their results, on COCO", _read),
)
