"""Specifications: what a request for a new picture asks of it, and whether a scene keeps to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.scene import Scene, Thing

RelationName = Literal["left", "right", "above", "below"]
RELATIONS: Final[tuple[RelationName, ...]] = ("left", "right", "above", "below")


def related(relation: str, first: Thing, second: Thing) -> bool:
    """Whether `first` is left of, right of, above or below `second` on the grid."""
    match relation:
        case "left":
            return first.column < second.column
        case "right":
            return first.column > second.column
        case "above":
            return first.row < second.row
        case _:
            return first.row > second.row


@dataclass(frozen=True, slots=True)
class Ask:
    """`count` objects that fit `what`."""

    what: Description
    count: int = 1


@dataclass(frozen=True, slots=True)
class Relation:
    """The object of `asks[first]` stands in `name` to the object of `asks[second]`."""

    name: RelationName
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Specification:
    """What is asked of a new picture.

    The objects asked for are all there are: `a red circle` is one object. What is not named is free.

    Attributes:
        background: None if any will do.
        without: no object fits this (`none of them red`).
    """

    asks: tuple[Ask, ...]
    background: str | None = None
    relation: Relation | None = None
    without: Description | None = None

    @property
    def total(self) -> int:
        return sum(ask.count for ask in self.asks)

    def holds(self, scene: Scene) -> bool:
        """Whether everything asked is so in `scene` and nothing asked is violated."""
        if len(scene.things) != self.total or self.background not in (None, scene.background):
            return False
        if self.without is not None and self.without.select(scene):
            return False
        wanted = [ask.what for ask in self.asks for _ in range(ask.count)]
        return any(self._fits(wanted, order) for order in itertools.permutations(scene.things))

    def _fits(self, wanted: Sequence[Description], things: Sequence[Thing]) -> bool:
        if not all(what.matches(thing) for what, thing in zip(wanted, things, strict=True)):
            return False
        if self.relation is None:
            return True
        starts = list(itertools.accumulate((ask.count for ask in self.asks), initial=0))
        first, second = things[starts[self.relation.first]], things[starts[self.relation.second]]
        return related(self.relation.name, first, second)

    @property
    def complete(self) -> bool:
        """Whether only one scene (jitter aside) keeps to it."""
        open_asks = [
            a for a in self.asks if a.count > 1 or None in (a.what.shape, a.what.color, a.what.size, a.what.cell)
        ]
        return self.background is not None and not open_asks

    @property
    def tags(self) -> tuple[str, ...]:
        """What is asked, in the terms of GenEval, with several, size, background and negation beside."""
        whats = [ask.what for ask in self.asks]
        colored = sum(what.color is not None for what in whats)
        facts = {
            "single": self.total == 1,
            "two": len(self.asks) == 2 and self.total == 2,
            "several": len(self.asks) > 2,
            "counting": any(ask.count > 1 for ask in self.asks),
            "colors": colored > 0 and len(self.asks) == 1,
            "color_attr": colored > 1,
            "position": self.relation is not None or any(what.cell is not None for what in whats),
            "size": any(what.size is not None for what in whats),
            "background": self.background is not None,
            "negation": self.without is not None,
        }
        return tuple(name for name, fact in facts.items() if fact)
