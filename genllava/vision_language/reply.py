"""What a vision-language model answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from genllava.vision_language.tool_formats import InvalidCall, ToolCall


@dataclass(slots=True)
class Reply:
    """What the model said.

    Attributes:
        text: its words, without special tokens, tool calls, and the space that its chat template has before words;
            otherwise as it wrote them.
        tool_calls: the tools it asks for, in order; only where tools were offered.
        raw: all that it wrote, special tokens included, without the token that ends it.
        prompt_tokens: length of what it answered, in tokens.
        new_tokens: tokens that it wrote, with the one that ends the answer.
        invalid: what stands where a tool call should but cannot be read, and why.
        finished: it ended by itself, not at `max_new_tokens`.
    """

    text: str
    tool_calls: list[ToolCall] = field(default_factory=list)
    raw: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    invalid: list[InvalidCall] = field(default_factory=list)
    finished: bool = True
