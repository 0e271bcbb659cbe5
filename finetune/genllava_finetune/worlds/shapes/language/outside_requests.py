"""What people say to an assistant that is no matter of the world (`worlds/frames/outside.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames
from genllava_finetune.worlds.shapes.language.words import PARTS

_FRAMES: Final = load_frames("outside", PARTS)
GREETING: Final = _FRAMES["outside.greeting"]
THANKS: Final = _FRAMES["outside.thanks"]
GOODBYE: Final = _FRAMES["outside.goodbye"]
ABILITIES: Final = _FRAMES["outside.abilities"]
DRAW: Final = _FRAMES["outside.draw"]
WRITE: Final = _FRAMES["outside.write"]
CHANGE: Final = _FRAMES["outside.change"]
STYLE: Final = _FRAMES["outside.style"]
QUESTION: Final = _FRAMES["outside.question"]
