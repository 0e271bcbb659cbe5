"""Sentences of longer tasks (`worlds/frames/tasks.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames

_FRAMES: Final = load_frames("tasks")
MAX_STEPS: Final = 5
IN_ORDER: Final = {count: _FRAMES[f"tasks.order.{count}"] for count in range(2, MAX_STEPS + 1)}
IN_ANY_WAY: Final = {count: _FRAMES[f"tasks.any.{count}"] for count in range(2, MAX_STEPS + 1)}
"""By number of steps; slots `{a}`, `{b}` and so on."""
ANSWERED: Final = _FRAMES["tasks.answered"]
WHAT_IS_AT: Final = _FRAMES["tasks.what_is_at"]
DRAW_SHORT: Final = _FRAMES["tasks.draw"]
BORROW: Final = _FRAMES["tasks.borrow"]
