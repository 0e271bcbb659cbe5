"""The special tokens of the stream that the language model reads and writes."""

from __future__ import annotations

from typing import Final

from genllava.protocols.task_tokens import EOI, I2I, I2T, SOI, T2I, TASKS, TOOL

__all__ = [
    "BOS", "EOI", "EOS", "I2I", "I2T", "IMAGE", "PAD", "QUERY", "SEEN", "SOI", "SPECIAL_TOKENS", "T2I", "TASKS", "TOOL",
    "USER_END", "USER_START",
]  # fmt: skip

SEEN: Final = "[SEEN]"
"""What the new pictures show and what the request is about is written down; the task follows."""
IMAGE: Final = "<image>"
"""Placeholder of one feature of a picture that is seen."""
QUERY: Final = "<query>"
"""Placeholder of one visual query."""
BOS: Final = "<s>"
EOS: Final = "</s>"
"""The assistant's turn is over."""
PAD: Final = "<pad>"
USER_START: Final = "[INST]"
USER_END: Final = "[/INST]"

SPECIAL_TOKENS: Final = (PAD, BOS, EOS, USER_START, USER_END, *TASKS, SOI, EOI, IMAGE, QUERY, SEEN)
