"""Ids of pictures of public collections, as file names and rows carry them: what overlap with a benchmark is read from.

`COCO_val2014_000000123456.jpg`, `000000123456.jpg`, `123456.jpg` and MagicBrush's `123456-output1.png` are one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_COCO_DIGITS: Final = 12
_SHORTEST_NUMBER: Final = 4
_SHORTEST_NAME: Final = 8
_VISUAL_GENOME: Final = {"vg_100k", "vg_100k_2", "gqa"}
"""Folders in which the public data sets keep pictures of Visual Genome, whose numbers are not COCO's."""


@dataclass(frozen=True, slots=True)
class ImageId:
    """Identity of a picture in the collection that it is from.

    Attributes:
        key: its number without leading zeros, or its name in lower case.
        collection: "coco" or "visual_genome" where the name says so; else empty.
    """

    key: str
    collection: str = ""

    def same(self, other: ImageId) -> bool:
        """Whether both may be one picture: equal keys, and not known to be of two collections."""
        return self.key == other.key and ("" in (self.collection, other.collection) or self == other)


def id_of_path(path: str) -> ImageId | None:
    """The id in a picture's path: the one number among the parts of its name between `_` and `-`, else the whole name.

    Numbers of fewer than four digits are counters, unless they are padded to COCO's twelve; names of fewer than eight
    characters or without a digit ("image", "input_1") say nothing either. None stands for no id.
    """
    place = PurePosixPath(path.replace("\\", "/"))
    parts = [part for part in place.stem.replace("-", "_").split("_") if part.isascii() and part.isdigit()]
    coco = [part for part in parts if len(part) == _COCO_DIGITS]
    if len(coco) == 1:
        return ImageId(_number(coco[0]), "coco")
    numbers = [part for part in parts if _SHORTEST_NUMBER <= len(part) < _COCO_DIGITS]
    if len(numbers) == 1:
        genome = any(folder.lower() in _VISUAL_GENOME for folder in place.parts[:-1])
        return ImageId(_number(numbers[0]), "visual_genome" if genome else "")
    name = place.stem.lower()
    if len(name) >= _SHORTEST_NAME and any(letter.isdigit() for letter in name):
        return ImageId(name)
    return None


def id_of_row(row_id: str, source: str) -> ImageId | None:
    """The id in a row's id (`llava_instruct:000000123456`): a part between `:`, `/` and `#` that names a COCO picture.

    Plain numbers are most often counters, and are taken for ids only in MagicBrush, which counts by COCO's.
    """
    for part in row_id.replace("/", ":").replace("#", ":").split(":"):
        found = id_of_path(part)
        if found is not None and (found.collection == "coco" or (source == "magicbrush" and found.key.isdigit())):
            return ImageId(found.key, "coco")
    return None


def id_of_line(line: str) -> ImageId:
    """The id that a line of a list stands for: a number of any length, a file name, or any other name."""
    text = line.strip()
    if text.isascii() and text.isdigit() and len(text) != _COCO_DIGITS:
        return ImageId(_number(text))
    return id_of_path(text) or ImageId(PurePosixPath(text).stem.lower())


def _number(digits: str) -> str:
    return digits.lstrip("0") or "0"
