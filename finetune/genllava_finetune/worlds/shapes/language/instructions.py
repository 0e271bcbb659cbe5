"""Sentences that ask for a change of a picture (`worlds/frames/instructions.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import instruction, load_frames
from genllava_finetune.worlds.shapes.language.words import PARTS

_FRAMES: Final = load_frames("instructions", PARTS)
RECOLOR: Final = instruction(_FRAMES, "edit.recolor")
RESIZE: Final = {size: instruction(_FRAMES, f"edit.resize_{size}") for size in ("large", "small")}
REPLACE: Final = instruction(_FRAMES, "edit.replace")
REPLACE_ALL: Final = instruction(_FRAMES, "edit.replace_all")
REMOVE: Final = instruction(_FRAMES, "edit.remove")
MOVE: Final = instruction(_FRAMES, "edit.move")
SHIFT: Final = instruction(_FRAMES, "edit.shift")
SWAP: Final = instruction(_FRAMES, "edit.swap")
ADD: Final = instruction(_FRAMES, "edit.add")
ADD_AT: Final = instruction(_FRAMES, "edit.add_at")
BACKGROUND: Final = instruction(_FRAMES, "edit.background")
