"""How the assistant names what a picture shows: always with the plain word, so that a small model can rely on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.language.wording import joined, many_of, pool, with_article
from genllava_finetune.worlds.things.pictures.scene import DRAWN, PLAIN, Item, Scene

_PLACES: Final = {"left": "on the left", "center": "in the center", "right": "on the right"}
_STYLES: Final = {"flat": "flat", "3d": "3D", "cartoon": "cartoon"}
_ON: Final = {
    "meadow": "on a meadow", "beach": "on a beach", "night": "at night", "snow": "in the snow", "room": "in a room",
    "sea": "on the sea",
}  # fmt: skip


def plain_name(item: Item) -> str:
    """The plain words for an item without article: "cat", "red circle"; a colour of its own is not said."""
    return f"{item.colour} {item.name}" if item.style is None else item.name


def say_item(item: Item, definite: bool = False) -> str:
    """An item with its article: "a cat", or "the cat" if `definite`."""
    if definite:
        return f"the {plain_name(item)}"
    if item.style is None:
        return with_article(plain_name(item))
    return f"{thing(item.name).article} {item.name}"


def say_the(item: Item, scene: Scene) -> str:
    """The item, with its place where another one has the same name: "the cat at the top left"."""
    alike = any(plain_name(other) == plain_name(item) for other in scene.items if other.place != item.place)
    return f"{say_item(item, True)} {say_place(item.place)}" if alike else say_item(item, True)


def say_several(item: Item, count: int) -> str:
    """So many items like one: "two dogs", "one cat", "no cats"."""
    if count == 1:
        return f"one {one_name(item)}"
    return f"{say_number(count) if count else 'no'} {plural_name(item)}"


def one_name(item: Item) -> str:
    """What stands after a one: "cat", "pair of glasses"."""
    return say_item(item).partition(" ")[2]


def plural_name(item: Item) -> str:
    """What stands after a number: "cats", "pairs of glasses", "red circles"."""
    return many_of(plain_name(item)) if item.style is None else thing(item.name).plural


def is_many(item: Item) -> bool:
    """Whether its name is a plural: "the glasses are"."""
    return item.style is not None and thing(item.name).many


def say_list(items: Iterable[Item], definite: bool = False) -> str:
    """Items, those of one name together: "a cat, a red circle and two dogs"; "nothing" for none.

    Args:
        definite: "the cat, the red circle and the two dogs".
    """
    first = dict[str, Item]()
    counts = Counter[str]()
    for item in items:
        name = plain_name(item) if item.style is None else f"{item.name}:"
        first.setdefault(name, item)
        counts[name] += 1
    said = list[str]()
    for name, item in first.items():
        several = f"{'the ' if definite else ''}{say_several(item, counts[name])}"
        said.append(say_item(item, definite) if counts[name] == 1 else several)
    return joined(said) or "nothing"


def say_number(count: int) -> str:
    """A number in words."""
    words = pool("numbers")
    return words[count] if 0 <= count < len(words) else str(count)


def say_place(place: str) -> str:
    """A place: "at the top left"."""
    return _PLACES.get(place, f"at the {place}")


def say_style(style: str) -> str:
    """A style as an adjective: "3D"."""
    return _STYLES[style]


def say_on(background: str) -> str:
    """A background with its preposition: "on a meadow", "on a white background"."""
    return _ON[background] if background in DRAWN else f"on {with_article(background)} background"


def say_background(background: str) -> str:
    """A background by itself: "a meadow", "white"."""
    if background in PLAIN:
        return background
    return {"night": "night", "snow": "snow", "sea": "the sea"}.get(background, f"a {background}")


def sentence(words: str) -> str:
    """The words with a capital and a full stop: "A cat and a dog."."""
    return f"{words[:1].upper()}{words[1:]}{'' if words[-1:] in '.!?' else '.'}"
