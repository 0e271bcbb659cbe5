"""A stock vision-language model whose chat template knows tools: it decides by calling them, and answers by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from genllava.errors import CheckpointError
from genllava.options import CancelCheck
from genllava.protocols.chat_protocol import ChatProtocol
from genllava.protocols.parts import Message, Parts
from genllava.protocols.verbs import ToolSpec
from genllava.vision_language import PrefixCache, Reply

INSTRUCTIONS: Final = (
    "You are an assistant that sees pictures and can draw and edit them with tools. Every picture of the conversation "
    "has a name that stands before it, such as image_1. Do everything the user asks for, in order, with one tool call "
    "for each picture that is to be made. Questions about pictures you answer yourself, in words."
)


class ToolCallsProtocol(ChatProtocol):
    """The model is offered tools through its own chat template, and its calls are read in its own format.

    Raises:
        CheckpointError: its chat template renders no tools.
    """

    name = "tool_calls"
    instructions = INSTRUCTIONS

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        if not parts.vision_language.supports_tools:
            raise CheckpointError(
                "the chat template of this language model renders no tools: use protocol='choices', or give a "
                "chat_template= that does"
            )

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
        said = self.parts.vision_language.chat(
            list(messages), tools=list(tools) or None, on_text=on_text, cancel=cancel, cache=cache, **sampling
        )
        return cast(Reply, said)
