"""Whether tools were called as asked: their names in order, and those of their arguments that the words say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genllava_finetune.worlds.things.grading.pictures import is_named
from genllava_finetune.worlds.things.grading.test_file_cases import ToolCall, Verb
from genllava_finetune.worlds.things.grading.words import called, tokens
from genllava_finetune.worlds.things.pictures.scene import Scene

OVERLAP: Final = 0.5
"""Two boxes are of the same thing if they share at least this much of what they cover together."""
_INSTEAD: Final[Mapping[str, tuple[str, ...]]] = {
    "cut_out": ("remove_background",),
    "draw_boxes": ("detect", "highlight"),
    "count_objects": ("detect",),
}
"""Tools that do what another one does too."""
_FACTORS: Final = ("brightness", "contrast", "color", "colour", "sharpness")
_SAME: Final[Mapping[str, tuple[str, ...]]] = {
    "degrees": ("degrees", "angle"),
    "angle": ("angle", "degrees"),
    "colour": ("color", "colour"),
    "label": ("label", "labels", "query", "name", "prompt"),
}
"""Names that an argument goes by."""
THREAD_VERBS: Final = ("undo", "redo", "retry", "show_image")


@dataclass(frozen=True, slots=True)
class Called:
    """A call that was made."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def names_right(expected: Sequence[ToolCall], calls: Sequence[Called]) -> bool:
    """Whether these tools were called, in this order, and no others."""
    if len(expected) != len(calls):
        return False
    pairs = zip(expected, calls, strict=True)
    return all(call.name == want.name or call.name in _INSTEAD.get(want.name, ()) for want, call in pairs)


def tools_right(expected: Sequence[ToolCall], calls: Sequence[Called], scenes: Sequence[Scene]) -> bool:
    """Whether these tools were called with these arguments.

    Args:
        scenes: what the picture shows that they are about; several where more than one may be meant.
    """
    if not names_right(expected, calls):
        return False
    pairs = zip(expected, calls, strict=True)
    return all(_argument(k, v, call.arguments, scenes) for want, call in pairs for k, v in want.arguments.items())


def _argument(key: str, wanted: Any, given: Mapping[str, Any], scenes: Sequence[Scene]) -> bool:
    if key == "label":
        return _labelled(str(wanted), given, scenes)
    value = next((given[name] for name in _SAME.get(key, (key,)) if name in given), None)
    if value is None:
        return False
    if key == "box":
        return _is_box(wanted) and _is_box(value) and overlap(wanted, value) >= OVERLAP
    if key == "boxes":
        return len(wanted) == len(value) and all(any(overlap(a, b) >= OVERLAP for b in value) for a in wanted)
    if isinstance(wanted, int | float) and isinstance(value, int | float):
        return _number_right(key, float(wanted), float(value))
    if key == "text":
        return tokens(str(wanted)) == tokens(str(value))
    return str(wanted).strip().casefold() == str(value).strip().casefold()


def _number_right(key: str, wanted: float, value: float) -> bool:
    if key in ("degrees", "angle"):
        return (wanted - value) % 360 == 0
    if key in _FACTORS:  # by how much is not said
        return (wanted > 1) == (value > 1) and (wanted < 1) == (value < 1)
    return abs(wanted - value) < 1e-6


def _labelled(name: str, given: Mapping[str, Any], scenes: Sequence[Scene]) -> bool:
    """Whether an item is meant, by its name or by a box around it."""
    said = [given[key] for key in _SAME["label"] if key in given]
    words = [each for value in said for each in (value if isinstance(value, list | tuple) else [value])]
    if any(called(str(word).lower().removeprefix("the ").removeprefix("a ")) == called(name) for word in words):
        return True
    boxes = [box for box in (given.get("box"), *(given.get("boxes") or ())) if _is_box(box)]
    items = [item for scene in scenes for item in scene.items if is_named(item, name)]
    return any(overlap(item.box, box) >= OVERLAP for item in items for box in boxes)


def _is_box(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 4 and all(isinstance(each, int | float) for each in value)


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """What two boxes share, of what they cover together, 0 to 1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / max(sum(areas) - shared, 1e-9)


def verb_right(verb: Verb, calls: Sequence[Called], numbers: Mapping[str, frozenset[int]] | None = None) -> bool:
    """Whether something was done to the conversation as asked.

    Args:
        numbers: by its name in the conversation, which numbers a picture goes by; None: that in its name.
    """
    names = [call.name for call in calls]
    if verb.again:
        return names == ["retry"]
    if verb.show is not None:
        if names != ["show_image"]:
            return False
        image = str(calls[0].arguments.get("image"))
        own = frozenset({int(image.rpartition("_")[2])}) if image.rpartition("_")[2].isdecimal() else frozenset[int]()
        return verb.show in (own if numbers is None else numbers.get(image, own))
    name, count = ("undo", verb.undo) if verb.undo is not None else ("redo", verb.redo)
    return bool(names) and set(names) == {name} and sum(int(call.arguments.get("turns", 1)) for call in calls) == count
