"""Whether a picture is what was asked for: a second opinion by trying all possibilities, without the package's rules.

It reads what is expected in the form of the test file and looks at the items of scenes only.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from genllava_finetune.worlds.things.knowledge.things import thing
from genllava_finetune.worlds.things.pictures.scene import SIZES, Item, Scene


def drawn_right(scene: Scene, expected: Mapping[str, Any]) -> bool:
    """Whether a new picture shows what is expected, and nothing else."""
    items, objects = scene.items, expected["objects"]
    if expected.get("background", scene.background) != scene.background:
        return False
    if "style" in expected and any(item.style not in (None, expected["style"]) for item in items):
        return False
    if any(item.name in expected.get("none_of", ()) for item in items):
        return False
    if "number" in expected:
        least, most = expected["number"]
        return least <= len(items) <= most and all(fits(item, objects[0]) for item in items)
    relations = expected.get("relations", ())
    return all_fit(items, objects) and all(holds(scene.items, *relation) for relation in relations)


def all_fit(items: Sequence[Item], objects: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the items are exactly these objects, in some order."""
    slots = [each for each in objects for _ in range(each.get("count", 1))]
    if len(slots) != len(items):
        return False
    return any(all(map(fits, order, slots)) for order in itertools.permutations(items))


def fits(item: Item, said: Mapping[str, Any]) -> bool:
    """Whether an item has all that is said of it."""
    if "thing" in said and (item.name != said["thing"] or item.style is None):
        return False
    if "shape" in said and (item.name != said["shape"] or item.style is not None):
        return False
    if "one_of" in said and (item.style is None or item.name not in said["one_of"]):
        return False
    if "category" in said and (item.style is None or thing(item.name).category != said["category"]):
        return False
    if "colour" in said and seen(item) != said["colour"]:
        return False
    return all(getattr(item, key) == said[key] for key in ("style", "size", "place") if key in said)


def seen(item: Item) -> str | None:
    """The colour in which an item is seen."""
    return item.colour or (thing(item.name).colour_in(item.style) if item.style else None)


def holds(items: Sequence[Item], first: str, relation: str, *others: str) -> bool:
    """Whether some items of these names lie so."""
    named = [[item for item in items if item.name == name] for name in (first, *others)]
    return any(_lie(relation, *each) for each in itertools.product(*named) if len(set(each)) == len(each))


def _lie(relation: str, item: Item, *others: Item) -> bool:
    (x, y), seats = _middle(item), [_middle(other) for other in others]
    across, down = x - seats[0][0], y - seats[0][1]
    if relation == "between":
        (a, b), (c, d) = seats
        return math.dist((x, y), (a, b)) + math.dist((x, y), (c, d)) <= 1.2 * math.dist((a, b), (c, d))
    if relation == "next to":
        return math.hypot(across, down) < 0.4
    return {"left of": across < -0.2, "right of": across > 0.2, "above": down < -0.2, "below": down > 0.2}[relation]


def _middle(item: Item) -> tuple[float, float]:
    x, y = item.middle
    return x - item.shift[0], y - item.shift[1]


def meant(scene: Scene, selects: Any) -> list[Item]:
    """The items of a scene that a selection of the test file means."""
    if selects == "all":
        return list(scene.items)
    if isinstance(selects, list):
        return [item for each in selects for item in meant(scene, each)]
    return [item for item in scene.items if fits(item, selects)]


def edited_right(before: Scene, after: Scene, edits: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a picture was changed as is expected, and all else is as it was, shifts too."""
    if "background" in edits[0]:
        return after.background == edits[0]["background"] and after.items == before.items
    gone = [item for item in before.items if item not in after.items]
    new = [item for item in after.items if item not in before.items]
    if after.background != before.background:
        return False
    if "add" in edits[0]:
        relations = [relation for edit in edits for relation in edit.get("relations", ())]
        lies = all(holds((*new, *before.items), *relation) for relation in relations)
        return not gone and all_fit(new, [edit["add"] for edit in edits]) and lies
    (edit,) = edits
    if "remove" in edit:
        return not new and Counter(gone) == Counter(meant(before, edit["remove"]))
    if "swap" in edit:
        (first,), (second,) = (meant(before, each) for each in edit["swap"])
        one, other = after.at(second.place), after.at(first.place)
        return _but(first, one, "place") and _but(second, other, "place") and _rest(before, after, [first, second])
    how = next(key for key in ("move", "recolour", "restyle", "resize", "replace") if key in edit)
    chosen = [item for item in meant(before, edit[how]) if how != "restyle" or item.style]
    if how == "move":
        if len(chosen) != 1 or len(new) != 1:
            return False
        (item,), (moved,) = chosen, new
        return _but(item, moved, "place") and gone == [item] and _moved(before, item, moved, edit)
    pairs = [(item, after.at(item.place)) for item in chosen]
    return _rest(before, after, chosen) and all(_changed(how, item, now, edit) for item, now in pairs)


def _rest(before: Scene, after: Scene, chosen: Sequence[Item]) -> bool:
    kept = [item for item in before.items if item not in chosen]
    return all(item in after.items for item in kept) and len(after.items) == len(before.items)


def _but(item: Item, now: Item | None, *changed: str) -> bool:
    """Whether only these attributes differ; a shift may shrink with what is moved or grows."""
    names = ("name", "style", "colour", "size", "place")
    return now is not None and all(getattr(item, key) == getattr(now, key) for key in names if key not in changed)


def _changed(how: str, item: Item, now: Item | None, edit: Mapping[str, Any]) -> bool:
    if now is None:
        return False
    if how == "recolour":
        return seen(now) == edit["colour"] and _but(item, now, "colour") and now.shift == item.shift
    if how == "restyle":
        return now.style == edit["style"] and _but(item, now, "style", "colour") and now.shift == item.shift
    if how == "resize":
        steps = {"bigger": 1, "smaller": -1}
        wanted = edit["size"]
        size = SIZES[SIZES.index(item.size) + steps[wanted]] if wanted in steps else wanted
        return now.size == size and _but(item, now, "size")
    return fits(now, edit["with"]) and ("size" in edit["with"] or now.size == item.size)


def _moved(before: Scene, item: Item, now: Item, edit: Mapping[str, Any]) -> bool:
    if "place" in edit:
        return bool(now.place == edit["place"])
    (x, y), (to_x, to_y) = _middle(item), _middle(now)
    if "direction" in edit:
        return {"left": to_x < x, "right": to_x > x, "up": to_y < y, "down": to_y > y}[edit["direction"]]
    others = [other for other in before.items if other != item]
    return all(holds((now, *others), *relation) for relation in edit["relations"])
