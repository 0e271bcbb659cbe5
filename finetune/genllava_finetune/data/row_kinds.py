"""What a row teaches: understanding, generation, editing, tools, or several of them."""

from __future__ import annotations

from typing import Final

from genllava_finetune.data.rows import Message, Row

ROW_KINDS: Final = ("understanding", "generation", "editing", "tools", "mixed")
_OF_BLOCK: Final = {"draw": "generation", "edit": "editing", "tool_call": "tools"}


def row_kind(row: Row) -> str:
    """The kind of all messages of the assistant, "mixed" where they are of several kinds.

    A message of words alone is understanding; in a row that calls tools and does nothing else it belongs to the tools.
    """
    kinds = set().union(*(_message_kinds(message) for message in row.messages if message.role == "assistant"))
    if kinds == {"tools", "understanding"}:
        return "tools"
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _message_kinds(message: Message) -> set[str]:
    return {_OF_BLOCK[block.type] for block in message.content if block.type in _OF_BLOCK} or {"understanding"}
