"""Questions about groups of items: how many, whether there are any, which they are, and both, either, all."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.pictures.scene import COLOURS, SIZES, STYLES, Item
from genllava_finetune.worlds.things.questions.groups import (
    Group,
    Kind,
    asked_categories,
    group_to_count,
    group_with,
    nouns,
    random_group,
)
from genllava_finetune.worlds.things.questions.parts import (
    Asking,
    Draft,
    are,
    counted,
    listed,
    names,
    only,
    the_items,
)

_COUNTED: Final = (0.22, 0.22, 0.7, 1.0, 1.0, 1.0)
"""In how many of the cases in which none, one, two ... would be counted the question is asked: else it nearly always
were none or one."""
_NAMED: Final[tuple[Kind, ...]] = ("thing", "shape")


def yes(items: tuple[Item, ...]) -> str:
    """ "Yes, a cat."; "No." if there are none."""
    return answers.sentence(f"yes, {listed(items)}") if items else "No."


def count(asking: Asking) -> Draft | None:
    """How many cats are there?"""
    found = group_to_count(asking)
    if found is None:
        return None
    group, members = found
    if not asking.chance(_COUNTED[len(members)]):
        return None
    slots = {"things": group.many(asking)}
    return Draft(slots, answers.sentence(counted(members)), {"number": len(members)}, only(members))


def _exists(asking: Asking) -> tuple[Group, tuple[Item, ...]] | None:
    """A group, with members in half of the cases."""
    if not asking.scene.items and asking.chance(0.9):
        return None
    group = group_with(asking, asking.chance(0.5))
    return None if group is None else (group, group.members(asking.scene) or ())


def exist(asking: Asking) -> Draft | None:
    """Is there a cat?"""
    found = _exists(asking)
    if found is None:
        return None
    group, members = found
    return Draft({"a": group.one(asking)}, yes(members), {"yes": bool(members)}, only(members))


def exist_any(asking: Asking) -> Draft | None:
    """Are there any cats?"""
    found = _exists(asking)
    if found is None:
        return None
    group, members = found
    return Draft({"things": group.many(asking)}, yes(members), {"yes": bool(members)}, only(members))


def which_category(asking: Asking) -> Draft | None:
    """Which animals do you see?"""
    source = asking.source
    filled = asking.chance(0.85)
    for _ in range(8):
        name = source.choice((*asked_categories(), *nouns()))
        group = Group("category" if name in asked_categories() else "fact", name)
        members = group.members(asking.scene)
        if members is not None and bool(members) == filled:
            slots = {"things": group.many(asking)}
            return Draft(slots, answers.sentence(listed(members)), names(members), only(members))
    return None


def _which(asking: Asking, group: Group, slot: str, word: str) -> Draft | None:
    members = group.members(asking.scene)
    if members is None or (not members and asking.chance(0.6)):
        return None
    return Draft({slot: word}, answers.sentence(listed(members)), names(members), only(members))


def which_style(asking: Asking) -> Draft | None:
    """Which things are 3D?"""
    style = asking.source.choice(STYLES)
    return _which(asking, Group("every", style=style), "style", phrases.style(asking.source, style))


def which_size(asking: Asking) -> Draft | None:
    """What is small here?"""
    size = asking.source.choice(SIZES)
    return _which(asking, Group("every", size=size), "size", phrases.size(asking.source, size))


def which_colour(asking: Asking) -> Draft | None:
    """What is red in it?"""
    if not asking.scene.items and asking.chance(0.9):
        return None
    item = asking.item() if asking.chance(0.7) else None
    colour = (item and phrases.colour_of(item)) or asking.source.choice(COLOURS)
    if colour not in COLOURS:
        return None
    return _which(asking, Group("every", colour=colour), "colour", phrases.colour(asking.source, colour))


def all_style(asking: Asking) -> Draft | None:
    """Is everything 3D?"""
    items = asking.scene.items
    if not items:
        return None
    styles = [item.style for item in items if item.style is not None]
    mixed = len(set(styles)) > 1
    if not styles or (mixed and asking.chance(0.6)):
        return None
    style = styles[0] if asking.chance(0.55) else asking.source.choice(STYLES)
    others = tuple(item for item in items if item.style not in (None, style))
    if not others and len(styles) < len(items):
        return None
    slots = {"style": phrases.style(asking.source, style)}
    if not others:
        return Draft(slots, "Yes.", {"yes": True}, only(items))
    if len(others) == 1:
        other = others[0]
        answer = f"no, {answers.say_the(other, asking.scene)} {are(other)} {answers.say_style(other.style or '')}"
    else:
        answer = f"no, not {the_items(others, asking.scene)}"
    return Draft(slots, answers.sentence(answer), {"yes": False}, only(others))


def more(asking: Asking) -> Draft | None:
    """Are there more cats than dogs?"""
    wanted = asking.chance(0.42)
    for _ in range(8):
        pair = _pair_of_groups(asking)
        if pair is None:
            continue
        (first, firsts), (second, seconds) = pair
        if len(firsts) < len(seconds) and wanted:
            (first, firsts), (second, seconds) = (second, seconds), (first, firsts)
        if (len(firsts) > len(seconds)) is not wanted:
            continue
        slots = {"things": first.many(asking), "things2": second.many(asking)}
        if slots["things"].lower() == slots["things2"].lower():
            continue
        counts = " ".join(_number(group, items, asking) for group, items in ((first, firsts), (second, seconds)))
        return Draft(slots, f"{counts} {'Yes' if wanted else 'No'}.", {"yes": wanted})
    return None


_Counted = tuple[Group, tuple[Item, ...]]


def _number(group: Group, items: tuple[Item, ...], asking: Asking) -> str:
    return answers.sentence(counted(items) if items else f"no {group.plainly}")


def _pair_of_groups(asking: Asking) -> tuple[_Counted, _Counted] | None:
    """Two groups of one kind that share no member, at least one of them with members."""
    first = random_group(asking)
    second = random_group(asking)
    if first.kind == "every" and first.bare:
        return None
    if first.kind != second.kind and not {first.kind, second.kind}.isdisjoint(("every", "shapes")):
        return None
    attributes = [tuple(value is None for value in (g.style, g.size, g.colour)) for g in (first, second)]
    if attributes[0] != attributes[1] or first == second:
        return None
    found = [group.members(asking.scene) for group in (first, second)]
    if found[0] is None or found[1] is None or not (found[0] or found[1]) or set(found[0]) & set(found[1]):
        return None
    return (first, found[0]), (second, found[1])


def both(asking: Asking) -> Draft | None:
    """Is there both a cat and a dog?"""
    kinds = {item.kind[0] for item in asking.scene.items}
    if len(kinds) < 2:
        return None
    if asking.chance(0.6):
        wanted = (True, True)
    else:
        wanted = asking.source.choices(((True, False), (False, True), (False, False)), (4, 4, 1))[0]
    pair = _two_named(asking, wanted)
    if pair is None:
        return None
    (first, firsts), (second, seconds) = pair
    slots = {"a": first.one(asking), "a2": second.one(asking)}
    if all(wanted):
        found = tuple(item for item in asking.scene.items if item in firsts or item in seconds)
        return Draft(slots, yes(found), {"yes": True})
    there = (*firsts, *seconds)
    answer = answers.sentence(f"no, only {listed(there)}") if there else "No, neither."
    return Draft(slots, answer, {"yes": False}, only(there))


def either(asking: Asking) -> Draft | None:
    """Is there a cat or a dog?"""
    if not asking.scene.items and asking.chance(0.9):
        return None
    if asking.chance(0.5):
        wanted = asking.source.choices(((True, False), (False, True), (True, True)), (4, 4, 1))[0]
    else:
        wanted = (False, False)
    pair = _two_named(asking, wanted)
    if pair is None:
        return None
    (first, firsts), (second, seconds) = pair
    slots = {"a": first.one(asking), "a2": second.one(asking)}
    found = tuple(item for item in asking.scene.items if item in firsts or item in seconds)
    answer = yes(found) if found else "No, neither."
    return Draft(slots, answer, {"yes": bool(found)}, only(found))


def _two_named(asking: Asking, wanted: tuple[bool, bool]) -> tuple[_Counted, _Counted] | None:
    """Two groups of different names, with and without members as wanted."""
    first = group_with(asking, wanted[0], kinds=_NAMED)
    second = group_with(asking, wanted[1], kinds=_NAMED)
    if first is None or second is None or first.name == second.name:
        return None
    firsts, seconds = first.members(asking.scene), second.members(asking.scene)
    return None if firsts is None or seconds is None else ((first, firsts), (second, seconds))
