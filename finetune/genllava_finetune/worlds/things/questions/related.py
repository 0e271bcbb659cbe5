"""Questions about items and others: where one is as seen from another, which is bigger, what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from genllava_finetune.worlds.things.language import answers, phrases
from genllava_finetune.worlds.things.pictures.scene import PLACES, SIZES, Item
from genllava_finetune.worlds.things.questions.parts import (
    DENIALS,
    Asking,
    Draft,
    absent,
    are,
    listed,
    names,
    only,
    refer,
    the_items,
    words,
)

SIDES: Final = ("left of", "right of", "above", "below")
_LEVEL: Final = 0.06
"""Items of one column whose middles are this near are not left or right of each other, as a share of the side; so with
rows. Farther apart, people would argue."""
_FARTHEST: Final = 0.1
"""What is farthest out must be so by at least this much."""


def related(first: Item, relation: str, second: Item) -> bool | None:
    """Whether an item is left of another one and so on; None where people would argue."""
    (row, column), (row2, column2) = _cell(first), _cell(second)
    if relation == "next to":
        if row == row2 and abs(column - column2) == 1:
            return True
        return False if max(abs(row - row2), abs(column - column2)) == 2 and row != row2 else None
    axis = 0 if relation in ("left of", "right of") else 1
    steps = (column2 - column, row2 - row)[axis]
    if relation in ("right of", "below"):
        steps = -steps
    aside = abs((row2 - row, column2 - column)[axis])
    if steps:
        return False if steps < 0 else True if aside <= steps else None
    return False if abs(first.middle[axis] - second.middle[axis]) < _LEVEL else None


def between(item: Item, first: Item, second: Item) -> bool | None:
    """Whether an item is between two others: in a line with them, or not at all; None where people would argue."""
    cells = [_cell(first), _cell(item), _cell(second)]
    steps = [tuple(b[axis] - a[axis] for axis in (0, 1)) for a, b in pairwise(cells)]
    if steps[0] == steps[1]:
        return True
    for axis in (0, 1):
        ends = sorted((cells[0][axis], cells[2][axis]))
        if not ends[0] <= cells[1][axis] <= ends[1]:
            return False
    return None


def _cell(item: Item) -> tuple[int, int]:
    return divmod(PLACES.index(item.place), 3)


def _two(asking: Asking, hidden: str = "") -> tuple[Item, str, Item, str] | None:
    """Two items with words for each."""
    pair = asking.pair()
    if pair is None:
        return None
    the, the2 = refer(asking, pair[0], hidden), refer(asking, pair[1], hidden)
    return None if the is None or the2 is None or the == the2 else (pair[0], the, pair[1], the2)


def _missing(asking: Asking, *, yes_no: bool, slots: dict[str, str]) -> Draft | None:
    """A question about two items one of which is not there."""
    item, found = asking.item(), absent(asking)
    the = refer(asking, item) if item is not None else None
    if found is None or the is None:
        return None
    both = [found[0], the]
    asking.source.shuffle(both)
    text = f"No, {found[1][0].lower()}{found[1][1:]}" if yes_no else found[1]
    expected: dict[str, object] = {"yes": False} if yes_no else {"any_of": list(DENIALS)}
    return Draft({**slots, "the": both[0], "the2": both[1]}, text, expected)


def relation(asking: Asking) -> Draft | None:
    """Is the cat left of the dog?"""
    if asking.false_premise():
        slots = {"rel": phrases.relation(asking.source, asking.source.choice(SIDES))}
        return _missing(asking, yes_no=True, slots=slots)
    if len(asking.scene.items) > 2 and asking.chance(0.15):
        return _is_between(asking)
    two = _two(asking)
    if two is None:
        return None
    first, the, second, the2 = two
    wanted = asking.chance(0.57)
    relations = [each for each in (*SIDES, "next to") if related(first, each, second) is wanted]
    if not relations:
        return None
    chosen = asking.source.choice(relations)
    slots = {"the": the, "rel": _said(asking, chosen, straight=_straight(first, second)), "the2": the2}
    return Draft(slots, _yes_or_where(first, second, wanted, asking), {"yes": wanted}, first)


def _straight(first: Item, second: Item) -> bool:
    """Whether two items are in one row or in one column."""
    return any(a == b for a, b in zip(_cell(first), _cell(second), strict=True))


def _said(asking: Asking, relation: str, *, straight: bool) -> str:
    """Words for a relation; "directly above" only where one is straight above the other."""
    for _ in range(8):
        text = phrases.relation(asking.source, relation)
        if straight or set(text.split()).isdisjoint(("directly", "straight", "just", "top")):
            return text
    return relation


def _yes_or_where(first: Item, second: Item, wanted: bool, asking: Asking) -> str:
    """ "Yes."; or "No, below the dog." where there is such a word."""
    if wanted:
        return "Yes."
    found = _sides(first, second)
    return answers.sentence(f"no, {_seen_from(found)} {answers.say_the(second, asking.scene)}") if found else "No."


def _is_between(asking: Asking) -> Draft | None:
    wanted = asking.chance(0.5)
    for _ in range(6):
        item, first, second = asking.source.sample(asking.scene.items, 3)
        if between(item, first, second) is not wanted:
            continue
        said = [refer(asking, each) for each in (item, first, second)]
        if said[0] is None or said[1] is None or said[2] is None:
            return None
        slots = {"the": said[0], "rel": "between", "the2": f"{said[1]} and {said[2]}"}
        return Draft(slots, "Yes." if wanted else "No.", {"yes": wanted}, item)
    return None


def relation_what(asking: Asking) -> Draft | None:
    """What is above the dog?"""
    source = asking.source
    chosen = source.choice((*SIDES, "next to"))
    if asking.false_premise():
        found = absent(asking)
        slots = {"rel": phrases.relation(source, chosen)}
        return found and Draft({**slots, "the": found[0]}, found[1], {"any_of": list(DENIALS)})
    item = asking.item()
    if item is None:
        return None
    held = [(other, related(other, chosen, item)) for other in asking.scene.items if other is not item]
    members = tuple(other for other, true in held if true)
    if any(true is None for _, true in held) or not _agree(item, members, chosen):
        return None
    if not members and asking.chance(0.6):
        return None
    the = refer(asking, item)
    if the is None:
        return None
    straight = all(_straight(other, item) for other in members)
    slots = {"rel": _said(asking, chosen, straight=straight), "the": the}
    return Draft(slots, answers.sentence(listed(members)), names(members), only(members) or item)


def _agree(item: Item, members: Sequence[Item], chosen: str) -> bool:
    """Whether all or none of the items are straight above, below or beside one; a mixture is open to argument."""
    axis = 1 if chosen in ("above", "below") else 0
    straight = [_cell(other)[axis] == _cell(item)[axis] for other in members]
    return len(set(straight)) < 2


def where_relative(asking: Asking) -> Draft | None:
    """Where is the cat as seen from the dog?"""
    if asking.false_premise():
        return _missing(asking, yes_no=False, slots={})
    two = _two(asking, "place")
    if two is None:
        return None
    first, the, second, the2 = two
    held = _sides(first, second)
    if not held:
        return None
    answer = f"{_seen_from(held)} {answers.say_the(second, asking.scene)}"
    found = [each.split()[0] for each in held]
    expected: dict[str, object] = {"any_of": found} if len(found) == 1 else {"all_of": found}
    return Draft({"the": the, "the2": the2}, answers.sentence(answer), expected, first)


def _sides(first: Item, second: Item) -> list[str]:
    """On which sides of the second item the first one is, by rows and columns."""
    (row, column), (row2, column2) = _cell(first), _cell(second)
    found = zip(SIDES, (column < column2, column > column2, row < row2, row > row2), strict=True)
    return [side for side, true in found if true]


def _seen_from(held: Sequence[str]) -> str:
    """ "left of", "above and left of"."""
    return " and ".join(sorted(held, key=lambda each: each.endswith("of")))


def bigger(asking: Asking) -> Draft | None:
    """Which is bigger, the cat or the dog?"""
    if asking.false_premise():
        return _missing(asking, yes_no=False, slots={})
    two = _two(asking, "size")
    if two is None:
        return None
    first, the, second, the2 = two
    slots = {"the": the, "the2": the2}
    if first.size == second.size:
        if asking.chance(0.5):
            return None
        return Draft(slots, f"Neither, both are {first.size}.", {"any_of": ["neither", "same", "both", "equally"]})
    if first.name == second.name:
        return None
    larger = max(first, second, key=lambda each: SIZES.index(each.size))
    return Draft(slots, answers.sentence(answers.say_the(larger, asking.scene)), names([larger]), larger)


def _most(best: Callable[[list[str]], str]) -> Callable[[Asking], Draft | None]:
    """A maker of questions about what is of the largest or smallest size in the scene."""

    def make(asking: Asking) -> Draft | None:
        items = asking.scene.items
        if not items:
            return None
        size = best([item.size for item in items])
        found = tuple(item for item in items if item.size == size)
        if len(found) == len(items) > 1 or (len(found) > 1 and asking.chance(0.5)):
            return None
        return Draft({}, answers.sentence(the_items(found, asking.scene)), names(found), only(found))

    return make


biggest: Final = _most(lambda sizes: max(sizes, key=SIZES.index))
smallest: Final = _most(lambda sizes: min(sizes, key=SIZES.index))


def extreme(asking: Asking) -> Draft | None:
    """What is the leftmost thing?"""
    items = asking.scene.items
    if not items:
        return None
    side = asking.source.choice(("left", "right", "above", "below"))
    axis, sign = (0 if side in ("left", "right") else 1), (1 if side in ("left", "above") else -1)
    ordered = sorted(items, key=lambda item: sign * item.middle[axis])
    if len(ordered) > 1 and abs(ordered[0].middle[axis] - ordered[1].middle[axis]) < _FARTHEST:
        return None
    found = ordered[0]
    slots = {"extreme": asking.source.choice(words()["extremes"][side])}
    return Draft(slots, answers.sentence(answers.say_the(found, asking.scene)), names([found]), found)


def same(asking: Asking) -> Draft | None:
    """Do the cat and the dog have the same size?"""
    attribute = asking.source.choices(("style", "size", "colour"), (3, 4, 3))[0]
    slots = {"attribute": asking.source.choice(words()["attributes"][attribute])}
    if asking.false_premise():
        return _missing(asking, yes_no=True, slots=slots)
    wanted = asking.chance(0.64)
    for _ in range(5):
        pair = asking.pair()
        if pair is None:
            return None
        values = [_value(item, attribute) for item in pair]
        if None in values or (values[0] == values[1]) is not wanted:
            continue
        if not wanted and pair[0].name == pair[1].name:
            continue
        the, the2 = (refer(asking, item, attribute) for item in pair)
        if the is None or the2 is None:
            continue
        if wanted:
            answer = f"yes, both are {values[0]}"
        else:
            parts = [f"the {item.name} {are(item)}" for item in pair]
            answer = f"no, {parts[0]} {values[0]} and {parts[1]} {values[1]}"
        return Draft({**slots, "the": the, "the2": the2}, answers.sentence(answer), {"yes": wanted})
    return None


def _value(item: Item, attribute: str) -> str | None:
    if attribute == "style":
        return item.style and answers.say_style(item.style)
    return item.size if attribute == "size" else phrases.colour_of(item)
