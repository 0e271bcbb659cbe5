"""Plans: the words in which the model says what a picture will show, and back.

    meadow: at left large 3d cat, at top right small red circle

The background, then every item in the order of places: place, size, colour (of a shape, or of a recoloured thing),
style (of a thing), name. `star` without a style is the shape. It is the form in which the image decoder reads
layouts (`genllava/layout_decoder/layout.py`).
"""

from __future__ import annotations

from genllava.errors import InvalidRequest
from genllava.layout_decoder.layout import NOTHING, phrases
from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.pictures.scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    STYLES,
    Item,
    Scene,
)


def write_plan(scene: Scene) -> str:
    """The words for a scene; where its items lie within their cells is not said."""
    items = ", ".join(item_words(item) for item in scene.items)
    return f"{scene.background}: {items}" if items else f"{scene.background}:"


def item_words(item: Item) -> str:
    """One item of a plan."""
    return f"at {item.place} {looks_words(item)}"


def looks_words(item: Item) -> str:
    """An item without its place: "large 3d cat"."""
    return " ".join(filter(None, (item.size, item.colour, item.style, item.name)))


def read_plan(text: str) -> Scene | None:
    """The scene that a plan says, with every item in the middle of its cell; None if it is no plan."""
    try:
        background, *cells = phrases(text)
    except InvalidRequest:
        return None
    filled = [(looks, place) for looks, place in zip(cells, PLACES, strict=True) if looks != NOTHING]
    items = [_item(looks, place) for looks, place in filled]
    if background not in BACKGROUNDS or None in items:
        return None
    return Scene(background, tuple(item for item in items if item is not None))


def _item(looks: str, place: str) -> Item | None:
    words = looks.split()
    if not words or words[0] not in SIZES:
        return None
    size, *words = words
    colour = words.pop(0) if words and words[0] in COLOURS else None
    style = words.pop(0) if words and words[0] in STYLES else None
    name = " ".join(words)
    return Item(name, size, place, style, colour) if (style or colour) and _is_name(name, style) else None


def _is_name(name: str, style: str | None) -> bool:
    return name in SHAPES if style is None else any(each.name == name for each in things())
