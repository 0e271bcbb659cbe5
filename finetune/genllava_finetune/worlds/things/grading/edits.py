"""Whether changes of a picture came about, and everything else stayed as it was. Scenes are compared, not pixels.

Of every item of the result it is known what must be true (a *slot*): of those that no change is about, everything; of
changed ones all but what was changed; of new ones only what was asked. A result is right if its items can be given to
the slots, one each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genllava_finetune.worlds.things.grading.pictures import fits, is_a, lies, matches, relation_holds
from genllava_finetune.worlds.things.grading.test_file_cases import Chosen, Edit, Wish
from genllava_finetune.worlds.things.grading.words import called
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.pictures.scene import PLACES, SIZES, Item, Scene

_ATTRIBUTES: Final = ("kind", "style", "colour", "size", "place")


@dataclass(slots=True)
class _Slot:
    """What one item of the result must be.

    Attributes:
        source: the item that it was; None for what is new.
        said: what each of `_ATTRIBUTES` must be; what is not in it is free.
        wish: of what is new, what is asked of it.
        touched: whether any change is about it.
        checks: further conditions, of the item and all items of the result.
        taken: of what comes from another picture, which items it may be.
    """

    source: Item | None = None
    said: dict[str, Any] = field(default_factory=dict)
    wish: Wish | None = None
    touched: bool = False
    checks: list[Callable[[Item, Sequence[Item]], bool]] = field(default_factory=list)
    taken: tuple[Item, ...] = ()

    def fits(self, item: Item, items: Sequence[Item]) -> bool:
        """Whether an item of the result is as it must be."""
        seen = _seen(item)
        for key, value in self.said.items():
            own = key == "colour" and value[1] is not None and value[1] == seen["colour"][1]
            if seen[key] != value and not own:
                return False
        if self.wish is not None and not fits(item, self.wish):
            return False
        return all(check(item, items) for check in self.checks)

    def meant_by(self, wish: Wish) -> bool:
        """Whether a selection means it, by what is known of it so far."""
        if self.wish is not None:
            names = [each for each in (wish.name, wish.thing, wish.shape) if each]
            own = [each for each in (self.wish.name, self.wish.thing, self.wish.shape) if each]
            same = {called(each) for each in names} <= {called(each) for each in own}
            said = {key: self.said.get(key, getattr(self.wish, key)) for key in ("size", "place", "style")}
            alike = all(getattr(wish, key) in (None, value) for key, value in said.items())
            if wish.category is not None and not (
                own and is_a(Item(called(own[0]), "small", "top", "flat"), wish.category)
            ):
                return False
            return same and alike and wish.colour in (None, self.wish.colour)
        if self.taken:
            looks = wish.model_copy(update={"size": None, "place": None})
            return any(fits(item, looks) for item in self.taken)
        known = self.known
        return known is not None and fits(known, wish)

    def goes_by(self, name: str) -> bool:
        """Whether it has a name."""
        return self.meant_by(Wish(name=name))

    @property
    def known(self) -> Item | None:
        """The item as it is known to be after the changes so far; free attributes are as they were."""
        if self.source is None:
            return None
        given = {key: self.said[key] for key in ("style", "size", "place") if key in self.said}
        colour = self.said["colour"][0] if "colour" in self.said else self.source.colour
        return replace(self.source, **given, colour=colour)

    def free(self, *keys: str) -> None:
        """These need not be what they were."""
        self.touched = True
        for key in keys:
            self.said.pop(key, None)


def _seen(item: Item) -> dict[str, Any]:
    """What is compared of an item; a colour by what it was turned into, and by how it looks."""
    return {
        "kind": item.kind, "style": item.style, "colour": (item.colour, colour_of(item)), "size": item.size,
        "place": item.place,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an edit went: whether what was asked has come about, and all else is as it was; `possible`: whether there is
    anything that is meant."""

    changed: bool
    preserved: bool
    possible: bool = True

    @property
    def right(self) -> bool:
        return self.changed and self.preserved


class NothingMeant(Exception):
    """A change is about something that is not there."""


def edits_outcome(before: Scene, after: Scene, edits: Sequence[Edit], others: Sequence[Scene | None] = ()) -> Outcome:
    """What came of changes of a picture.

    Args:
        others: what the pictures of the conversation show, for what is taken from another one.
    """
    slots = [_Slot(item, _seen(item)) for item in before.items]
    background: str = before.background
    try:
        for edit in edits:
            if edit.background is not None:
                background = edit.background
            else:
                slots = _APPLY[edit.kind](slots, edit, others)
    except NothingMeant:
        return Outcome(False, False, possible=False)
    ground = after.background == background
    ground_asked = any(edit.background is not None for edit in edits)
    items = after.items
    kept = [slot for slot in slots if not slot.touched]
    new = [slot for slot in slots if slot.touched]
    choices = [[n for n, item in enumerate(items) if slot.fits(item, items)] for slot in (*kept, *new)]
    whole = len(slots) == len(items) and bool(matches(len(items), choices))
    preserved = bool(matches(len(items), choices[: len(kept)])) and (ground or ground_asked)
    gone = [item for item in before.items if not any(slot.source is item for slot in slots)]
    still = any(item.key == each.key for item in gone for each in items) and len(items) >= len(before.items)
    changed = bool(matches(len(items), choices[len(kept) :])) and not still and (ground or not ground_asked)
    if whole:
        return Outcome(changed, preserved)
    if changed and preserved:  # all is there, and something more, or one item would have to be two
        return Outcome(changed and len(slots) == len(items), False)
    return Outcome(changed, preserved)


_Slots = list[_Slot]


def _select(slots: _Slots, chosen: Chosen) -> _Slots:
    """The slots that are meant.

    Raises:
        NothingMeant: there are none.
    """
    found = slots if chosen == "all" else [s for s in slots if any(s.meant_by(wish) for wish in chosen)]
    if not found:
        raise NothingMeant
    return list(found)


def _wished(wish: Wish) -> _Slots:
    one = wish.model_copy(update={"count": 1})
    return [_Slot(wish=one, touched=True) for _ in range(wish.count)]


def _add(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.add is not None
    new = _wished(edit.add)
    _make_way(slots, new, edit.model_copy(update={"place": edit.add.place}))
    for slot in new:
        slot.checks += [_relation_check(relation) for relation in edit.relations]
    return [*slots, *new]


def _relation_check(relation: Sequence[str]) -> Callable[[Item, Sequence[Item]], bool]:
    return lambda item, items: relation_holds(items, relation, item)


def _remove(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.remove is not None
    gone = _select(slots, edit.remove)
    return [slot for slot in slots if not any(slot is each for each in gone)]


def _replace(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.replace is not None
    assert edit.with_ is not None
    gone = _select(slots, edit.replace)
    new = _wished(edit.with_)
    while len(new) < len(gone):
        new += _wished(edit.with_.model_copy(update={"count": 1}))
    for slot, old in zip(new, gone, strict=False):
        if edit.with_.place is None and "place" in old.said:
            slot.said["place"] = old.said["place"]
    return [*(slot for slot in slots if not any(slot is each for each in gone)), *new]


def _turned(key: str) -> Callable[[_Slots, Edit, Sequence[Scene | None]], _Slots]:
    """Recolouring and restyling: one attribute becomes what is said."""

    def change(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
        chosen: Chosen | None = edit.recolour if key == "colour" else edit.restyle
        value = getattr(edit, key)
        assert chosen is not None
        for slot in _select(slots, chosen):
            if key == "style" and slot.source is not None and slot.source.style is None:
                continue  # shapes have no style
            if slot.wish is not None:
                slot.wish = slot.wish.model_copy(update={key: value})
                continue
            if key == "colour":
                slot.free(key)
                slot.said[key] = (value, value)
            else:
                slot.free(key, "colour")
                slot.said[key] = value
                colour = slot.source.colour if slot.source else None
                slot.checks.append(_colour_check(colour))
        return slots

    return change


def _colour_check(colour: str | None) -> Callable[[Item, Sequence[Item]], bool]:
    """The colour that it was turned into, or its own."""
    return lambda item, _: (colour_of(item) if colour else item.colour) == colour


def _resize(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.resize is not None
    for slot in _select(slots, edit.resize):
        before = slot.said.get("size")
        slot.free("size")
        if edit.size in SIZES:
            slot.said["size"] = edit.size
            slot.wish = slot.wish and slot.wish.model_copy(update={"size": edit.size})
        elif before is not None:
            slot.checks.append(_size_check(before, edit.size == "bigger"))
    return slots


def _size_check(before: str, bigger: bool) -> Callable[[Item, Sequence[Item]], bool]:
    """Bigger or smaller than it was; as big or small as can be where it was that already."""
    old = SIZES.index(before)
    allowed = SIZES[old + 1 :] or SIZES[-1:] if bigger else SIZES[:old] or SIZES[:1]
    return lambda item, _: item.size in allowed


def _make_way(slots: _Slots, moved: _Slots, edit: Edit) -> None:
    """Let others give way where what is asked for leaves them no other choice: the place is taken, or nothing is free
    where a relation or a direction would have it. People ask so without seeing it; all but their places must stay."""
    rest = [slot for slot in slots if not any(slot is each for each in moved)]
    for slot in rest:
        if edit.place is not None and slot.said.get("place") == edit.place and len(moved) == 1:
            slot.said.pop("place")
    if edit.place is not None:
        return
    taken = {slot.said["place"] for slot in rest if "place" in slot.said}
    before = [slot.source.place for slot in moved if slot.source is not None]
    for place in PLACES:
        onward = edit.direction is None or not before or lies(place, _TOWARDS[edit.direction], before[:1])
        if place not in taken and onward and all(_may_lie(place, each, rest) for each in edit.relations):
            return
    for slot in rest:
        slot.said.pop("place", None)


def _may_lie(place: str, relation: Sequence[str], rest: _Slots) -> bool:
    """Whether a relation to others would hold at a place; what is seen from the other side counts too."""
    first, how, *others = relation
    seats = [[slot.said["place"] for slot in rest if "place" in slot.said and slot.goes_by(name)] for name in others]
    if all(seats):
        return any(lies(place, how, chosen) for chosen in itertools.product(*seats) if place not in chosen)
    other = [slot.said["place"] for slot in rest if "place" in slot.said and slot.goes_by(first)]
    return how == "between" or not other or any(lies(each, how, [place]) for each in other if each != place)


def _move(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.move is not None
    moved = _select(slots, edit.move)
    _make_way(slots, moved, edit)
    for slot in moved:
        before = slot.said.get("place")
        slot.free("place")
        slot.wish = slot.wish and slot.wish.model_copy(update={"place": None})
        if edit.place is not None and len(moved) == 1:
            slot.said["place"] = edit.place
        elif edit.place is not None:  # several have no room in one place: at that side
            slot.checks.append(_side_check(edit.place))
        if edit.direction is not None and before is not None:
            slot.checks.append(_direction_check(before, edit.direction))
        slot.checks += [_relation_check(relation) for relation in edit.relations]
    return slots


def _side_check(place: str) -> Callable[[Item, Sequence[Item]], bool]:
    return lambda item, _: bool(set(place.split()) & set(item.place.split()))


_TOWARDS: Final = {"left": "left of", "right": "right of", "up": "above", "down": "below"}


def _direction_check(before: str, direction: str) -> Callable[[Item, Sequence[Item]], bool]:
    return lambda item, _: lies(item.place, _TOWARDS[direction], [before])


def _swap(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.swap is not None
    first, second = (_select(slots, chosen) for chosen in edit.swap)
    for one, other in zip(first, second, strict=False):
        places = one.said.get("place"), other.said.get("place")
        one.free("place")
        other.free("place")
        if places[1] is not None:
            one.said["place"] = places[1]
        if places[0] is not None:
            other.said["place"] = places[0]
    return slots


def _combine(slots: _Slots, edit: Edit, others: Sequence[Scene | None]) -> _Slots:
    assert edit.combine is not None
    assert edit.of is not None
    scene = others[edit.of - 1] if 0 < edit.of <= len(others) else None
    if scene is None:
        raise NothingMeant
    there = [_Slot(item, _seen(item)) for item in scene.items]
    taken = [[slot] for slot in there] if edit.combine == "all" else [_select(there, (each,)) for each in edit.combine]
    return [*slots, *map(_taken_slot, taken)]


def _taken_slot(choice: _Slots) -> _Slot:
    """One of these items, as it was; how big and where is free."""
    items = tuple(slot.source for slot in choice if slot.source is not None)
    looks = [{key: _seen(item)[key] for key in ("kind", "style", "colour")} for item in items]
    alike = [lambda item, _: any(all(_seen(item)[key] == said[key] for key in said) for said in looks)]
    return _Slot(touched=True, checks=list(alike), taken=items)


_APPLY: Final[dict[str, Callable[[_Slots, Edit, Sequence[Scene | None]], _Slots]]] = {
    "add": _add, "remove": _remove, "replace": _replace, "recolour": _turned("colour"), "restyle": _turned("style"),
    "resize": _resize, "move": _move, "swap": _swap, "combine": _combine,
}  # fmt: skip
