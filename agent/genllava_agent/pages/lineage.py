"""The family tree of a picture: what it was made from, by which words, and what that was made from."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.records import ImageRecord

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.pages.lineage_layout import Layout


@dataclass(frozen=True, slots=True)
class Edge:
    """`child` was made from `parent`, as `instruction` says."""

    parent: str
    child: str
    instruction: str | None


class Lineage:
    """A picture, the pictures it was made from, and so on back to those that were made from none.

    In a notebook it shows itself.

    Attributes:
        name: of the picture.
        nodes: the records, parents before children; the last one is the picture's own.
        edges: from each parent to its child, in the order of the children.

    Args:
        records: where each picture of the thread comes from, by name.
        image_of: gives the pixels of a picture, RGB.

    Raises:
        UnknownImage: no such picture.
        ThreadQuarantined: a parent has no record, or a picture descends from itself.
    """

    def __init__(self, name: str, records: Mapping[str, ImageRecord], image_of: Callable[[str], Image.Image]) -> None:
        if name not in records:
            raise UnknownImage.among(name, records)
        self.name = name
        self._image_of = image_of
        self.nodes: tuple[ImageRecord, ...] = _ancestors(name, records)
        self.edges: tuple[Edge, ...] = tuple(
            Edge(parent, record.id, record.instruction) for record in self.nodes for parent in _parents(record)
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold, without pixels."""
        return {
            "image": self.name,
            "nodes": [record.model_dump(mode="json") for record in self.nodes],
            "edges": [
                {"parent": edge.parent, "child": edge.child, "instruction": edge.instruction} for edge in self.edges
            ],
        }

    def svg(self) -> str:
        """The tree as an SVG that needs nothing else: the pictures are inside.

        Raises:
            ThreadQuarantined: what is stored of a picture is damaged.
        """
        from genllava_agent.pages.lineage_drawing import draw_svg

        return draw_svg(self._layout, self._image_of)

    def image(self) -> Image.Image:
        """The tree as a picture, RGB.

        Raises:
            InvalidRequest: it would be too large; it can still be saved as SVG.
            ThreadQuarantined: as for `svg`.
        """
        from genllava_agent.pages.lineage_drawing import draw_image

        return draw_image(self._layout, self._image_of)

    def png(self) -> bytes:
        """The tree as a PNG. Errors as for `image`."""
        from genllava_agent.pages.markup import png_bytes

        return png_bytes(self.image())

    def save(self, path: str | Path) -> Path:
        """Write the tree to a file, whole or not at all, as the ending of its name says: .svg, .png or .json.

        Returns:
            where it is.

        Raises:
            InvalidRequest: another ending, or a place that cannot be written to. Further errors as for `image`.
        """
        from genllava_agent.outputs import check_output, write_bytes

        path = Path(path)
        makers: dict[str, Callable[[], bytes]] = {
            ".svg": lambda: self.svg().encode(),
            ".png": self.png,
            ".json": lambda: json.dumps(self.to_dict(), indent=2).encode(),
        }
        make = makers.get(path.suffix.lower())
        if make is None:
            raise InvalidRequest(f"cannot write {path}: the name must end in {', '.join(makers)}")
        target = check_output(path)
        write_bytes(target, make())
        return target

    def __repr__(self) -> str:
        others = len(self.nodes) - 1
        return f"<lineage of {self.name}: {others} picture{'' if others == 1 else 's'} before it>"

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self.svg()}</div>'

    @cached_property
    def _layout(self) -> Layout:
        from genllava_agent.pages.lineage_layout import lay_out

        return lay_out(self.nodes)


def _parents(record: ImageRecord) -> tuple[str, ...]:
    """Each parent once, in its order."""
    return tuple(dict.fromkeys(record.parents))


def _ancestors(name: str, records: Mapping[str, ImageRecord]) -> tuple[ImageRecord, ...]:
    """The picture and all before it, parents first; among those that could come next the oldest does."""
    children: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    found = [name]
    for each in found:
        if each not in records:
            raise ThreadQuarantined(
                f"what is stored of this thread is damaged: there is no record of {each}, from which another picture "
                "was made. Restore it from a backup, or delete the thread"
            )
        missing[each] = len(_parents(records[each]))
        for parent in _parents(records[each]):
            if parent not in children:
                children[parent] = []
                if parent != name:
                    found.append(parent)
            children[parent].append(each)
    ready = [(records[each].number, each) for each in found if not missing[each]]
    heapq.heapify(ready)
    ordered: list[ImageRecord] = []
    while ready:
        _, each = heapq.heappop(ready)
        ordered.append(records[each])
        for child in children.get(each, []):
            missing[child] -= 1
            if not missing[child]:
                heapq.heappush(ready, (records[child].number, child))
    if len(ordered) < len(found):
        raise ThreadQuarantined(
            "what is stored of this thread is damaged: a picture descends from itself. Restore it from a backup, or "
            "delete the thread"
        )
    return tuple(ordered)
