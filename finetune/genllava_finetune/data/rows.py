"""The row format: a conversation with its pictures, and where it comes from.

    {"images": [picture, picture, picture],
     "messages": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Make the wall blue."}]},
        {"role": "assistant", "content": [
            {"type": "edit", "instruction": "make the wall blue", "source": 0, "image": 1}]},
        {"role": "user", "content": [{"type": "text", "text": "Now draw a cat, and say what is odd."}]},
        {"role": "assistant", "content": [
            {"type": "draw", "prompt": "a cat", "image": 2}, {"type": "text", "text": "It has no tail."}]}],
     "source": "magicbrush", "license": "CC-BY-4.0", "id": "magicbrush:123"}

Pictures stand in `images` in the order in which the conversation shows them: each `image` block is the next one, and
so is what each `draw` or `edit` block makes, whose `image` says its index (from 0). An edit's `source` is the index of
an earlier picture. A `tool_call` names its pictures `image_1`, `image_2`, ... as they are named to a model.

A row of `text` and `image` blocks only is what TRL and other trainers of vision-language models read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from genllava_finetune.data.errors import RowError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Part):
    """Words."""

    type: Literal["text"] = "text"
    text: str


class ShownImage(_Part):
    """The next picture of the row, shown to the model."""

    type: Literal["image"] = "image"


class Draw(_Part):
    """A picture that the assistant draws.

    Attributes:
        prompt: what it shows, as the model should plan it.
        image: index of the picture in the row; None stands for the next one, and is filled in.
    """

    type: Literal["draw"] = "draw"
    prompt: str = Field(min_length=1)
    image: int | None = Field(default=None, ge=0)


class Edit(_Part):
    """A picture that the assistant makes from an earlier one.

    Attributes:
        instruction: what is changed.
        source: index of the picture that is edited.
        image: index of the result; None stands for the next picture, and is filled in.
    """

    type: Literal["edit"] = "edit"
    instruction: str = Field(min_length=1)
    source: int = Field(ge=0)
    image: int | None = Field(default=None, ge=0)


class ToolCall(_Part):
    """A tool that the assistant calls."""

    type: Literal["tool_call"] = "tool_call"
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)


class ToolResult(_Part):
    """What a called tool said; pictures that it gave follow as `image` blocks of the same message."""

    type: Literal["tool_result"] = "tool_result"
    id: str = Field(min_length=1)
    name: str = ""
    text: str = ""
    error: bool = False


Block = Annotated[Text | ShownImage | Draw | Edit | ToolCall | ToolResult, Field(discriminator="type")]
_ALLOWED: dict[str, set[str]] = {
    "system": {"text"},
    "user": {"text", "image"},
    "assistant": {"text", "draw", "edit", "tool_call"},
    "tool": {"tool_result", "text", "image"},
}


class Message(_Part):
    """One message.

    Attributes:
        learn: whether a model learns to say it, where it is the assistant's.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: tuple[Block, ...] = Field(min_length=1)
    learn: bool = True


class Row(_Part):
    """One training example.

    Attributes:
        images: pictures: bytes of an encoded file, a path, or a PIL image.
        messages: the conversation.
        source: name of the data set.
        license: its licence, an SPDX name where there is one; "unknown" where none is declared.
        id: of the row, unique in its data set.
        tools: function tools that are offered, in the form that chat templates take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    images: tuple[Any, ...] = ()
    messages: tuple[Message, ...] = Field(min_length=1)
    source: str
    license: str
    id: str = Field(min_length=1)
    tools: tuple[dict[str, Any], ...] = ()


_ROW = TypeAdapter(Row)


def read_row(value: Mapping[str, Any]) -> Row:
    """A row that is right in itself: blocks where they may stand, pictures in order, tools answered.

    Args:
        value: the row as a mapping, as data sets hold it.

    Raises:
        RowError: it is not; the message says which block of which message is wrong, and why.
    """
    try:
        row = _ROW.validate_python(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RowError(f"{place}: {first['msg']}") from None
    except RecursionError:
        raise RowError("it is nested too deeply") from None
    return _in_order(row)


def row_dict(row: Row) -> dict[str, Any]:
    """The row as data sets hold it; `learn` and `tools` only where they say something."""
    value: dict[str, Any] = {"images": list(row.images)}
    value["messages"] = [
        {
            "role": message.role,
            "content": [block.model_dump(exclude_none=True) for block in message.content],
            **({} if message.learn else {"learn": False}),
        }
        for message in row.messages
    ]
    value |= {"source": row.source, "license": row.license, "id": row.id}
    if row.tools:
        value["tools"] = [dict(tool) for tool in row.tools]
    return value


def _in_order(row: Row) -> Row:
    """The row with the indices of its drawn pictures, which must be those of the reading order."""
    shown, messages = 0, list[Message]()
    open_calls = dict[str, str]()
    for number, message in enumerate(row.messages):
        blocks = list[Any]()
        for block in message.content:
            place = f"messages.{number}: "
            if block.type not in _ALLOWED[message.role]:
                raise RowError(f"{place}a message of the {message.role} has no {block.type} block")
            if isinstance(block, Draw | Edit):
                if block.image not in (None, shown):
                    raise RowError(f"{place}the picture of this {block.type} is {shown} in order, not {block.image}")
                if isinstance(block, Edit) and block.source >= shown:
                    raise RowError(f"{place}the edit's source {block.source} is no earlier picture")
                block = block.model_copy(update={"image": shown})
            elif isinstance(block, ToolCall):
                if block.id in open_calls:
                    raise RowError(f"{place}two tool calls have the id {block.id!r}")
                open_calls[block.id] = block.name
            elif isinstance(block, ToolResult) and open_calls.pop(block.id, None) is None:
                raise RowError(f"{place}the result {block.id!r} belongs to no tool call before it")
            shown += block.type in ("image", "draw", "edit")
            blocks.append(block)
        messages.append(message.model_copy(update={"content": tuple(blocks)}))
    if shown != len(row.images):
        raise RowError(f"the messages place {shown} pictures, and the row has {len(row.images)}")
    if not any(message.role == "assistant" and message.learn for message in row.messages):
        raise RowError("there is nothing that the assistant says")
    return row.model_copy(update={"messages": tuple(messages)})
