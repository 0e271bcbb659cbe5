"""Sentences that make sense only after an earlier turn (`worlds/frames/back_references.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames
from genllava_finetune.worlds.shapes.language.words import PARTS

_FRAMES: Final = load_frames("back_references", PARTS)
UNDO: Final = _FRAMES["edit.undo"]
IT: Final = {
    "color": _FRAMES["ask.it.color"],
    "shape": _FRAMES["ask.it.kind"],
    "size": _FRAMES["ask.it.size"],
    "cell": _FRAMES["ask.it.place"],
}
"""Questions about the only thing there is, or what is taken for it, by attribute."""
FOLLOW_UP: Final = _FRAMES["ask.follow_up"]
