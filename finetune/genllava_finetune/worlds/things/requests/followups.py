"""Follow-ups: what people say about what was just done, without saying all of it again.

A follow-up of an edit or a drawing changes the picture that came of it. Its outcome is one scene, as of any edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.questions.asking import Question, ask
from genllava_finetune.worlds.things.requests.asked import Asking, Request, object_of, selection
from genllava_finetune.worlds.things.requests.edits import Change, apply, recolourable

_RELATIONS: Final = ("left of", "right of", "above", "below", "next to")
_DIRECTIONS: Final = {"left": "left of", "right": "right of", "up": "above", "down": "below"}
_OF_ONE: Final = ("recolour", "restyle", "resize", "remove")
"""Changes that can be done to another item as well."""
_AND: Final = {
    "ask_where": ("and_the", "the"),
    "ask_style": ("and_the", "the"),
    "ask_size": ("and_the", "the"),
    "ask_colour": ("and_the", "the"),
    "ask_category": ("and_the", "the"),
    "ask_count": ("and_things", "things"),
    "ask_exist_any": ("and_things", "things"),
    "ask_what_at": ("and_place", "place"),
}
"""Questions that are asked again about something else: the intent of that, and its slot."""


def ask_again(asking: Asking, last: Question) -> Question | None:
    """The last question about something else: "and the dog?"."""
    if asking.scene is None or last.intent not in _AND:
        return None
    intent, slot = _AND[last.intent]
    for _ in range(6):
        found = ask(asking.source, asking.scene, last.intent, known=asking.known)
        if found is not None and found.slots.get(slot) not in (None, last.slots.get(slot)):
            return replace(found, text=asking.say(intent, {slot: found.slots[slot]}))
    return None


def follow(asking: Asking, last: Request) -> Request | None:
    """A follow-up of what was drawn or changed; `asking.scene` is the picture that came of it, `asking.focus` what "it"
    means there.
    """
    if asking.scene is None:
        return None
    names = list(_FOLLOWED)
    asking.source.shuffle(names)
    for name in names:
        made = _FOLLOWED[name](asking, asking.scene, last)
        if made is not None:
            return made
    return None


def _made(
    asking: Asking, intent: str, slots: Mapping[str, str], change: Change, expected: dict[str, object], place: str = ""
) -> Request | None:
    """The request whose outcome is the scene after a change; `place`: where its focus lies then."""
    assert asking.scene is not None
    after = apply(asking.scene, change)
    if after is None or after.key == asking.scene.key:
        return None
    focus = after.at(place) if place else None
    expected = {"edits": [expected]}
    return Request(asking.say(intent, slots), intent, after, change, change.wanted, (), focus, expected)


def _colour(asking: Asking, scene: Scene, last: Request) -> Request | None:
    item = asking.focus
    if item is None or not recolourable(item) or (last.change is not None and last.change.op in ("move", "push")):
        return None
    colour = asking.source.choice([each for each in COLOURS if each != item.colour])
    expected: dict[str, object] = {"recolour": selection(item), "colour": colour}
    slots = {"colour": phrases.colour(asking.source, colour)}
    return _made(asking, "correct_colour", slots, Change("recolour", (item,), colour), expected, item.place)


def _style(asking: Asking, scene: Scene, last: Request) -> Request | None:
    whole = last.change is None or (last.change.op == "restyle" and len(last.change.items) > 1)
    items = tuple(i for i in scene.items if i.style) if whole else (asking.focus,) if asking.focus else ()
    if not items or any(item is None or item.style is None for item in items):
        return None
    style = asking.source.choice([each for each in STYLES if any(i is not None and i.style != each for i in items)])
    same = whole and asking.chance(0.5)
    chosen = tuple(item for item in items if item is not None)
    expected: dict[str, object] = {"restyle": "all" if whole else selection(chosen[0]), "style": style}
    slots = {"style": phrases.style(asking.source, style)}
    intent = "same_style" if same else "correct_style"
    place = chosen[0].place if len(chosen) == 1 else ""
    return _made(asking, intent, slots, Change("restyle", chosen, style), expected, place)


def _size(asking: Asking, scene: Scene, last: Request) -> Request | None:
    item = asking.focus
    if item is None or last.change is None:
        return None
    size = asking.source.choice([each for each in SIZES if each != item.size])
    expected: dict[str, object] = {"resize": selection(item), "size": size}
    slots = {"size": phrases.size(asking.source, size)}
    return _made(asking, "correct_size", slots, Change("resize", (item,), size), expected, item.place)


def _place(asking: Asking, scene: Scene, last: Request) -> Request | None:
    item = asking.focus
    if item is None or not scene.free:
        return None
    place = asking.source.choice(scene.free)
    expected: dict[str, object] = {"move": selection(item), "place": place}
    slots = {"place": phrases.place(asking.source, place)}
    return _made(asking, "correct_place", slots, Change("move", (item,), place), expected, place)


def _direction(asking: Asking, scene: Scene, last: Request) -> Request | None:
    """ "No, to the left": of what it was put beside, where it was; else further that way."""
    item = asking.focus
    if item is None or last.change is None:
        return None
    direction = asking.source.choice(list(_DIRECTIONS))
    slots = {"direction": phrases.direction(asking.source, direction)}
    others = tuple(other for other in last.change.others if other in scene.items and other != item)
    if last.change.op in ("add", "relate") and len(others) == 1:
        relation = _DIRECTIONS[direction]
        change = Change("relate", (item,), relation=relation, others=others)
        expected: dict[str, object] = {"move": selection(item), "relations": [[item.name, relation, others[0].name]]}
    else:
        change = Change("push", (item,), direction)
        expected = {"move": selection(item), "direction": direction}
    after = apply(scene, change)
    moved = next((i for i in after.items if i not in scene.items), None) if after is not None else None
    return None if moved is None else _made(asking, "correct_direction", slots, change, expected, moved.place)


def _thing(asking: Asking, scene: Scene, last: Request) -> Request | None:
    item = asking.focus
    if item is None or (last.change is not None and last.change.op not in ("add", "replace")):
        return None
    wanted = asking.wanted((item.name,), plain=True)
    expected: dict[str, object] = {"replace": selection(item), "with": object_of(wanted)}
    slots = {"a": phrases.new(asking.source, wanted)}
    return _made(asking, "correct_thing", slots, Change("replace", (item,), wanted=(wanted,)), expected, item.place)


def _background(asking: Asking, scene: Scene, last: Request) -> Request | None:
    changed = last.change is not None and last.change.op == "background"
    if last.change is not None and not changed:
        return None
    background = asking.source.choice([each for each in BACKGROUNDS if each != scene.background])
    change, expected = Change("background", to=background), {"background": background}
    if asking.chance(0.5):
        slots = {"on": phrases.on(asking.source, background)}
        return _made(asking, "same_on", slots, change, dict(expected))
    slots = {"background": phrases.background(asking.source, background)}
    return _made(asking, "correct_background", slots, change, dict(expected))


def _same_with(asking: Asking, scene: Scene, last: Request) -> Request | None:
    if not scene.items:
        return None
    item = asking.source.choice(scene.items)
    wanted = asking.wanted(tuple(each.name for each in scene.items), plain=True)
    slots = {"a": phrases.new(asking.source, wanted), "the": phrases.the(asking.source, item, scene)}
    expected: dict[str, object] = {"replace": selection(item), "with": object_of(wanted)}
    return _made(asking, "same_with", slots, Change("replace", (item,), wanted=(wanted,)), expected, item.place)


def _same_without(asking: Asking, scene: Scene, last: Request) -> Request | None:
    if len(scene.items) < 2:
        return None
    item = asking.source.choice(scene.items)
    slots = {"the": phrases.the(asking.source, item, scene)}
    return _made(asking, "same_without", slots, Change("remove", (item,)), {"remove": selection(item)})


def _now_a(asking: Asking, scene: Scene, last: Request) -> Request | None:
    """ "Now a blue one next to it": of a shape or a thing that can be recoloured; else a new thing."""
    item = asking.focus
    if item is None:
        return None
    wanted = asking.wanted(plain=True)
    words = phrases.new(asking.source, wanted)
    if recolourable(item) and asking.chance(0.6):
        colour = asking.source.choice([each for each in COLOURS if each != item.colour])
        wanted = phrases.Wanted(item.name, style=item.style, size=item.size, colour=colour, shape=item.style is None)
        words = phrases.with_article(f"{phrases.colour(asking.source, colour)} one")
    relation = asking.source.choice(_RELATIONS)
    the = phrases.the(asking.source, item, scene, focus=item)
    slots = {"a": words, "rel": phrases.relation(asking.source, relation), "the": the}
    change = Change("add", wanted=(wanted,), relation=relation, others=(item,))
    after = apply(scene, change)
    new = next((i for i in after.items if i not in scene.items), None) if after is not None else None
    expected: dict[str, object] = {"add": object_of(wanted), "relations": [[wanted.name, relation, item.name]]}
    return None if new is None else _made(asking, "now_a", slots, change, expected, new.place)


def _the_other(asking: Asking, scene: Scene, last: Request) -> Request | None:
    """What was done to one, to another: "the dog too", "now the other one", "both"."""
    change = last.change
    if change is None or change.op not in _OF_ONE or len(change.items) != 1:
        return None
    done = change.items[0]
    others = [item for item in scene.items if item.place != done.place]
    alike = [item for item in others if item.kind == done.kind]
    two = len(alike) == 1 or len(others) == 1
    if two and asking.chance(0.6):
        item = alike[0] if alike else others[0]
        intent, slots = asking.source.choice(("both", "other_one")), dict[str, str]()
    elif others:
        item = asking.source.choice(others)
        intent, slots = "and_the", {"the": phrases.the(asking.source, item, scene)}
    else:
        return None
    again = Change(change.op, (item,), change.to)
    expected = _again_expected(change.op, item, change.to)
    place = "" if change.op == "remove" else item.place
    return _made(asking, intent, slots, again, expected, place)


def _again_expected(op: str, item: Item, to: str) -> dict[str, object]:
    said: dict[str, object] = {op: selection(item)}
    key = {"recolour": "colour", "restyle": "style", "resize": "size"}.get(op)
    return {**said, key: to} if key else said


def _even_more(asking: Asking, scene: Scene, last: Request) -> Request | None:
    """More of a change of size or place."""
    change, item = last.change, asking.focus
    if change is None or item is None or change.op not in ("resize", "push") or change.to in SIZES:
        return None
    expected: dict[str, object] = {"move": selection(item), "direction": change.to}
    if change.op == "resize":
        expected = {"resize": selection(item), "size": change.to}
    after = apply(scene, Change(change.op, (item,), change.to))
    new = next((i for i in after.items if i not in scene.items), None) if after is not None else None
    more = Change(change.op, (item,), change.to)
    return None if new is None else _made(asking, "even_more", {}, more, expected, new.place)


_FOLLOWED: Final[Mapping[str, Callable[[Asking, Scene, Request], Request | None]]] = MappingProxyType(
    {
        "colour": _colour,
        "style": _style,
        "size": _size,
        "place": _place,
        "direction": _direction,
        "thing": _thing,
        "background": _background,
        "same_with": _same_with,
        "same_without": _same_without,
        "now_a": _now_a,
        "other": _the_other,
        "more": _even_more,
    }
)
