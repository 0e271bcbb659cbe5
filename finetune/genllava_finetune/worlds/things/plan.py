"""Plans: the words in which the model says what a picture will show, and back.

    meadow: large 3d cat left, small red circle top right

The background, then every item in the order of places: size, colour (of a shape, or of a thing that is not in its own),
style (of a thing), name, place. `star` without a style is the shape.
"""

from __future__ import annotations

from genllava_finetune.worlds.things.knowledge import things
from genllava_finetune.worlds.things.scene import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, STYLES, Item, Scene


def write_plan(scene: Scene) -> str:
    """The words for a scene; where its items lie within their cells is not said."""
    items = ", ".join(item_words(item) for item in scene.items)
    return f"{scene.background}: {items}" if items else f"{scene.background}:"


def item_words(item: Item) -> str:
    """One item of a plan."""
    return " ".join(filter(None, (item.size, item.colour, item.style, item.name, item.place)))


def read_plan(text: str) -> Scene | None:
    """The scene that a plan says, with every item in the middle of its cell; None if it is no plan."""
    background, colon, rest = text.strip().partition(":")
    if not colon or background not in BACKGROUNDS:
        return None
    items = [_item(words.split()) for words in rest.split(",") if words.strip()]
    if None in items:
        return None
    try:
        return Scene(background, tuple(item for item in items if item is not None))
    except ValueError:
        return None


def _item(words: list[str]) -> Item | None:
    if not words or words[0] not in SIZES:
        return None
    size, *words = words
    colour = words.pop(0) if words and words[0] in COLOURS else None
    style = words.pop(0) if words and words[0] in STYLES else None
    for length in (2, 1):
        place, name = " ".join(words[-length:]), " ".join(words[:-length])
        if place in PLACES and _is_name(name, style):
            return Item(name, size, place, style, colour) if style or colour else None
    return None


def _is_name(name: str, style: str | None) -> bool:
    return name in SHAPES if style is None else any(each.name == name for each in things())
