"""Sentences that ask for a new picture (`worlds/frames/requests.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames
from genllava_finetune.worlds.shapes.language.words import PARTS

_FRAMES: Final = load_frames("requests", PARTS)
DRAW: Final = _FRAMES["generate"]
ON_BACKGROUND: Final = _FRAMES["generate.background"]
RELATED: Final = {name: _FRAMES[f"generate.{name}"] for name in ("left", "right", "above", "below")}
NONE_OF_THEM: Final = _FRAMES["generate.none"]
NOT: Final = _FRAMES["generate.not"]
NO_SHAPES: Final = _FRAMES["generate.no_kind"]
