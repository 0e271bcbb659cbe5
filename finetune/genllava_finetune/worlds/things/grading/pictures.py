"""Whether a new picture shows what was asked for. Scenes are compared, not pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from genllava_finetune.worlds.things.grading.test_file_cases import Draws, Wish
from genllava_finetune.worlds.things.grading.words import called
from genllava_finetune.worlds.things.knowledge.things import categories, facts, thing
from genllava_finetune.worlds.things.language.describing import colour_of
from genllava_finetune.worlds.things.pictures.relating import related
from genllava_finetune.worlds.things.pictures.scene import PLACES, Item, Scene

# --- items ---


def is_named(item: Item, name: str) -> bool:
    """Whether an item goes by a name or a synonym."""
    return item.name == name or item.name == called(name)


def fits(item: Item, wish: Wish) -> bool:
    """Whether an item has all that is said of it."""
    if wish.name is not None and not is_named(item, wish.name):
        return False
    if wish.thing is not None and (item.style is None or not is_named(item, wish.thing)):
        return False
    if wish.shape is not None and (item.style is not None or not is_named(item, wish.shape)):
        return False
    if wish.one_of and not any(is_named(item, name) for name in wish.one_of):
        return False
    if wish.category is not None and not is_a(item, wish.category):
        return False
    if wish.colour is not None and colour_of(item) != wish.colour:
        return False
    if wish.style is not None and item.style != wish.style and not (item.style is None and (wish.name or wish.shape)):
        return False
    return wish.size in (None, item.size) and wish.place in (None, item.place)


def is_a(item: Item, category: str) -> bool:
    """Whether an item is of a category, or people would argue about it."""
    if category == "shape" or item.style is None:
        return category == "shape" and item.style is None
    found = thing(item.name)
    known = category in categories() or category in facts()
    return found.category == category or (known and found.holds(category) is not False)


def lies(place: str, relation: str, others: Sequence[str]) -> bool:
    """Whether one cell lies so as seen from another: further left for "left of", a neighbour, corners too, for "next
    to", and within the corners that two cells make for "between"."""
    (row, column), (row_2, column_2) = _cell(place), _cell(others[0])
    if relation == "between":
        return related(place, relation, (others[0], others[1]))
    if relation == "next to":
        return max(abs(row - row_2), abs(column - column_2)) == 1
    return {
        "left of": column < column_2, "right of": column > column_2, "above": row < row_2, "below": row > row_2,
    }[relation]  # fmt: skip


def _cell(place: str) -> tuple[int, int]:
    return divmod(PLACES.index(place), 3)


def relation_holds(items: Sequence[Item], relation: Sequence[str], first: Item | None = None) -> bool:
    """Whether some items of these names lie so.

    Args:
        relation: (a, relation, b) or (a, "between", b, c).
        first: the item that is meant by one of the names.
    """
    name, how, *others = relation
    names = (name, *others)
    bound = next((n for n, each in enumerate(names) if first is not None and is_named(first, each)), None)
    choices = [[item for item in items if is_named(item, each)] for each in names]
    if first is not None and bound is not None:
        choices[bound] = [first]
    return any(
        lies(one.place, how, [each.place for each in rest])
        for one, *rest in itertools.product(*choices)
        if len({one.place, *(each.place for each in rest)}) == len(rest) + 1
    )


def matches(count: int, choices: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """All ways to give each of some wishes one of `count` items that it may have, no item twice."""
    found: list[tuple[int, ...]] = [()]
    for choice in choices:
        found = [(*given, each) for given in found for each in choice if each not in given]
    return found


# --- new pictures ---


def draws_right(scene: Scene, draws: Draws) -> bool:
    """Whether a new picture shows what was asked for, and nothing else where nothing else was."""
    items = scene.items
    if draws.background not in (None, scene.background):
        return False
    if draws.style is not None and any(item.style not in (draws.style, None) for item in items):
        return False
    if any(is_named(item, name) for item in items for name in draws.none_of):
        return False
    if draws.number is not None and not draws.number[0] <= len(items) <= draws.number[1]:
        return False
    wishes = [wish for wish in draws.objects for _ in range(wish.count)]
    if draws.number is None and not draws.more and len(wishes) != len(items):
        return False
    if draws.number is not None and not draws.more and not all(any(fits(i, w) for w in wishes) for i in items):
        return False
    choices = [[number for number, item in enumerate(items) if fits(item, wish)] for wish in wishes]
    return bool(matches(len(items), choices)) and all(relation_holds(items, each) for each in draws.relations)
