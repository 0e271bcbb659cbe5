"""Questions about a picture (`worlds/frames/questions.yaml`)."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.frames import load_frames
from genllava_finetune.worlds.shapes.language.words import PARTS

_FRAMES: Final = load_frames("questions", PARTS)
COUNT: Final = _FRAMES["ask.count"]
COUNT_LIKE: Final = _FRAMES["ask.count_like"]
EXIST: Final = _FRAMES["ask.exist"]
COLOR_OF: Final = _FRAMES["ask.color"]
SHAPE_OF: Final = _FRAMES["ask.kind"]
SIZE_OF: Final = _FRAMES["ask.size"]
WHERE_IS: Final = _FRAMES["ask.where"]
RELATIONS: Final = ("left", "right", "above", "below")
RELATION: Final = {name: _FRAMES[f"ask.relation.{name}"] for name in RELATIONS}
RELATION_WHAT: Final = {name: _FRAMES[f"ask.relation_what.{name}"] for name in RELATIONS}
MORE: Final = _FRAMES["ask.more"]
FEWER: Final = _FRAMES["ask.fewer"]
EQUALLY_MANY: Final = _FRAMES["ask.equally_many"]
SAME: Final = _FRAMES["ask.same"]
LARGER: Final = _FRAMES["ask.larger"]
BOTH: Final = _FRAMES["ask.both"]
EITHER: Final = _FRAMES["ask.either"]
OTHER_THAN: Final = _FRAMES["ask.other_than"]
ALL_ARE: Final = _FRAMES["ask.all_are"]
BACKGROUND: Final = _FRAMES["ask.background"]
CAPTION_SHORT: Final = _FRAMES["ask.caption_short"]
CAPTION_FULL: Final = _FRAMES["ask.caption_full"]
