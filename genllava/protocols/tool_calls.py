"""A stock vision-language model whose chat template knows tools: it decides by calling them, and answers by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, cast

from genllava.errors import CheckpointError, InvalidRequest
from genllava.options import CancelCheck
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message, Parts, user_message
from genllava.protocols.turns import as_blocks
from genllava.protocols.verbs import ToolSpec, without_names
from genllava.vision_language import PrefixCache, Reply

INSTRUCTIONS: Final = (
    "You are an assistant that sees pictures and can draw and edit them with tools. Every picture of the conversation "
    "has a name that stands before it, such as image_1. Do everything the user asks for, in order, with one tool call "
    "for each picture that is to be made. Questions about pictures you answer yourself, in words."
)


class ToolCallsProtocol(ChatProtocol):
    """The model is offered tools through its own chat template, and its calls are read in its own format.

    Raises:
        CheckpointError: its chat template renders no tools, or calls in a format that is not known.
    """

    name = "tool_calls"
    told = INSTRUCTIONS

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        if not parts.vision_language.supports_tools:
            raise CheckpointError(
                "the chat template of this language model renders no tools: use protocol='choices', or give a "
                "chat_template= that does"
            )
        if parts.image_decoder is not None:
            _ = parts.vision_language.tool_format  # an unknown one is said now, and not in the first conversation

    def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        on_text: Callable[[str], None] | None = None,
        cancel: CancelCheck | None = None,
        cache: PrefixCache | None = None,
        **sampling: Any,
    ) -> Reply:
        offered = without_names(tools) or None
        asked = list(messages) if self._shows_after_results else _shown_later(messages)
        said = self.parts.vision_language.chat(
            asked, tools=offered, on_text=on_text, cancel=cancel, cache=cache, **sampling
        )
        return cast(Reply, said)

    @cached_property
    def _shows_after_results(self) -> bool:
        """Whether the chat template takes a message of the user right after the results of calls."""
        call = {"type": "function", "id": "aaaaaaaaa", "function": {"name": "draw", "arguments": {}}}
        talk: list[Message] = [
            user_message("a"),
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "aaaaaaaaa", "name": "draw", "content": "b"},
            user_message("c"),
        ]
        try:
            self.parts.vision_language.template.render(talk)
        except InvalidRequest:
            return False
        return True


def _shown_later(messages: Sequence[Message]) -> list[Message]:
    """Move what the user shows after the results of calls to where the user speaks again."""
    kept: list[Message] = []
    waiting: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "user" and kept and kept[-1]["role"] == "tool":
            waiting += as_blocks(message["content"])
            continue
        if message["role"] == "user" and waiting:
            message = {**message, "content": [*waiting, *as_blocks(message["content"])]}
            waiting = []
        kept.append(message)
    return kept
