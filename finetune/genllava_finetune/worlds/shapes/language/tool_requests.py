"""Ways to ask for what tools do, and to say what came of it (`worlds/frames/tools.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames, read_frames
from genllava_finetune.worlds.grammar import Intent

_FRAMES: Final = load_frames("tools")
HERE_IT_IS: Final = _FRAMES["tool.done"]
REQUESTS: Final[dict[str, Intent]] = {
    name.removeprefix("tool."): intent for name, intent in _FRAMES.items() if intent is not HERE_IT_IS
}
"""By the tool that does it."""
DESCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    tool: tuple(said) for tool, said in read_frames("tools")["descriptions"].items()
}
"""Other words for what tools do, for tools that are known by their schema alone."""
