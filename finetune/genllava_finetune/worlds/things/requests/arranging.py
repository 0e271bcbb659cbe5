"""The one scene that a request for a new picture means: what it leaves open is filled by plain rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from genllava_finetune.worlds.things.language.phrases import Wanted
from genllava_finetune.worlds.things.pictures.relating import CONVERSE, places_by, related
from genllava_finetune.worlds.things.pictures.scene import MOST, Scene
from genllava_finetune.worlds.things.requests.edits import ORDER, STYLE, made

BACKGROUND: Final = "white"
"""Where none is asked for."""
_LAYOUTS: Final[dict[int, tuple[str, ...]]] = {
    1: ("center",),
    2: ("left", "right"),
    3: ("left", "center", "right"),
    4: ("top left", "top right", "bottom left", "bottom right"),
    5: ("top left", "top right", "center", "bottom left", "bottom right"),
}
"""Places of so many items in the order in which they are named, where nothing is said about places."""
_BETWEEN: Final = ("left", "right", *ORDER)


@dataclass(frozen=True, slots=True)
class Relation:
    """That an item of a list lies so as seen from others of it.

    Attributes:
        first: which of the list, from 0.
        relation: one of `relating.RELATIONS`, or `between`.
        others: from where it is seen: one of the list, for `between` two.
    """

    first: int
    relation: str
    others: tuple[int, ...]


def arranged(
    wanted: Sequence[Wanted],
    relations: Sequence[Relation] = (),
    background: str | None = None,
    style: str | None = None,
) -> Scene | None:
    """The scene that a list of items asks for; None if they are too many or cannot all lie as is said.

    Args:
        wanted: what is asked for, in the order in which it is named; `relations` count in it.
        background: None if none is asked for.
        style: of all things, where one is asked for.
    """
    singles = [each for each in wanted for _ in range(each.count)]
    starts = [sum(each.count for each in wanted[:index]) for index in range(len(wanted))]
    if len(singles) > MOST:
        return None
    said = tuple((starts[r.first], r.relation, tuple(starts[other] for other in r.others)) for r in relations)
    places = _places(tuple(each.place for each in singles), said)
    if places is None:
        return None
    items = (made(each, place, style=style or STYLE) for each, place in zip(singles, places, strict=True))
    return Scene(background or BACKGROUND, tuple(items))


_Said = tuple[tuple[int, str, tuple[int, ...]], ...]


@lru_cache(maxsize=20_000)
def _places(fixed: tuple[str | None, ...], relations: _Said) -> tuple[str, ...] | None:
    """A place for each item: the first arrangement, in a fixed order, in which all relations hold."""
    found = {index: place for index, place in enumerate(fixed) if place}
    if len(set(found.values())) < len(found):
        return None
    done = _searched(found, _order(fixed, relations), fixed, relations)
    return None if done is None else tuple(done[index] for index in range(len(fixed)))


def _order(fixed: tuple[str | None, ...], relations: _Said) -> list[int]:
    """Which item gets its place when: with those first from which most others are seen, then their neighbours."""
    ties = {index: [said for said in relations if index == said[0] or index in said[2]] for index in range(len(fixed))}
    seen = {index: sum(index in said[2] for said in relations) for index in ties}
    reached = [index for index, place in enumerate(fixed) if place]
    order: list[int] = []
    while len(reached) < len(fixed):
        rest = [index for index in ties if index not in reached]
        near = [i for i in rest if any(i != j and j in reached for said in ties[i] for j in (said[0], *said[2]))]
        best = max(near or rest, key=lambda index: (len(ties[index]), seen[index], -index))
        reached.append(best)
        order.append(best)
    return order


def _searched(
    found: dict[int, str], order: list[int], fixed: tuple[str | None, ...], relations: _Said
) -> dict[int, str] | None:
    ready = [said for said in relations if all(index in found for index in (said[0], *said[2]))]
    if not all(related(found[first], relation, tuple(found[o] for o in others)) for first, relation, others in ready):
        return None
    if not order:
        return found
    for place in _choice(order[0], found, len(fixed), relations):
        if place not in found.values():
            done = _searched({**found, order[0]: place}, order[1:], fixed, relations)
            if done is not None:
                return done
    return None


def _choice(index: int, found: dict[int, str], count: int, relations: _Said) -> tuple[str, ...]:
    """Places for an item, the best first."""
    concerned = [said for said in relations if index == said[0] or index in said[2]]
    for first, relation, others in concerned:
        if first == index and all(other in found for other in others):
            return places_by(relation, tuple(found[other] for other in others))
        if first in found and relation in CONVERSE:
            return places_by(CONVERSE[relation], (found[first],))
    if any(relation == "between" for _, relation, _ in concerned):
        return _BETWEEN
    return ORDER if concerned else (*_LAYOUTS[count], *ORDER)
