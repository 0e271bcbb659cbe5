"""Conversations in the form in which a finetuned GenLLaVA reads and writes them: see `genllava.protocols.genllava`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from genllava.protocols.parts import Message
from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I, TASKS, TOOL
from genllava.protocols.turns import as_blocks, texts_of
from genllava.protocols.verbs import EDIT, GENERATE

TOKENS: Final = (*TASKS, SOI, EOI)
"""Tokens of this form that a language model gets, beside the visual queries of its generation head."""


def as_spoken(messages: Sequence[Message], queries: Sequence[str]) -> list[Message]:
    """A conversation in the model's own form: calls are its tokens, what came of them is the user's.

    Args:
        messages: as chat templates with tools take them.
        queries: names of the visual queries that stand in the place of a picture that was made.
    """
    spoken: list[Message] = []
    for message in messages:
        role, blocks = message["role"], as_blocks(message["content"])
        if role == "assistant":
            said = [f"{I2T} {text}" for text in texts_of(blocks)]
            said += [as_written(call["function"], queries) for call in message.get("tool_calls") or []]
            blocks = [{"type": "text", "text": "".join(said)}]
        elif role == "tool":
            role = "user"
            blocks = [{**b, "text": b["text"] + "\n"} if b["type"] == "text" else b for b in blocks]
        if spoken and role == spoken[-1]["role"] == "user":
            spoken[-1]["content"] += blocks
        else:
            spoken.append({"role": role, "content": blocks})
    return spoken


def as_written(function: Mapping[str, Any], queries: Sequence[str]) -> str:
    """A call, {"name", "arguments"}, as the model writes it."""
    name, arguments = function["name"], function["arguments"]
    picture = f"{SOI}{''.join(queries)}{EOI}"
    if name == GENERATE and set(arguments) == {"prompt"}:
        return f"{T2I} {arguments['prompt']}{picture}"
    if name == EDIT and set(arguments) == {"image", "instruction"}:
        return f"{I2I} {arguments['image']}: {arguments['instruction']}{picture}"
    return f"{TOOL} {json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}"
