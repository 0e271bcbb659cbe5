"""Ways to put two requests into one message, and to say which picture one is about (`worlds/frames/joining.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames

_FRAMES: Final = load_frames("joining")
JOINED: Final = _FRAMES["edit.joined"]
IN_PICTURE: Final = _FRAMES["edit.named"]
STEPS: Final = _FRAMES["steps"]
STEPS_TELL: Final = _FRAMES["steps.tell"]
STEPS_AFTER_QUESTION: Final = _FRAMES["steps.after_question"]
