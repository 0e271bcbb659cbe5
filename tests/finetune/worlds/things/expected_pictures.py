"""Pictures and answers that fit what the test file expects, made by the world's own rules and not by the grader's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from genllava_finetune.worlds.things.grading.test_file_cases import Answer, Draws, Edit, Wish
from genllava_finetune.worlds.things.knowledge.things import thing, things
from genllava_finetune.worlds.things.language.nouns import Wanted
from genllava_finetune.worlds.things.pictures.scene import COLOURS, PLACES, SHAPES, Item, Scene
from genllava_finetune.worlds.things.requests.edits import ORDER, Change, apply, recolourable
from tests.finetune.worlds.things import checking


class CannotDo(Exception):
    """What is expected cannot be done by the world's rules."""


def drawn(draws: Draws) -> Scene:
    """A scene that fits."""
    wishes = [wish for wish in draws.objects for _ in range(wish.count)]
    if draws.number is not None:
        while len(wishes) < draws.number[0]:
            wishes.append(draws.objects[0])
    taken: list[str] = []
    items = []
    for wish in wishes:
        items.append(_item(wish, draws, taken))
        taken.append(items[-1].name)
    relations = [list(each) for each in draws.relations]
    for places in itertools.permutations(_order(len(items)), len(items)):
        if any(wish.place not in (None, place) for wish, place in zip(wishes, places, strict=True)):
            continue
        placed = tuple(replace(item, place=place) for item, place in zip(items, places, strict=True))
        if all(checking.holds(placed, *relation) for relation in relations):
            return Scene(draws.background or "white", placed)
    raise CannotDo(f"no arrangement of {[item.name for item in items]} with {relations}")


def _order(count: int) -> list[str]:
    first = {1: ["center"], 2: ["left", "right"], 3: ["left", "center", "right"], 4: ["left", "right", "bottom", "top"]}
    usual = first.get(count, ["left", "center", "right", "bottom", "top"])
    return [*usual, *(place for place in ORDER if place not in usual)]


def _item(wish: Wish, draws: Draws, taken: Sequence[str]) -> Item:
    names = [wish.thing or wish.shape or wish.name or ""]
    if not names[0]:
        known = wish.one_of or [each.name for each in things() if wish.category in (None, each.category)]
        if wish.category == "shape":
            known = list(SHAPES)
        names = [n for n in known if n not in draws.none_of]
        names = [n for n in names if n not in taken] or list(names)
    last: Exception = CannotDo("nothing fits")
    for name in names:
        try:
            return _made(name, wish, draws.style)
        except CannotDo as error:
            last = error
    raise last


def _made(name: str, wish: Wish, style: str | None) -> Item:
    shape = wish.shape is not None or (wish.thing is None and name in SHAPES and (name != "star" or bool(wish.colour)))
    size = wish.size or "medium"
    if shape:
        if wish.colour not in (None, *COLOURS):
            raise CannotDo(f"no {wish.colour} {name}")
        return Item(name, size, "center", None, wish.colour or "red")
    for each in [wish.style or style] if wish.style or style else ["3d", "flat", "cartoon"]:
        item = Item(name, size, "center", each)
        if wish.colour is None or checking.seen(item) == wish.colour:
            return item
        if recolourable(item) and wish.colour in COLOURS:
            return replace(item, colour=wish.colour)
    raise CannotDo(f"no {wish.colour} {name}")


def _meant(scene: Scene, chosen: Any) -> list[Item]:
    if chosen == "all":
        return list(scene.items)
    found = [item for wish in chosen for item in scene.items if _fits(item, wish)]
    if not found:
        raise CannotDo(f"nothing of {[w.model_dump(exclude_defaults=True) for w in chosen]} in {_told(scene)}")
    return list(dict.fromkeys(found))


def _told(scene: Scene) -> str:
    return ", ".join(f"{item.colour or ''} {item.name} {item.place}".strip() for item in scene.items) or "nothing"


def _fits(item: Item, wish: Wish) -> bool:
    said = wish.model_dump(exclude_defaults=True)
    said.pop("count", None)
    if said.pop("name", item.name) != item.name:
        return False
    if said.get("category") == "shape":
        said.pop("category")
        if item.style is not None:
            return False
    return checking.fits(item, said)


def _wanted(wish: Wish) -> Wanted:
    name = wish.thing or wish.shape or wish.name or (wish.one_of[0] if wish.one_of else "")
    if not name:
        name = next(each.name for each in things() if each.category == wish.category)
    shape = wish.shape is not None or (wish.thing is None and name in SHAPES and (name != "star" or bool(wish.colour)))
    if shape and wish.colour not in (None, *COLOURS):
        raise CannotDo(f"no {wish.colour} {name}")
    if not shape and wish.colour is not None:
        styles = (wish.style,) if wish.style else ("3d", "flat", "cartoon")
        own = [style for style in styles if thing(name).colour_in(style) == wish.colour]
        if own:
            return Wanted(name, own[0], wish.size, None, wish.place, False, wish.count)
        if not thing(name).recolour or wish.colour not in COLOURS:
            raise CannotDo(f"no {wish.colour} {name}")
    return Wanted(name, wish.style, wish.size, wish.colour, wish.place, shape, wish.count)


def changed(scene: Scene, edit: Edit, everything: Sequence[Scene | None]) -> Scene:
    """The scene after a change, by the world's own rules."""
    for change in _changes(scene, edit, everything):
        after = apply(scene, change) or _with_room(scene, change)
        if after is None:
            raise CannotDo(f"{edit.kind} {edit.model_dump(exclude_defaults=True)} of {_told(scene)}")
        scene = after
    return scene


_AWAY = {"left": "left of", "right": "right of", "up": "above", "down": "below"}


def _with_room(scene: Scene, change: Change) -> Scene | None:
    """The same where others must give way: as few of them as can be."""
    if change.op not in ("add", "move", "push", "relate"):
        return None
    if change.op == "add":
        wanted = change.wanted[0]
        free = Scene(scene.background, scene.items)
        place = next((p for p in ORDER if p in free.free), None)
        added = place and apply(scene, Change("add", wanted=(replace(wanted, place=place),)))
        if not added:
            return None
        new, start = added.at(place or ""), added
        to = wanted.place or ""
    else:
        new, start, to = change.items[0], scene, change.to
    assert new is not None
    mine = start.items.index(new)
    best: tuple[int, Scene] | None = None
    for places in itertools.permutations(PLACES, len(start.items)):
        items = tuple(replace(item, place=place) for item, place in zip(start.items, places, strict=True))
        moved = sum(item.place != place for item, place in zip(start.items, places, strict=True))
        if best is not None and moved >= best[0]:
            continue
        others = [items[start.items.index(each)] for each in change.others]
        if change.op == "push":
            good = checking._lie(_AWAY[to], items[mine], new)
        elif change.relation:
            good = checking._lie(change.relation, items[mine], *others)
        else:
            good = places[mine] == to
        if good:
            best = moved, Scene(start.background, items)
    return None if best is None else best[1]


def _others(scene: Scene, relation: Sequence[str]) -> tuple[Item, ...]:
    found = [next((item for item in scene.items if item.name == name), None) for name in relation[2:]]
    if None in found:
        raise CannotDo(f"{list(relation[2:])} not in {_told(scene)}")
    return tuple(item for item in found if item is not None)


def _changes(scene: Scene, edit: Edit, everything: Sequence[Scene | None]) -> list[Change]:
    kind = edit.kind
    if kind == "background":
        return [Change("background", to=edit.background or "")]
    if edit.add is not None:
        wanted = _wanted(edit.add)
        if not edit.relations:
            return [Change("add", wanted=(wanted,))]
        return [
            Change("add", wanted=(wanted,), relation=edit.relations[0][1], others=_others(scene, edit.relations[0]))
        ]
    if edit.combine is not None:
        other = everything[(edit.of or 1) - 1]
        if other is None:
            raise CannotDo("the other picture cannot be read")
        item = _meant(other, edit.combine)[0]
        wanted = Wanted(item.name, item.style, item.size, item.colour, None, item.style is None)
        return [Change("add", wanted=(wanted,))]
    if edit.swap is not None:
        first, second = (_meant(scene, chosen) for chosen in edit.swap)
        return [Change("swap", (first[0], second[0]))]
    items = tuple(_meant(scene, getattr(edit, kind)))
    if kind == "remove":
        return [Change("remove", items)]
    if kind == "replace":
        assert edit.with_ is not None
        wanted = replace(_wanted(edit.with_), count=1)
        if wanted.place is None:
            return [Change("replace", items, wanted=(wanted,))]
        return [Change("remove", items), Change("add", wanted=(wanted,))]
    if kind == "recolour":
        bad = [item.name for item in items if not recolourable(item) or edit.colour not in COLOURS]
        if bad:
            raise CannotDo(f"{bad} cannot be {edit.colour}")
        return [Change("recolour", items, edit.colour or "")]
    if kind == "restyle":
        return [Change("restyle", tuple(item for item in items if item.style), edit.style or "")]
    if kind == "resize":
        last = {"bigger": "large", "smaller": "small"}.get(edit.size or "", "")
        return [Change("resize", tuple(item for item in items if item.size != last), edit.size or "")]
    return _moves(scene, edit, items)


def _moves(scene: Scene, edit: Edit, items: tuple[Item, ...]) -> list[Change]:
    if edit.place is not None and len(items) > 1:
        raise CannotDo(f"{len(items)} items to one place")
    if edit.place is not None:
        return [Change("move", items[:1], edit.place)]
    if edit.direction is not None:
        return [Change("push", (item,), edit.direction) for item in items]
    relation = edit.relations[0]
    if items[0].name != relation[0] and relation[1] != "between":  # said from the other's side
        turned = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
        relation = (relation[2], turned.get(relation[1], relation[1]), relation[0])
    return [Change("relate", items[:1], relation=relation[1], others=_others(scene, relation))]


def answer(expected: Answer, scene: Scene | None) -> str:
    """Words that say what is expected."""
    if expected.number is not None:
        return f"There are {expected.number}."
    if expected.yes is not None:
        return "Yes." if expected.yes else "No."
    if expected.names is not None:
        return " and ".join(f"the {name}" for name in expected.names) or "Nothing."
    if expected.caption:
        if scene is None:
            raise CannotDo("a caption of nothing")
        return "It shows " + ", ".join(f"a {item.name}" for item in scene.items)
    if expected.talk:
        return "Hello, shall I draw something?"
    if expected.cannot_read:
        return "I cannot read this picture."
    for key in ("place", "style", "size", "colour", "background"):
        if (value := getattr(expected, key)) is not None:
            return f"{value}"
    return ", ".join(expected.all_of) if expected.all_of else expected.any_of[0]
