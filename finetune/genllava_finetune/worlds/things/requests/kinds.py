"""What is asked for by its kind: new things that are left open ("two animals"), and all items of a kind in a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import Thing, categories
from genllava_finetune.worlds.things.knowledge.things import things as all_things
from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.language.wording import with_article
from genllava_finetune.worlds.things.pictures.scene import COLOURS, SHAPES, STYLES, Item
from genllava_finetune.worlds.things.requests.asked import Asking, confusable, is_a, selection, single

_SOME: Final = {
    "some": (2, 3),
    "a few": (2, 4),
    "several": (3, 4),
    "a couple of": (2, 2),
    "a bunch of": (3, 5),
    "two or three": (2, 3),
    "a handful of": (3, 5),
    "various": (2, 4),
    "different": (2, 4),
    "": (2, 4),
}
"""Words for how many, and what these may mean."""
_ANY: Final = ("any {}", "some {}", "some sort of {}", "some kind of {}", "{a} of your choice", "{a}", "{a}", "{a}")


@dataclass(frozen=True, slots=True)
class Kinds:
    """New items that were left open, chosen.

    Attributes:
        slots: `kinds`, and `things` for what must not be among them.
        wanted: what was chosen.
        expected: what would be right, in the form of the test file.
    """

    slots: Mapping[str, str]
    wanted: tuple[Wanted, ...]
    expected: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Group:
    """All items of a kind in a scene.

    Attributes:
        wanted: for `phrases.plural`.
        items: those of the scene that are meant.
        selects: the same in the form of the test file.
    """

    wanted: Wanted
    items: tuple[Item, ...]
    selects: object


def drawn_kinds(asking: Asking, *, without: bool = False) -> Kinds | None:
    """A random request for things left open, and things chosen for it; None if too few are known.

    Args:
        without: also say what must not be among them.
    """
    if without:
        return _without(asking)
    if asking.chance(0.2):
        return _by_fact(asking)
    if asking.chance(0.12):
        return _by_colour(asking)
    kind = asking.source.choice(_kinds(asking.known, 2))
    style = asking.source.choice(STYLES) if asking.chance(0.15) else None
    if kind in categories() and asking.chance(0.2):
        return _one(asking, kind)
    return _several(asking, Wanted(kind, style=style), _members(asking.known, kind), _says(kind))


def groups(items: Sequence[Item]) -> tuple[Group, ...]:
    """All kinds by which two or more items can be meant together, where no one would argue which are meant."""
    found: list[Group | None] = []
    for name, shape in dict.fromkeys(item.kind for item in items):
        wanted = Wanted(name, shape=shape)
        if not any(item.kind != (name, shape) and confusable(wanted, item) for item in items):
            says = {"shape" if shape else "thing": name}
            found.append(_group(items, wanted, says, [item for item in items if item.kind == (name, shape)]))
    for kind in _nouns():
        if all(is_a(item, kind) is not None for item in items):
            meant = [item for item in items if is_a(item, kind)]
            found.append(_group(items, Wanted(kind), {"category": kind} if kind in categories() else None, meant))
    found.append(_group(items, Wanted("shape"), None, [item for item in items if item.style is None]))
    if all(colour_of(item) for item in items):
        for colour in COLOURS:
            meant = [item for item in items if colour_of(item) == colour]
            found.append(_group(items, Wanted("thing", colour=colour), {"colour": colour}, meant))
    for style in STYLES:
        meant = [item for item in items if item.style == style]
        found.append(_group(items, Wanted("thing", style=style), {"style": style}, meant))
    for size in ("small", "large"):
        meant = [item for item in items if item.size == size]
        found.append(_group(items, Wanted("thing", size=size), {"size": size}, meant))
    return tuple(group for group in found if group)


def _group(
    items: Sequence[Item], wanted: Wanted, selects: Mapping[str, object] | None, meant: Sequence[Item]
) -> Group | None:
    if len(meant) < 2 or (len(meant) == len(items) and wanted.name == "thing"):
        return None
    return Group(wanted, tuple(meant), selects or [selection(item) for item in meant])


@lru_cache(maxsize=1)
def _sayable() -> tuple[str, ...]:
    """The categories that have words."""
    return tuple(name for name, said in categories().items() if said)


def _kinds(known: Sequence[Thing], least: int) -> list[str]:
    """Categories, and facts that have a word of their own, of which at least so many things are known."""
    names = {each.name for each in known}
    return [kind for kind in _nouns() if len(_holding(kind) & names) >= least]


@lru_cache(maxsize=1)
def _nouns() -> tuple[str, ...]:
    return (*_sayable(), *(fact for fact in phrases.KINDS if fact not in categories()))


@lru_cache(maxsize=512)
def _holding(kind: str) -> frozenset[str]:
    return frozenset(each.name for each in all_things() if each.holds(kind))


def _members(known: Sequence[Thing], kind: str) -> list[Thing]:
    holding = _holding(kind)
    return [each for each in known if each.name in holding]


def _says(kind: str) -> dict[str, object]:
    """What is right for a kind: a category, or one of the things of which a fact is true."""
    if kind in categories():
        return {"category": kind}
    return {"one_of": [each.name for each in _members(all_things(), kind)]}


def _several(
    asking: Asking, kind: Wanted, members: Sequence[Thing], says: Mapping[str, object], things: str = ""
) -> Kinds | None:
    """So many of a kind, different ones: "three animals", "some cartoon fruit"."""
    source = asking.source
    if asking.chance(0.5):
        number = source.choices((2, 3, 4, 5), (45, 35, 12, 8))[0]
        how, bounds = phrases.number(source, number), (number, number)
    else:
        how = source.choice(tuple(_SOME))
        bounds = _SOME[how]
        number = min(source.randint(*bounds), 3) if bounds[0] <= 3 else bounds[0]
    if len(members) < number:
        return None
    chosen = source.sample(members, number)
    wanted = tuple(Wanted(each.name, style=kind.style) for each in chosen)
    said: dict[str, object] = {**says, **({"style": kind.style} if kind.style else {})}
    if bounds[0] == bounds[1]:
        expected: dict[str, object] = {"objects": [{**said, "count": number}]}
    else:
        expected = {"objects": [said], "number": list(bounds)}
    words = f"{how} {phrases.plural(source, kind)}".strip()
    return Kinds({"kinds": words, "things": things} if things else {"kinds": words}, wanted, expected)


def _one(asking: Asking, kind: str) -> Kinds:
    """One thing of a category: "any vehicle"."""
    word = str(single(kind))
    words = asking.source.choice(_ANY).format(word, a=with_article(word))
    chosen = asking.source.choice(_members(asking.known, kind))
    return Kinds({"kinds": words}, (Wanted(chosen.name),), {"objects": [_says(kind)]})


def _by_fact(asking: Asking) -> Kinds | None:
    """One thing of which a fact is true: "something to eat"."""
    fact = asking.source.choice(tuple(phrases.ASKED_FACTS))
    members = _members(asking.known, fact)
    if not members:
        return None
    wanted = (Wanted(asking.source.choice(members).name),)
    return Kinds({"kinds": phrases.fact_thing(asking.source, fact)}, wanted, {"objects": [_says(fact)]})


def _by_colour(asking: Asking) -> Kinds | None:
    """So many things or shapes of a colour, left open: "two red things"."""
    source, colour = asking.source, asking.source.choice(COLOURS)
    number = source.choice((2, 2, 3))
    choice: list[Wanted] = [Wanted(shape, colour=colour, shape=True) for shape in SHAPES]
    choice += [Wanted(t.name, colour=colour) for t in asking.known if t.recolour and t.name != "star"]
    words = f"{phrases.number(source, number)} {phrases.plural(source, Wanted('thing', colour=colour))}"
    return Kinds(
        {"kinds": words}, tuple(source.sample(choice, number)), {"objects": [{"colour": colour, "count": number}]}
    )


def _without(asking: Asking) -> Kinds | None:
    """So many of a kind, and none of a narrower one: "two animals but no dogs"."""
    known = asking.known
    if asking.chance(0.25):
        kind, banned = Wanted("thing"), asking.source.choice(_kinds(known, 2))
        members = [each for each in known if each.holds(banned) is False]
        none = [each.name for each in _members(known, banned)]
        says: dict[str, object] = {}
    else:
        kind = Wanted(asking.source.choice(_kinds(known, 4)))
        banned = asking.source.choice(_members(known, kind.name)).name
        members = [
            each
            for each in _members(known, kind.name)
            if not confusable(Wanted(banned), Item(each.name, "medium", "center", "3d"))
        ]
        none, says = [banned], _says(kind.name)
    things = phrases.plural(asking.source, Wanted(banned))
    found = _several(asking, kind, members, says, things)
    return None if found is None else replace(found, expected={**found.expected, "none_of": none})
