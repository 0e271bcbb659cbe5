"""Questions about what is seen: what is there, where it is, how it is drawn, what lies behind, and a description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import categories, thing
from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.language.wording import joined, pick
from genllava_finetune.worlds.things.pictures.scene import Item
from genllava_finetune.worlds.things.questions.parts import (
    DENIALS,
    Asking,
    Draft,
    absent,
    counted,
    listed,
    names,
    only,
    refer,
)

_BESIDE: Final = MappingProxyType(
    {
        "top": ("top left", "top right"),
        "bottom": ("bottom left", "bottom right"),
        "left": ("top left", "bottom left"),
        "right": ("top right", "bottom right"),
    }
)
"""Places that people may also mean by the name of a side: where one of them is taken, the side is said exactly."""


def what_all(asking: Asking) -> Draft:
    """What is in the picture?"""
    items = asking.scene.items
    return Draft({}, answers.sentence(listed(items)), names(items), only(items))


def caption(asking: Asking) -> Draft:
    """Describe it in a sentence."""
    items, behind = asking.scene.items, answers.say_on(asking.scene.background)
    expected = {"caption": True}
    if not items:
        return Draft({}, answers.sentence(f"nothing {behind}"), expected)
    parts = [f"{answers.say_list((item,))} {answers.say_place(item.place)}" for item in items]
    return Draft({}, answers.sentence(f"{joined(parts)}, {behind}"), expected, only(items))


def count_all(asking: Asking) -> Draft:
    """How many things are there in all?"""
    items = asking.scene.items
    return Draft({}, answers.sentence(counted(items)), {"number": len(items)}, only(items))


def what_at(asking: Asking) -> Draft | None:
    """What is at the top left?"""
    scene = asking.scene
    item = asking.item() if asking.chance(0.85) else None
    place = item.place if item is not None else asking.source.choice(scene.free)
    crowded = any(scene.at(other) for other in _BESIDE.get(place, ()))
    said = pick(asking.source, "exact", place) if crowded else phrases.place(asking.source, place)
    items = (item,) if item is not None else ()
    return Draft({"place": said}, answers.sentence(listed(items)), names(items), item)


def background(asking: Asking) -> Draft:
    """What is the background?"""
    name = asking.scene.background
    return Draft({}, answers.sentence(answers.say_background(name)), {"background": name})


def _about(
    hidden: str, tell: Callable[[Item], tuple[str, Mapping[str, object]] | None], *, premise: bool = True
) -> Callable[[Asking], Draft | None]:
    """A maker of questions about one item.

    Args:
        hidden: what is asked, which the words for the item must not tell.
        tell: the answer and what is expected; None for an item that is not asked about.
        premise: now and then the item is not there.
    """

    def make(asking: Asking) -> Draft | None:
        if premise and asking.false_premise():
            found = absent(asking)
            return found and Draft({"the": found[0]}, found[1], {"any_of": list(DENIALS)})
        item = asking.item()
        if item is None or (told := tell(item)) is None:
            return None
        the = refer(asking, item, hidden)
        return None if the is None else Draft({"the": the}, answers.sentence(told[0]), told[1], item)

    return make


def _where(item: Item) -> tuple[str, Mapping[str, object]]:
    return answers.say_place(item.place), {"place": item.place}


def _style(item: Item) -> tuple[str, Mapping[str, object]] | None:
    return None if item.style is None else (answers.say_style(item.style), {"style": item.style})


def _size(item: Item) -> tuple[str, Mapping[str, object]]:
    return item.size, {"size": item.size}


def _colour(item: Item) -> tuple[str, Mapping[str, object]] | None:
    colour = phrases.colour_of(item)
    return None if colour is None else (colour, {"colour": colour})


def _category(item: Item) -> tuple[str, Mapping[str, object]] | None:
    if item.style is None:
        return "a shape", {"any_of": ["shape"]}
    found = thing(item.name)
    one = categories()[found.category]
    if not one or found.holds(found.category) is None:
        return None
    if found.category == "food":
        return "food", {"any_of": ["food"]}
    article = "an" if one[0][0] in "aeiou" else "a"
    return f"{article} {one[0]}", {"any_of": [one[0].split()[-1]]}


where: Final = _about("place", _where)
style: Final = _about("style", _style)
size: Final = _about("size", _size)
colour: Final = _about("colour", _colour)
category: Final = _about("category", _category, premise=False)
