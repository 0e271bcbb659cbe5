"""Finding faces without a trained network."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from PIL import Image

from genllava_tools.arguments import Picture
from genllava_tools.coordinates import BoxTuple, box_of_pixels
from genllava_tools.mark import boxed
from genllava_tools.registry import visual_tool

_WORKING: Final = 320
"""Pixels of the longer side of the copy in which faces are looked for. Measured on 14 photographs and drawings: larger
ones gain little and have false faces."""
_SMALLEST: Final = 24
"""Pixels of the smallest face in that copy: what the cascade was trained on."""
_STEP: Final = 1.1
"""Each size that is looked for is so many times the one before."""
_AGREEING: Final = 8
"""Windows that see the same face, at least; with fewer of them cats and motorcycles have faces."""


@visual_tool(kind="look")
def find_faces(image: Picture) -> tuple[str, dict[str, Any]] | tuple[Image.Image, str, dict[str, Any]]:
    """Find the faces of people in a picture: the box of each, and the picture with the boxes drawn. This is the simple
    way (a cascade of local patterns): it sees upright faces from the front that are at least a thirteenth of the
    picture's longer side, and errs at times; `detect` looks for faces with a trained model. Where none is found no
    picture is made.
    """
    small = image.convert("L")
    small.thumbnail((_WORKING, _WORKING), Image.Resampling.BOX)
    found = list[BoxTuple]()
    if min(small.size) >= _SMALLEST:
        side = min(small.size)
        windows = _cascade().detect_multi_scale(
            img=np.asarray(small), scale_factor=_STEP, step_ratio=1, min_size=(_SMALLEST, _SMALLEST),
            max_size=(side, side), min_neighbor_number=_AGREEING,
        )  # fmt: skip
        for each in sorted(windows, key=lambda window: -window["width"]):
            left, top = int(each["c"]), int(each["r"])
            right, bottom = min(left + int(each["width"]), small.width), min(top + int(each["height"]), small.height)
            found.append(box_of_pixels(left, top, right, bottom, small.size))
    way = "Looked for the simple way (a cascade): faces from the side, turned or small are missed."
    if not found:
        return f"Found no face. {way}", {"count": 0, "boxes": []}
    shown = "; ".join(str(list(box)) for box in found[:10]) + ("; and more" if len(found) > 10 else "")
    said = f"Found {len(found)} face{'' if len(found) == 1 else 's'}, boxes (0-1), the largest first: {shown}. {way}"
    return boxed(image, found, [""] * len(found)), said, {"count": len(found), "boxes": found}


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    file: Any = lbp_frontal_face_cascade_filename
    made: Any = Cascade
    return made(file())
