"""Requests that cannot be done, and what the assistant says to them: something is not there or not known, it is not
clear which is meant, or there is no room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from genllava_finetune.worlds.things.language import answers, corpus, phrases
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.relating import DIRECTIONS, places_towards
from genllava_finetune.worlds.things.pictures.scene import COLOURS, MOST, SHAPES, STYLES, Item, Scene
from genllava_finetune.worlds.things.requests.asked import Asking, Request, confusable
from genllava_finetune.worlds.things.requests.editing import EDITING
from genllava_finetune.worlds.things.requests.edits import Change, apply, made, recolourable

_ABOUT_ONE: Final = (
    "recolour", "restyle", "bigger", "smaller", "resize_to", "replace", "move_to", "move_direction", "move_relation",
    "remove", "keep_only",
)  # fmt: skip
"""Intents that change one item."""
_DECLINES: Final = {"declines": True}


def _said(
    scene: Scene,
    why: str,
    text: str,
    answer: str,
    expected: Mapping[str, object] = _DECLINES,
    change: Change | None = None,
) -> Request:
    return Request(text, f"impossible_{why}", scene, change, expected=expected, answer=answers.sentence(answer))


def _missing(asking: Asking, scene: Scene) -> Request | None:
    """A change of something that is not there."""
    wanted = asking.wanted([item.name for item in scene.items], plain=True)
    if any(confusable(wanted, item) for item in scene.items) or not scene.free:
        return None
    if wanted.name == "orange" and any(colour_of(item) == "orange" for item in scene.items):
        return None  # "the orange" could be the orange diamond
    absent = made(wanted, asking.place(scene.free), style=asking.source.choice(STYLES))
    called = f"the {phrases.bare(asking.source, wanted)}"
    intent = asking.source.choice((*_ABOUT_ONE, "add_relation"))
    with_it = Scene(scene.background, (*scene.items, absent))
    request = EDITING[intent](replace(asking, focus=absent, called=called), with_it)
    if request is None or request.change is None or absent not in (*request.change.items, *request.change.others):
        return None
    verb = "are" if answers.is_many(absent) else "is"
    name = absent.name if answers.is_many(absent) or wanted.shape else answers.one_name(absent)
    name = answers.plain_name(absent) if wanted.shape else name
    return _said(scene, "missing", request.text, f"There {verb} no {name}")


def _ambiguous(asking: Asking, scene: Scene) -> Request | None:
    """A change of one of several that have the same name: the assistant asks which."""
    kinds = [item.kind for item in scene.items]
    several = [item for item in scene.items if kinds.count(item.kind) > 1]
    if not several:
        return None
    item = asking.source.choice(several)
    alike = tuple(other for other in scene.items if other.kind == item.kind)
    called = f"the {phrases.bare(asking.source, Wanted(item.name, shape=item.style is None))}"
    request = EDITING[asking.source.choice(_ABOUT_ONE)](replace(asking, focus=item, called=called), scene)
    if request is None or request.change is None or request.change.items != (item,):
        return None
    afters = [apply(scene, replace(request.change, items=(other,))) for other in alike]
    if any(after is None or after.key == scene.key for after in afters):
        return None  # then it is clear which is meant: the one that can be so changed
    ones = [f"the one {answers.say_place(other.place)}" for other in alike]
    which = f"{', '.join(ones[:-1])} or {ones[-1]}"
    name = item.name if item.style is None or answers.is_many(item) else answers.one_name(item)
    answer = f"Which {name} do you mean: {which}?"
    return _said(scene, "ambiguous", request.text, answer, {"asks": True}, replace(request.change, items=alike))


def _room(asking: Asking, scene: Scene) -> Request | None:
    """More items than a picture holds."""
    wanted, room = asking.wanted(plain=asking.chance(0.5)), MOST - len(scene.items)
    if room > 1:
        return None
    if room == 1:
        wanted = replace(wanted, count=asking.source.choice((2, 3)))
    place = asking.place(scene.free)
    slots = {"a": phrases.new(asking.source, wanted), "list": "", "place": phrases.place(asking.source, place)}
    intent = "add_several" if asking.chance(0.2) else "add" if room or asking.chance(0.5) else "add_at"
    if intent == "add_several":
        slots["list"] = phrases.new_list(asking.source, [wanted, asking.wanted([wanted.name], plain=True)])
    return _said(scene, "room", asking.say(intent, slots), "There is no room for more")


def _taken(asking: Asking, scene: Scene) -> Request | None:
    """Something is to be put where another thing is."""
    clear = [
        item for item in scene.items if item.place not in ("top", "left", "right", "bottom")
    ]  # "at the top" is wide
    if not clear:
        return None
    there = asking.source.choice(clear)
    place = phrases.place(asking.source, there.place)
    others = [item for item in scene.items if item != there]
    if others and asking.chance(0.5):
        the = phrases.the(asking.source, asking.source.choice(others), scene, focus=asking.focus)
        text = asking.say("move_to", {"the": the, "place": place})
    elif len(scene.items) < MOST:
        text = asking.say("add_at", {"a": phrases.new(asking.source, asking.wanted()), "place": place})
    else:
        return None
    is_ = "are" if answers.is_many(there) else "is"
    answer = f"There is no room {answers.say_place(there.place)}: {answers.say_item(there, True)} {is_} there"
    return _said(scene, "taken", text, answer)


def _colour(asking: Asking, scene: Scene) -> Request | None:
    """Another colour for a thing of many colours."""
    items = [item for item in scene.items if not recolourable(item)]
    if not items:
        return None
    item = asking.source.choice(items)
    the = phrases.the(asking.source, item, scene, focus=asking.focus)
    colour = phrases.colour(asking.source, asking.source.choice(COLOURS))
    answer = f"I cannot give {answers.say_the(item, scene)} another colour"
    return _said(scene, "colour", asking.say("recolour", {"the": the, "colour": colour}), answer)


def _style(asking: Asking, scene: Scene) -> Request | None:
    """A style for a shape."""
    items = [item for item in scene.items if item.style is None]
    if not items:
        return None
    item = asking.source.choice(items)
    the = phrases.the(asking.source, item, scene, focus=asking.focus)
    style = phrases.style(asking.source, asking.source.choice(("3d", "cartoon")))
    return _said(scene, "style", asking.say("restyle", {"the": the, "style": style}), "Shapes come in one style only")


def _size(asking: Asking, scene: Scene) -> Request | None:
    """Bigger than large, smaller than small."""
    intent, size = asking.source.choice((("bigger", "large"), ("smaller", "small")))
    items = [item for item in scene.items if item.size == size]
    if not items:
        return None
    item = asking.source.choice(items)
    the = phrases.the(asking.source, item, scene, focus=asking.focus)
    verb, it = ("are", "they") if answers.is_many(item) else ("is", "it")
    answer = f"{answers.say_the(item, scene)} {verb} as {size} as {it} can be"
    return _said(scene, "size", asking.say(intent, {"the": the}), answer)


def _edge(asking: Asking, scene: Scene) -> Request | None:
    """Further in a direction than there is room."""
    if not scene.items:
        return None
    item, direction = asking.source.choice(scene.items), asking.source.choice(DIRECTIONS)
    if any(place in scene.free for place in places_towards(item.place, direction)):
        return None
    the = phrases.the(asking.source, item, scene, focus=asking.focus)
    way = phrases.direction(asking.source, direction)
    answer = f"{answers.say_the(item, scene)} cannot go further {direction}"
    return _said(scene, "edge", asking.say("move_direction", {"the": the, "direction": way}), answer)


def _unknown(asking: Asking, scene: Scene) -> Request | None:
    """A thing that the assistant does not know."""
    intent = "draw_unknown" if asking.scene is None or asking.chance(0.65) else "add_unknown"
    unknown = asking.source.choice(corpus.unknown_things())
    nearest = _nearest(unknown, tuple(each.name for each in asking.known), asking.source.random())
    words = answers.say_item(nearest)
    answer = corpus.reply(asking.source, "draw_unknown", nearest=words)
    return _said(scene, "unknown", asking.say(intent, {"unknown": unknown}), answer)


def _nearest(unknown: str, known: Sequence[str], chance: float) -> Item:
    """A known thing or shape of a like kind; any known thing where there is no such kind."""
    words = f" {unknown.lower()} "
    for things, names in _near():
        if any(f" {name} " in words for name in names):
            found = [each for each in things if each in known or each in SHAPES]
            if found:
                name = found[0]
                return made(Wanted(name, shape=name in SHAPES and name not in known), "center", colour="blue")
    return made(Wanted(known[int(chance * len(known))]), "center")


@lru_cache(maxsize=1)
def _near() -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    import yaml

    text = Path(__file__).with_name("nearest.yaml").read_text(encoding="utf-8")
    return tuple((tuple(each["things"]), tuple(each["words"])) for each in yaml.safe_load(text))


IMPOSSIBLE: Final[Mapping[str, Callable[[Asking, Scene], Request | None]]] = MappingProxyType(
    {
        "missing": _missing,
        "ambiguous": _ambiguous,
        "room": _room,
        "taken": _taken,
        "colour": _colour,
        "style": _style,
        "size": _size,
        "edge": _edge,
        "unknown": _unknown,
    }
)
"""Why a request cannot be done, and how such a one is made; None where it does not come about this time."""
