"""Ids of pictures of public collections, as file names and rows carry them: what overlap with a benchmark is read from.

`COCO_val2014_000000123456.jpg`, `000000123456.jpg`, `123456.jpg` and MagicBrush's `123456-output1.png` are one picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_COCO_DIGITS: Final = 12
_SHORTEST_NUMBER: Final = 4
_DIGITS_OF_NAME: Final = 6
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
    """The id in a picture's path, or None where its name is no id.

    - A part of the name, between `_` or `-`, with COCO's twelve digits is a number of COCO.
    - Another name of digits alone is a number. Where it has fewer than four digits, without zeros before them, it is
      taken for a counter. MagicBrush's `NUMBER-input` and `NUMBER-output1` stand for the number.
    - Any other name is an id itself where it has at least six digits ("image_1" says nothing).
    """
    place = PurePosixPath(path.replace("\\", "/"))
    padded = [part for part in place.stem.replace("-", "_").split("_") if len(part) == _COCO_DIGITS and _digits(part)]
    if len(padded) == 1:
        return ImageId(_number(padded[0]), "coco")
    front, _, rest = place.stem.partition("-")
    number = front if rest.startswith(("input", "output", "mask")) else place.stem
    if _digits(number):
        genome = any(folder.lower() in _VISUAL_GENOME for folder in place.parts[:-1])
        found = ImageId(_number(number), "visual_genome" if genome else "")
        return found if len(found.key) >= _SHORTEST_NUMBER else None
    named = sum(letter.isdigit() for letter in place.stem) >= _DIGITS_OF_NAME
    return ImageId(place.stem.lower()) if named else None


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
    if _digits(text) and len(text) != _COCO_DIGITS:
        return ImageId(_number(text))
    return id_of_path(text) or ImageId(PurePosixPath(text).stem.lower())


def _number(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
