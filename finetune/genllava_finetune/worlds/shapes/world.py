"""The shapes world behind the interface of all worlds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from genllava_finetune.data.rows import Row
from genllava_finetune.worlds.shapes import rows
from genllava_finetune.worlds.shapes.scene import CANVAS


class ShapesWorld:
    """Pictures of up to four simple shapes on a grid of three by three; see `worlds.base.World`."""

    name = rows.NAME
    side = CANVAS

    def rows(
        self, seed: int, *, start: int = 0, count: int | None = None, options: Mapping[str, Any] | None = None
    ) -> Iterator[Row]:
        return rows.rows(seed, start=start, count=count, options=options)


WORLD: Final = ShapesWorld()
