"""Requests for changes of a picture: the intents of corpus/editing.yaml."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.relating import DIRECTIONS, RELATIONS
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, MOST, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.requests.asked import Asking, Request, object_of, selection
from genllava_finetune.worlds.things.requests.drawing import only
from genllava_finetune.worlds.things.requests.edits import Change, apply, recolourable
from genllava_finetune.worlds.things.requests.kinds import Group, groups


def changed(
    asking: Asking,
    scene: Scene,
    intent: str,
    slots: Mapping[str, str],
    change: Change,
    edits: Sequence[Mapping[str, object]],
    subject: Item | None = None,
) -> Request | None:
    """The request for a change; None if it is not possible or changes nothing.

    Args:
        edits: what is right, in the form of the test file.
        subject: the one item that is changed, as it is before.
    """
    after = apply(scene, change)
    if after is None or after.key == scene.key:
        return None
    new = [item for item in after.items if item not in scene.items]
    kept = subject if subject in after.items else None
    focus = new[0] if len(new) == 1 else kept or only(after)
    if change.op == "swap" and subject is not None:
        focus = after.at(change.items[1].place)
    return Request(
        asking.say(intent, slots),
        intent,
        after,
        change,
        change.wanted,
        (),
        focus,
        {"edits": [dict(each) for each in edits]},
    )


def _subject(asking: Asking, items: Iterable[Item]) -> Item | None:
    """Any of these items: half of the time the one that "it" means, if it is among them."""
    choice = tuple(items)
    if asking.focus in choice and (asking.called or asking.chance(0.5)):
        return asking.focus
    return asking.source.choice(choice) if choice else None


def _the(asking: Asking, scene: Scene, item: Item) -> str:
    if asking.called and item == asking.focus:
        return asking.called
    return phrases.the(asking.source, item, scene, focus=asking.focus)


def _recolour(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, filter(recolourable, scene.items))
    if item is None:
        return None
    colour = asking.source.choice([colour for colour in COLOURS if colour != colour_of(item)])
    slots = {"the": _the(asking, scene, item), "colour": phrases.colour(asking.source, colour)}
    change, edit = Change("recolour", (item,), colour), {"recolour": selection(item), "colour": colour}
    return changed(asking, scene, "recolour", slots, change, [edit], item)


def _restyle(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, (item for item in scene.items if item.style))
    if item is None:
        return None
    style = asking.source.choice([style for style in STYLES if style != item.style])
    slots = {"the": _the(asking, scene, item), "style": phrases.style(asking.source, style)}
    change, edit = Change("restyle", (item,), style), {"restyle": selection(item), "style": style}
    return changed(asking, scene, "restyle", slots, change, [edit], item)


def _restyle_all(asking: Asking, scene: Scene) -> Request | None:
    things, style = tuple(item for item in scene.items if item.style), asking.source.choice(STYLES)
    slots = {"style": phrases.style(asking.source, style)}
    return changed(
        asking, scene, "restyle_all", slots, Change("restyle", things, style), [{"restyle": "all", "style": style}]
    )


def _resize(asking: Asking, scene: Scene, intent: str, sizes: Sequence[str]) -> Request | None:
    to = asking.source.choice(sizes)
    last = {"bigger": "large", "smaller": "small"}.get(to, to)
    item = _subject(asking, (item for item in scene.items if item.size != last))
    if item is None:
        return None
    slots = {"the": _the(asking, scene, item)}
    if intent == "resize_to":
        slots["size"] = phrases.size(asking.source, to)
    change, edit = Change("resize", (item,), to), {"resize": selection(item), "size": to}
    return changed(asking, scene, intent, slots, change, [edit], item)


def _replacing(asking: Asking, items: Sequence[Item]) -> Wanted:
    """What is to come in the place of these: never what is there already."""
    wanted = asking.wanted([item.name for item in items], plain=asking.chance(0.5))
    if wanted.shape and all(item.style is None for item in items) and wanted.name != "star" and asking.chance(0.4):
        return replace(wanted, colour=None)  # "replace the red circle with a square": a red one
    return wanted


def _replace(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    if item is None:
        return None
    wanted = _replacing(asking, (item,))
    slots = {"the": _the(asking, scene, item), "a": phrases.new(asking.source, wanted)}
    change = Change("replace", (item,), wanted=(wanted,))
    edit = {"replace": selection(item), "with": object_of(wanted)}
    return changed(asking, scene, "replace", slots, change, [edit], item)


def _move_to(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    if item is None:
        return None
    place = asking.place(scene.free)
    slots = {"the": _the(asking, scene, item), "place": phrases.place(asking.source, place)}
    change, edit = Change("move", (item,), place), {"move": selection(item), "place": place}
    return changed(asking, scene, "move_to", slots, change, [edit], item)


def _move_direction(asking: Asking, scene: Scene) -> Request | None:
    item, direction = _subject(asking, scene.items), asking.source.choice(DIRECTIONS)
    if item is None:
        return None
    slots = {"the": _the(asking, scene, item), "direction": phrases.direction(asking.source, direction)}
    change, edit = Change("push", (item,), direction), {"move": selection(item), "direction": direction}
    return changed(asking, scene, "move_direction", slots, change, [edit], item)


def _others(asking: Asking, scene: Scene, items: Sequence[Item]) -> tuple[str, tuple[Item, ...], str] | None:
    """A relation to one or two of these items, the items, and words for them; None if there are none."""
    if not items:
        return None
    if len(items) > 1 and asking.chance(0.14):
        pair = tuple(asking.source.sample(items, 2))
        return "between", pair, " and ".join(phrases.the(asking.source, item, scene) for item in pair)
    other = _subject(asking, items)
    assert other is not None
    return asking.source.choice(RELATIONS), (other,), _the(asking, scene, other)


def _move_relation(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    found = _others(asking, scene, [other for other in scene.items if other != item])
    if item is None or found is None:
        return None
    relation, others, words = found
    slots = {"the": _the(asking, scene, item), "rel": phrases.relation(asking.source, relation), "the2": words}
    change = Change("relate", (item,), relation=relation, others=others)
    edit = {"move": selection(item), "relations": [[item.name, relation, *(other.name for other in others)]]}
    return changed(asking, scene, "move_relation", slots, change, [edit], item)


def _new(asking: Asking, room: int, but: Sequence[str] = ()) -> Wanted:
    """Something to be added: rarely more than one of it."""
    wanted = asking.wanted(but, plain=asking.chance(0.4))
    return replace(wanted, count=2) if room > 1 and asking.chance(0.1) else wanted


def _add(asking: Asking, scene: Scene) -> Request | None:
    wanted = _new(asking, MOST - len(scene.items))
    slots = {"a": phrases.new(asking.source, wanted)}
    return changed(asking, scene, "add", slots, Change("add", wanted=(wanted,)), [{"add": object_of(wanted)}])


def _add_at(asking: Asking, scene: Scene) -> Request | None:
    wanted, place = _new(asking, 1), asking.place(scene.free)
    slots = {"a": phrases.new(asking.source, wanted), "place": phrases.place(asking.source, place)}
    wanted = replace(wanted, place=place)
    return changed(asking, scene, "add_at", slots, Change("add", wanted=(wanted,)), [{"add": object_of(wanted)}])


def _add_relation(asking: Asking, scene: Scene) -> Request | None:
    found = _others(asking, scene, scene.items)
    if found is None:
        return None
    relation, others, words = found
    wanted = _new(asking, 1, [other.name for other in others])
    rel = phrases.relation(asking.source, relation)
    slots = {"a": phrases.new(asking.source, wanted), "rel": rel, "the": words}
    change = Change("add", wanted=(wanted,), relation=relation, others=others)
    names = [wanted.name, relation, *(other.name for other in others)]
    return changed(asking, scene, "add_relation", slots, change, [{"add": object_of(wanted), "relations": [names]}])


def _add_several(asking: Asking, scene: Scene) -> Request | None:
    room = MOST - len(scene.items)
    if room < 2:
        return None
    wanted = [_new(asking, 1)]
    for _ in range(1 if room == 2 or asking.chance(0.75) else 2):
        wanted.append(_new(asking, 1, [each.name for each in wanted]))
    if asking.chance(0.25):
        free = asking.source.sample(scene.free, len(wanted))
        wanted = [replace(each, place=place) for each, place in zip(wanted, free, strict=True)]
    slots = {"list": phrases.new_list(asking.source, wanted)}
    edits = [{"add": object_of(each)} for each in wanted]
    return changed(asking, scene, "add_several", slots, Change("add", wanted=tuple(wanted)), edits)


def _remove(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    if item is None:
        return None
    slots = {"the": _the(asking, scene, item)}
    return changed(asking, scene, "remove", slots, Change("remove", (item,)), [{"remove": selection(item)}])


def _keep_only(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    if item is None:
        return None
    edit = {"remove": [selection(other) for other in scene.items if other != item]}
    slots = {"the": _the(asking, scene, item)}
    return changed(asking, scene, "keep_only", slots, Change("keep", (item,)), [edit], item)


def _clear(asking: Asking, scene: Scene) -> Request | None:
    return changed(asking, scene, "clear", {}, Change("remove", scene.items), [{"remove": "all"}])


def _swap(asking: Asking, scene: Scene) -> Request | None:
    item = _subject(asking, scene.items)
    other = _subject(asking, (other for other in scene.items if other != item))
    if item is None or other is None:
        return None
    slots = {"the": _the(asking, scene, item), "the2": phrases.the(asking.source, other, scene)}
    edit = {"swap": [selection(item), selection(other)]}
    return changed(asking, scene, "swap", slots, Change("swap", (item, other)), [edit], item)


def _background(asking: Asking, scene: Scene, intent: str) -> Request | None:
    to = asking.source.choice([each for each in BACKGROUNDS if each != scene.background])
    on = intent == "change_background_on"
    if on and not scene.items:
        return None  # "put them on a beach"
    slots = {"on": phrases.on(asking.source, to)} if on else {"background": phrases.background(asking.source, to)}
    return changed(asking, scene, intent, slots, Change("background", to=to), [{"background": to}], asking.focus)


def _group(asking: Asking, scene: Scene, fits: Callable[[Group], bool] = lambda group: True) -> Group | None:
    found = [group for group in groups(scene.items) if fits(group)]
    return asking.source.choice(found) if found else None


def _remove_all(asking: Asking, scene: Scene) -> Request | None:
    group = _group(asking, scene)
    if group is None:
        return None
    slots = {"things": phrases.plural(asking.source, group.wanted)}
    edit = {"remove": group.selects}
    return changed(asking, scene, "remove_all", slots, Change("remove", group.items), [edit])


def _of_a_kind(
    asking: Asking, scene: Scene, intent: str, what: str, choices: Sequence[str],
    say: Callable[[random.Random, str], str], fits: Callable[[Item], object] = lambda item: True,
) -> Request | None:  # fmt: skip
    """All items of a kind get another colour, style or size.

    Args:
        what: `colour`, `style` or `size`.
        choices: of it.
        say: puts one of them into words.
        fits: whether an item can be changed so.
    """
    group = _group(asking, scene, lambda group: all(map(fits, group.items)))
    if group is None:
        return None
    to = asking.source.choice([each for each in choices if each != getattr(group.wanted, what)])
    things = phrases.plural(asking.source, group.wanted)
    op = {"colour": "recolour", "style": "restyle", "size": "resize"}[what]
    edit = {op: group.selects, what: to}
    slots = {"things": things, what: say(asking.source, to)}
    return changed(asking, scene, intent, slots, Change(op, group.items, to), [edit])


def _replace_all(asking: Asking, scene: Scene) -> Request | None:
    group = _group(asking, scene)
    if group is None:
        return None
    wanted = _replacing(asking, group.items)
    things = phrases.plural(asking.source, group.wanted)
    slots = {"things": things, "a": phrases.new(asking.source, wanted)}
    edit = {"replace": group.selects, "with": object_of(wanted)}
    return changed(asking, scene, "replace_all", slots, Change("replace", group.items, wanted=(wanted,)), [edit])


EDITING: Final[Mapping[str, Callable[[Asking, Scene], Request | None]]] = MappingProxyType(
    {
        "recolour": _recolour,
        "restyle": _restyle,
        "restyle_all": _restyle_all,
        "bigger": lambda asking, scene: _resize(asking, scene, "bigger", ["bigger"]),
        "smaller": lambda asking, scene: _resize(asking, scene, "smaller", ["smaller"]),
        "resize_to": lambda asking, scene: _resize(asking, scene, "resize_to", SIZES),
        "replace": _replace,
        "move_to": _move_to,
        "move_direction": _move_direction,
        "move_relation": _move_relation,
        "add": _add,
        "add_at": _add_at,
        "add_relation": _add_relation,
        "add_several": _add_several,
        "remove": _remove,
        "remove_all": _remove_all,
        "keep_only": _keep_only,
        "clear": _clear,
        "swap": _swap,
        "change_background": lambda asking, scene: _background(asking, scene, "change_background"),
        "change_background_on": lambda asking, scene: _background(asking, scene, "change_background_on"),
        "recolour_all": lambda asking, scene: _of_a_kind(
            asking, scene, "recolour_all", "colour", COLOURS, phrases.colour, recolourable
        ),
        "restyle_kind": lambda asking, scene: _of_a_kind(
            asking, scene, "restyle_kind", "style", STYLES, phrases.style, lambda item: item.style
        ),
        "resize_kind": lambda asking, scene: _of_a_kind(asking, scene, "resize_kind", "size", SIZES, phrases.size),
        "replace_all": _replace_all,
    }
)
"""How each intent of corpus/editing.yaml is made; None where it does not come about this time."""
