"""Descriptions: what a phrase such as `the large red one at the top` asks of an object."""

from __future__ import annotations

from dataclasses import dataclass

from genllava_finetune.worlds.shapes.scene import CELLS, Scene, Thing


@dataclass(frozen=True, slots=True)
class Description:
    """The attributes a phrase names; those it leaves open are None. `cell` indexes `CELLS`."""

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    cell: int | None = None

    def matches(self, thing: Thing) -> bool:
        return (
            (self.shape is None or thing.shape == self.shape)
            and (self.color is None or thing.color == self.color)
            and (self.size is None or thing.size == self.size)
            and (self.cell is None or thing.cell == self.cell)
        )

    def select(self, scene: Scene) -> tuple[Thing, ...]:
        """The objects of `scene` that fit, in reading order."""
        return tuple(thing for thing in scene.things if self.matches(thing))

    @property
    def position(self) -> str | None:
        return None if self.cell is None else CELLS[self.cell]

    @property
    def empty(self) -> bool:
        return self == Description()


def describe(thing: Thing) -> Description:
    """Everything there is to say about `thing`."""
    return Description(thing.shape, thing.color, thing.size, thing.cell)
