"""The special tokens of the stream that the language model reads and writes."""

from __future__ import annotations

from typing import Final

I2T: Final = "[I2T]"
"""The assistant answers in words."""
T2I: Final = "[T2I]"
"""The assistant draws a new picture."""
I2I: Final = "[I2I]"
"""The assistant edits a picture of the conversation."""
TOOL: Final = "[TOOL]"
"""The assistant calls a tool."""
SEEN: Final = "[SEEN]"
"""What the new pictures show and what the request is about is written down; the task follows."""
SOI: Final = "[SOI]"
"""The plan of a picture is complete; the visual queries follow."""
EOI: Final = "[EOI]"
"""The visual queries are over; the picture follows."""
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

TASKS: Final = (I2T, T2I, I2I, TOOL)
SPECIAL_TOKENS: Final = (PAD, BOS, EOS, USER_START, USER_END, *TASKS, SOI, EOI, IMAGE, QUERY, SEEN)
