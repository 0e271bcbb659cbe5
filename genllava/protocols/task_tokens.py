"""The tokens by which a finetuned language model says what it does next (arXiv 2406.11262)."""

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
SOI: Final = "[SOI]"
"""The plan of a picture is complete; the visual queries follow."""
EOI: Final = "[EOI]"
"""The visual queries are over; the picture follows."""

TASKS: Final = (I2T, T2I, I2I, TOOL)
