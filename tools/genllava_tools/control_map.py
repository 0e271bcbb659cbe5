"""How a control map is made: from a working copy of the picture, padded to what detectors take, back at its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava_tools.arguments import Picture
from genllava_tools.errors import EmptyControlMap

RESOLUTION: Final = 768
"""Pixels of the longer side of a working copy, where the caller names no others."""
Resolution = Annotated[
    int,
    Field(
        ge=64,
        le=1536,
        description="Pixels of the longer side of the copy that is looked at: more shows finer things and takes longer."
        " A smaller picture is not enlarged.",
    ),
]
"""The working size of a control map."""
Source = Annotated[Picture, Field(description="The picture that the map is made of.")]
"""The picture that a control map is made of."""
_MULTIPLE: Final = 64
"""Detectors take sides that are multiples of this; of others they change the proportions."""
_DRAWN: Final = 32
"""Levels of 255 from which on a line is seen."""


@dataclass(frozen=True, slots=True)
class Working:
    """A copy of a picture that a detector looks at.

    Attributes:
        pixels: [H, W, 3], uint8, RGB; H and W are multiples of 64: right and below of the copy its rim is repeated.
        width: of the copy within that.
        height: of the copy within that.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int

    @property
    def side(self) -> int:
        """The shorter side of `pixels`: a detector that is asked for this resolution changes no size."""
        height, width = self.pixels.shape[:2]
        return int(min(height, width))


def working_copy(image: Image.Image, resolution: int) -> Image.Image:
    """A copy of an RGB picture whose longer side is `resolution` pixels, or fewer where the picture is smaller."""
    small = image.copy()
    small.thumbnail((resolution, resolution), Image.Resampling.BOX)
    return small


def padded(copy: Image.Image) -> Working:
    """A working copy with its rim repeated to the right and below, up to multiples of 64."""
    right, below = -copy.width % _MULTIPLE, -copy.height % _MULTIPLE
    pixels = np.pad(np.asarray(copy), ((0, below), (0, right), (0, 0)), mode="edge")
    return Working(np.ascontiguousarray(pixels), copy.width, copy.height)


def control_map(
    image: Image.Image,
    resolution: int,
    detect: Callable[[Working], NDArray[np.uint8]],
    empty: str,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """A control map: an RGB picture of the size of `image`, what to say of it, and the size of the copy as data.

    Args:
        image: RGB.
        resolution: of the working copy's longer side.
        detect: makes the map [H, W] or [H, W, 3] of the padded copy.
        empty: what to do where the map shows nothing, for the message.
        resample: how the map is brought to the picture's size.

    Raises:
        EmptyControlMap: the map is of one colour.
    """
    copy = working_copy(image, resolution)
    work = padded(copy)
    found = np.ascontiguousarray(detect(work)[: work.height, : work.width], np.uint8)
    return finished(Image.fromarray(found).convert("RGB"), image.size, empty, resample)


def finished(
    found: Image.Image, size: tuple[int, int], empty: str, resample: Image.Resampling = Image.Resampling.BILINEAR
) -> tuple[Image.Image, str, dict[str, Any]]:
    """A map of the working copy as it is given back; see `control_map`.

    Raises:
        EmptyControlMap: it is of one colour.
    """
    extrema: Any = found.getextrema()  # of each channel, as a control map is RGB
    if all(low == high for low, high in extrema):
        raise EmptyControlMap(f"the map would be of one colour and steer nothing: {empty}")
    made = found if found.size == size else found.resize(size, resample)
    return made, f"Made at {found.width}x{found.height} pixels.", {"working_size": list(found.size)}


def drawn(made: Image.Image) -> float:
    """The part of a map of lines that is drawn on, 0..1."""
    return round(float((np.asarray(made.convert("L")) >= _DRAWN).mean()), 4)
