"""What changes of a scene mean, without words: the one scene that comes of a scene and a change.

What a change leaves open (the style, size and place of what is new) is filled by plain rules, so that the outcome is a
function of the scene and the change. What a change is not about stays as it is, up to where it lies in its cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.relating import places_by, places_towards
from genllava_finetune.worlds.things.pictures.scene import MOST, PLACES, SIDES, SIZES, STYLES, Item, Scene

OPS: Final = (
    "add", "remove", "keep", "replace", "recolour", "restyle", "resize", "move", "push", "relate", "swap", "background",
)  # fmt: skip
STYLE: Final = "3d"
"""Of a thing, where nothing says which."""
SIZE: Final = "medium"
COLOUR: Final = "red"
"""Of a shape, where nothing says which."""
ORDER: Final = (
    "center", "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right",
)  # fmt: skip
"""In which of the free places something new is put, where nothing says which."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a scene.

    Attributes:
        op: one of `OPS`. `keep` removes all but `items`; `move` puts an item in a place, `push` moves it in a
            direction, `relate` puts it where `relation` to `others` holds; `swap` has two items change places.
        items: those that it is about, as they are in the scene.
        to: the new colour, style, size (or `bigger`, `smaller`), place, direction or background.
        wanted: what is new: of `add` any number, of `replace` one, which takes the place of each of `items`.
        relation, others: of `relate`, and of `add` with one new item: where it goes as seen from others.
    """

    op: str
    items: tuple[Item, ...] = ()
    to: str = ""
    wanted: tuple[Wanted, ...] = ()
    relation: str = ""
    others: tuple[Item, ...] = ()


def apply(scene: Scene, change: Change) -> Scene | None:
    """The scene after a change; None if it is not possible or not there: a place is taken, there is no room, a thing
    has no colour or style that can be changed, or a large one is to be bigger.
    """
    if any(item not in scene.items for item in (*change.items, *change.others)):
        return None
    if change.op == "background":
        return Scene(change.to, scene.items)
    if change.op in ("remove", "keep"):
        kept = change.op == "keep"
        return Scene(scene.background, tuple(item for item in scene.items if (item in change.items) == kept))
    if change.op == "add":
        return _added(scene, change)
    if change.op == "swap":
        first, second = change.items
        moved = {first: _placed(first, second.place, second.shift), second: _placed(second, first.place, first.shift)}
    elif change.op in ("move", "push", "relate"):
        place = _target(scene, change)
        if place is None:
            return None
        moved = {change.items[0]: _placed(change.items[0], place)}
    else:
        new = [(item, _changed(scene, item, change)) for item in change.items]
        moved = {item: after for item, after in new if after is not None}
        if len(moved) < len(new):
            return None
    return Scene(scene.background, tuple(moved.get(item, item) for item in scene.items))


def made(wanted: Wanted, place: str, *, style: str = STYLE, size: str = SIZE, colour: str = COLOUR) -> Item:
    """An item as it is wanted; what is left open is taken from the arguments (a colour for shapes only)."""
    if wanted.shape:
        return Item(wanted.name, wanted.size or size, place, None, wanted.colour or colour)
    return settled(Item(wanted.name, wanted.size or size, place, wanted.style or style, wanted.colour))


def settled(item: Item) -> Item:
    """The same; a thing that is to have the colour that it has by itself has none of its own."""
    if item.style is None or item.colour is None or item.colour != thing(item.name).colour_in(item.style):
        return item
    return replace(item, colour=None)


def usual_style(scene: Scene) -> str:
    """The style of most things of a scene; 3d where no style has most, or there are no things."""
    counts = {style: sum(item.style == style for item in scene.items) for style in STYLES}
    most = [style for style in STYLES if counts[style] == max(counts.values())]
    return most[0] if len(most) == 1 else STYLE


def recolourable(item: Item) -> bool:
    """Whether its colour can be changed: of shapes, and of things of one main colour."""
    return item.style is None or thing(item.name).recolour


def _added(scene: Scene, change: Change) -> Scene | None:
    style = usual_style(scene)
    items = list(scene.items)
    wanted = [each for each in change.wanted for _ in range(each.count)]
    taken = {item.place for item in items} | {each.place for each in wanted}
    if len(items) + len(wanted) > MOST:
        return None
    for each in wanted:
        if each.place:
            if any(item.place == each.place for item in items):
                return None
            items.append(made(each, each.place, style=style))
            continue
        choice = places_by(change.relation, tuple(i.place for i in change.others)) if change.relation else ORDER
        place = next((place for place in choice if place not in taken), None)
        if place is None:
            return None
        taken.add(place)
        items.append(made(each, place, style=style))
    return Scene(scene.background, tuple(items))


def _target(scene: Scene, change: Change) -> str | None:
    """Where an item moves to; None if it is taken or there is no such place."""
    item = change.items[0]
    if change.op == "move":
        choice: tuple[str, ...] = (change.to,)
    elif change.op == "push":
        choice = places_towards(item.place, change.to)
    else:
        choice = places_by(change.relation, tuple(other.place for other in change.others))
    return next((place for place in choice if place in scene.free or place == item.place), None)


def _changed(scene: Scene, item: Item, change: Change) -> Item | None:
    if change.op == "recolour":
        return settled(replace(item, colour=change.to)) if recolourable(item) else None
    if change.op == "restyle":
        return settled(replace(item, style=change.to)) if item.style else None
    if change.op == "resize":
        size = _resized(item.size, change.to)
        if size is None or size == item.size:
            return item if size else None
        return _placed(replace(item, size=size), item.place, item.shift)
    if change.op != "replace":
        raise ValueError(f"there is no change {change.op!r}")
    style, colour = item.style or usual_style(scene), item.colour or COLOUR
    after = made(change.wanted[0], item.place, style=style, size=item.size, colour=colour)
    return replace(after, shift=item.shift) if after.size == item.size else _placed(after, item.place, item.shift)


def _resized(size: str, to: str) -> str | None:
    if to in SIZES:
        return to
    index = SIZES.index(size) + (1 if to == "bigger" else -1)
    return SIZES[index] if 0 <= index < len(SIZES) else None


def _placed(item: Item, place: str, shift: tuple[float, float] = (0.0, 0.0)) -> Item:
    """The same in another place, beside the middle of its cell no further than it fits into the cell."""
    if place not in PLACES:
        raise ValueError(f"there is no place {place!r}")
    reach = 1 / 6 - SIDES[item.size] / 2
    near = max(-reach, min(reach, shift[0])), max(-reach, min(reach, shift[1]))
    return replace(item, place=place, shift=near)
