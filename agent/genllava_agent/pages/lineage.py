"""The family tree of a picture: what it was made from, by which words, and what that was made from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genllava.errors import InvalidRequest
from genllava_agent.errors import ThreadQuarantined, UnknownImage
from genllava_agent.records import ImageRecord

if TYPE_CHECKING:
    from PIL import Image


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
        ThreadQuarantined: a parent has no record, or is no older than its child.
    """

    def __init__(self, name: str, records: Mapping[str, ImageRecord], image_of: Callable[[str], Image.Image]) -> None:
        if name not in records:
            raise UnknownImage.among(name, records)
        self.name = name
        self._image_of = image_of
        self.nodes: tuple[ImageRecord, ...] = _ancestors(name, records)
        self.edges: tuple[Edge, ...] = tuple(
            Edge(parent, record.id, record.instruction)
            for record in self.nodes
            for parent in dict.fromkeys(record.parents)
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold, without pixels."""
        nodes = [record.model_dump(mode="json") for record in self.nodes]
        return {"image": self.name, "nodes": nodes, "edges": [asdict(edge) for edge in self.edges]}

    def svg(self) -> str:
        """The tree as an SVG that needs nothing else: the pictures are inside.

        Raises:
            ThreadQuarantined: what is stored of a picture is damaged.
        """
        from genllava_agent.pages.lineage_drawing import draw

        return draw(self.nodes, self._image_of)

    def save(self, path: str | Path) -> Path:
        """Write the tree to a file, whole or not at all, as the ending of its name says: .svg or .json.

        Returns:
            where it is.

        Raises:
            InvalidRequest: another ending, or a place that cannot be written to.
            ThreadQuarantined: as for `svg`.
        """
        from genllava_agent.outputs import check_output, write_bytes

        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".svg", ".json"):
            raise InvalidRequest(f"cannot write {path}: the name must end in .svg, .json")
        target = check_output(path)
        write_bytes(target, (self.svg() if ending == ".svg" else json.dumps(self.to_dict(), indent=2)).encode())
        return target

    def __repr__(self) -> str:
        others = len(self.nodes) - 1
        return f"<lineage of {self.name}: {others} picture{'' if others == 1 else 's'} before it>"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.svg().encode()).decode()  # as a picture it meets no style of the notebook's own
        return f'<img src="data:image/svg+xml;base64,{data}" alt="The lineage of {self.name}" style="max-width:100%">'


def _ancestors(name: str, records: Mapping[str, ImageRecord]) -> tuple[ImageRecord, ...]:
    """The picture and all before it, oldest first."""
    found, waiting = {name}, [name]
    while waiting:
        child = waiting.pop()
        for parent in records[child].parents:
            if parent not in records or records[parent].number >= records[child].number:
                raise ThreadQuarantined(
                    f"what is stored of this thread is damaged: {child} was made from {parent}, and that is no older "
                    "picture of it. Restore it from a backup, or delete the thread"
                )
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return tuple(sorted((records[each] for each in found), key=lambda record: record.number))
