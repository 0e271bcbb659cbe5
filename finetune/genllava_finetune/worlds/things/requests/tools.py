"""Requests that tools carry out: what is said, and which calls are right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from genllava.protocols.verbs import image_name
from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.pictures.scene import Item
from genllava_finetune.worlds.things.requests.asked import Asking

_WORDS: Final = (
    "hello", "happy birthday", "sale", "for mum", "good night", "thank you", "page 1", "draft", "welcome", "the end",
    "summer party",
    "open", "closed", "no entry", "my zoo", "merry christmas", "50% off", "wow", "get well soon", "menu",
)  # fmt: skip
_SIZES: Final = (64, 100, 128, 200, 256, 300, 320, 400, 480, 500, 512, 640, 800, 1000, 1024)
_MARGIN: Final = 0.02
"""Beside an item, of a box around it, as a share of the picture's side."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, with its arguments as the tool takes them."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """What a person asks of tools, and the calls that are right, in order."""

    text: str
    intent: str
    calls: tuple[Call, ...]


def box_of(item: Item) -> list[float]:
    """A box around the middle of an item's cell, as tools take it: left, top, right, bottom, as shares."""
    box = replace(item, shift=(0.0, 0.0)).box
    low, high = box[:2], box[2:]
    return [round(max(edge - _MARGIN, 0.0), 2) for edge in low] + [round(min(edge + _MARGIN, 1.0), 2) for edge in high]


_Made = tuple[dict[str, str], dict[str, Any]]
_Maker = Callable[[Asking, Item | None], _Made | None]


def _plain(asking: Asking, item: Item | None) -> _Made:
    return {}, {}


def _of_item(key: str = "box") -> _Maker:
    def make(asking: Asking, item: Item | None) -> _Made | None:
        if item is None or asking.scene is None:
            return None
        the = phrases.the(asking.source, item, asking.scene, focus=asking.focus)
        return {"the": the}, {"box": box_of(item)}

    return make


def _turned(sign: int) -> _Maker:
    def make(asking: Asking, item: Item | None) -> _Made:
        angle = asking.source.choice((90, 90, 90, 45, 30, 180, 270, 60, 15, 10))
        word = asking.source.choice((f"{angle} degrees", f"{angle} degrees", f"{angle}°", f"{angle} deg"))
        return {"degrees": word}, {"angle": sign * angle}

    return make


def _sized(asking: Asking, item: Item | None) -> _Made:
    width, height = asking.source.choice(_SIZES), asking.source.choice(_SIZES)
    height = width if asking.chance(0.5) else height
    return {"width": str(width), "height": str(height)}, {"width": width, "height": height}


def _text(asking: Asking, item: Item | None) -> _Made:
    words = asking.source.choice(_WORDS)
    if asking.chance(0.3):
        words = asking.source.choice((words.upper(), words.title()))
    quoted = asking.source.choice((f'"{words}"', f"'{words}'", f'"{words}"'))
    return {"text": quoted}, {"text": words}


def _boxes(asking: Asking, item: Item | None) -> _Made | None:
    if item is None or asking.scene is None or item.style is None:
        return None
    alike = [other for other in asking.scene.items if other.kind == item.kind]
    said = phrases.plural(asking.source, phrases.Wanted(item.name))
    return {"things": said}, {"boxes": [box_of(each) for each in alike]}


def _fixed(**arguments: Any) -> _Maker:
    return lambda asking, item: ({}, arguments)


_TOOLS: Final[Mapping[str, tuple[str, _Maker]]] = MappingProxyType(
    {
        "crop_to": ("crop", _of_item()),
        "zoom_to": ("zoom_in", _of_item()),
        "rotate_right": ("rotate", _turned(1)),
        "rotate_left": ("rotate", _turned(-1)),
        "rotate_around": ("rotate", _fixed(angle=180)),
        "flip_horizontal": ("flip", _fixed(direction="horizontal")),
        "flip_vertical": ("flip", _fixed(direction="vertical")),
        "resize_image": ("resize", _sized),
        "grayscale": ("grayscale", _plain),
        "blur": ("blur", _plain),
        "blur_thing": ("blur", _of_item()),
        "pixelate": ("pixelate", _fixed(box=[0.0, 0.0, 1.0, 1.0])),
        "pixelate_thing": ("pixelate", _of_item()),
        "brighter": ("adjust", _fixed(brightness=1.3)),
        "darker": ("adjust", _fixed(brightness=0.7)),
        "contrast_up": ("adjust", _fixed(contrast=1.4)),
        "colours_up": ("adjust", _fixed(color=1.5)),
        "sharpen": ("adjust", _fixed(sharpness=2)),
        "remove_background": ("remove_background", _plain),
        "cut_out": ("remove_background", _of_item()),
        "add_text": ("add_text", _text),
        "draw_boxes": ("draw_boxes", _boxes),
        "upscale": ("upscale", _plain),
        "edge_map": ("edge_map", _plain),
        "depth_map": ("depth_map", _plain),
        "read_text": ("read_text", _plain),
        "measure": ("measure", _plain),
        "palette": ("palette", _plain),
        "histogram": ("histogram", _plain),
        "find_faces": ("find_faces", _plain),
    }
)
"""By intent: the tool, and what makes slots and arguments (but the picture)."""
_OF_TWO: Final = {"side_by_side": "side_by_side", "compare": "compare"}
CALLED: Final = frozenset((*_TOOLS, *_OF_TWO))
"""Intents of corpus/tools.yaml that tools carry out."""
LOOKING: Final = frozenset({"read_text", "measure", "palette", "find_faces"})
"""Tools that answer in words; the others make a picture."""
CHARTS: Final = frozenset({"histogram", "compare"})
"""Tools whose picture shows figures: what is in view stays so."""


def ask_tool(asking: Asking, picture: int, pictures: int, intent: str | None = None) -> ToolRequest | None:
    """A request to a tool about picture number `picture` (from 1) of so many; None if it does not fit.

    Args:
        asking: its `scene` is what the picture shows; None for a photograph, of which no item can be named.
    """
    source = asking.source
    intent = intent or source.choice(sorted(CALLED))
    if intent in _OF_TWO:
        if pictures < 2:
            return None
        first, second = source.sample(range(1, pictures + 1), 2)
        slots = {
            "picture": phrases.picture(source, first, pictures),
            "picture2": phrases.picture(source, second, pictures),
        }
        call = Call(_OF_TWO[intent], {"image": image_name(first), "other": image_name(second)})
        return ToolRequest(asking.say(intent, slots), intent, (call,))
    name, make = _TOOLS[intent]
    items = asking.scene.items if asking.scene is not None else ()
    made = make(asking, source.choice(items) if items else None)
    if made is None:
        return None
    slots, arguments = made
    call = Call(name, {"image": image_name(picture), **arguments})
    return ToolRequest(asking.say(intent, slots), intent, (call,))
