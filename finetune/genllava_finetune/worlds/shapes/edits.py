"""Edits as pure functions on scenes: each operation says what it touches, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.scene import CELLS, JITTER, Scene, Thing

STEP: dict[str, tuple[int, int]] = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""Rows and columns that one step in a direction goes."""


class EditImpossibleError(ValueError):
    """The scene has no such object, several of them, or no room."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The object, or with `every` all objects, that fit `what`."""

    what: Description
    every: bool = False

    def resolve(self, scene: Scene) -> tuple[Thing, ...]:
        """The objects meant.

        Raises:
            EditImpossibleError: none fits, or several do and only one is meant.
        """
        things = self.what.select(scene)
        if not things or (len(things) > 1 and not self.every):
            raise EditImpossibleError(f"{len(things)} objects fit {self.what}")
        return things


def shifted(cell: int, direction: str) -> int | None:
    """The cell one step away; None beyond the edge."""
    row, column = cell // 3 + STEP[direction][0], cell % 3 + STEP[direction][1]
    return 3 * row + column if 0 <= row < 3 and 0 <= column < 3 else None


def _resized(thing: Thing, size: str) -> Thing:
    reach = JITTER[size]
    return replace(thing, size=size, dx=max(-reach, min(reach, thing.dx)), dy=max(-reach, min(reach, thing.dy)))


class Operation:
    """One change of a scene. `touch` is all a kind of operation on objects has to define."""

    kind: ClassVar[str]
    __slots__ = ()

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        """Cell of every object the operation is about, and what becomes of it (None: it goes).

        Raises:
            EditImpossibleError: the operation makes no sense in `scene`.
        """
        return {}

    def asked(self, scene: Scene) -> frozenset[str]:
        """The attributes the operation gives or takes (see `splits.HELD_OUT_EDITS`)."""
        return frozenset()

    def apply(self, scene: Scene) -> Scene:
        """The scene after the change.

        Raises:
            EditImpossibleError: the operation makes no sense in `scene`.
        """
        return after(scene, self.touch(scene))


def after(scene: Scene, touched: dict[int, Thing | None]) -> Scene:
    """The scene with the objects in the cells of `touched` replaced.

    Raises:
        EditImpossibleError: two objects would share a cell.
    """
    things = [thing for thing in scene.things if thing.cell not in touched]
    things += [thing for thing in touched.values() if thing is not None]
    if len({thing.cell for thing in things}) != len(things):
        raise EditImpossibleError("the cell is taken")
    return replace(scene, things=tuple(things))


@dataclass(frozen=True, slots=True)
class Recolor(Operation):
    kind: ClassVar[str] = "recolor"
    which: Reference
    color: str

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        return {thing.cell: replace(thing, color=self.color) for thing in self.which.resolve(scene)}

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset({self.color})


@dataclass(frozen=True, slots=True)
class Resize(Operation):
    kind: ClassVar[str] = "resize"
    which: Reference
    size: str

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        return {thing.cell: _resized(thing, self.size) for thing in self.which.resolve(scene)}

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset({self.size})


@dataclass(frozen=True, slots=True)
class Replace(Operation):
    """Another shape in the same place; colour and size too where they are named."""

    kind: ClassVar[str] = "replace"
    which: Reference
    shape: str
    color: str | None = None
    size: str | None = None

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        return {
            old.cell: _resized(replace(old, shape=self.shape, color=self.color or old.color), self.size or old.size)
            for old in self.which.resolve(scene)
        }

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset({self.shape})


@dataclass(frozen=True, slots=True)
class Remove(Operation):
    kind: ClassVar[str] = "remove"
    which: Reference

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        return dict.fromkeys((thing.cell for thing in self.which.resolve(scene)), None)

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset(thing.color for thing in self.which.resolve(scene))


@dataclass(frozen=True, slots=True)
class Move(Operation):
    """To a cell; `direction` is how it was said, if it was `one step to the left`."""

    kind: ClassVar[str] = "move"
    which: Reference
    cell: int | None = None
    direction: str | None = None

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        (thing,) = self.which.resolve(scene)
        cell = shifted(thing.cell, self.direction) if self.direction is not None else self.cell
        if cell is None:
            raise EditImpossibleError("there is no room in that direction")
        return {thing.cell: replace(thing, cell=cell)}

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset(CELLS[thing.cell] for thing in self.touch(scene).values() if thing is not None)


@dataclass(frozen=True, slots=True)
class Swap(Operation):
    """Two objects change places."""

    kind: ClassVar[str] = "swap"
    first: Reference
    second: Reference

    def touch(self, scene: Scene) -> dict[int, Thing | None]:
        (one,), (other,) = self.first.resolve(scene), self.second.resolve(scene)
        if one.cell == other.cell:
            raise EditImpossibleError("an object cannot change places with itself")
        return {one.cell: replace(one, cell=other.cell), other.cell: replace(other, cell=one.cell)}


@dataclass(frozen=True, slots=True)
class Add(Operation):
    """A new object. `wanted` is what was asked of it, `thing` one that fits."""

    kind: ClassVar[str] = "add"
    wanted: Description
    thing: Thing

    def apply(self, scene: Scene) -> Scene:
        if self.thing.cell not in scene.free_cells:
            raise EditImpossibleError("the cell is taken")
        return scene.with_thing(self.thing)

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset({self.thing.shape})


@dataclass(frozen=True, slots=True)
class Background(Operation):
    kind: ClassVar[str] = "background"
    color: str

    def apply(self, scene: Scene) -> Scene:
        return replace(scene, background=self.color)

    def asked(self, scene: Scene) -> frozenset[str]:
        return frozenset({self.color})


def apply_all(scene: Scene, operations: Iterable[Operation]) -> Scene:
    """The scene after all changes, one after the other.

    Raises:
        EditImpossibleError: one of them makes no sense where it comes.
    """
    for operation in operations:
        scene = operation.apply(scene)
    return scene


@dataclass(frozen=True, slots=True)
class Trace:
    """What a series of operations does to each object of the source, and what it adds."""

    fates: tuple[tuple[Thing, Thing | None], ...]
    wanted: tuple[Description, ...]
    background: str


def trace(source: Scene, operations: Sequence[Operation]) -> Trace:
    """Follow every object of `source` through `operations`.

    Raises:
        EditImpossibleError: as `apply_all`.
    """
    now: dict[int, Thing | None] = {thing.cell: thing for thing in source.things}
    scene, wanted = source, []
    for operation in operations:
        if isinstance(operation, Add):
            wanted.append(operation.wanted)
        touched = operation.touch(scene)
        scene = operation.apply(scene)
        now = {cell: touched.get(thing.cell, thing) if thing else None for cell, thing in now.items()}
    return Trace(tuple((thing, now[thing.cell]) for thing in source.things), tuple(wanted), scene.background)


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether what was asked for has come about in the result.

    Replace `source` to judge the same edit of another scene.
    """

    source: Scene
    operations: tuple[Operation, ...]

    def __call__(self, result: Scene) -> bool:
        course = trace(self.source, self.operations)
        finals = {new.cell for _, new in course.fates if new is not None}
        there = {thing.cell: thing for thing in result.things}
        for old, new in course.fates:
            if new is None and there.get(old.cell) == old and old.cell not in finals:
                return False
            if new is not None and new != old and not _has_come_about(old, new, there.get(new.cell)):
                return False
        newcomers = [thing for thing in result.things if thing.cell not in finals]
        if course.background not in (self.source.background, result.background):
            return False
        return any(
            all(what.matches(thing) for what, thing in zip(course.wanted, some, strict=True))
            for some in permutations(newcomers, len(course.wanted))
        )


def _has_come_about(old: Thing, new: Thing, there: Thing | None) -> bool:
    if there is None:
        return False
    if old.cell != new.cell and (there.shape, there.color) != (new.shape, new.color):
        return False
    names = ("shape", "color", "size")
    return all(getattr(old, n) == getattr(new, n) or getattr(there, n) == getattr(new, n) for n in names)


@dataclass(frozen=True, slots=True)
class Preserved:
    """Whether everything the operations leave alone is as it was."""

    source: Scene
    operations: tuple[Operation, ...]

    def __call__(self, result: Scene) -> bool:
        course = trace(self.source, self.operations)
        there = {thing.cell: thing for thing in result.things}
        staying = [(old, new) for old, new in course.fates if new is not None]
        if len(result.things) != len(staying) + len(course.wanted):
            return False
        if course.background == self.source.background != result.background:
            return False
        for old, new in staying:
            found = there.get(new.cell)
            if found is None:
                return False
            names = ("shape", "color", "size")
            if any(getattr(old, n) == getattr(new, n) != getattr(found, n) for n in names):
                return False
        return True
