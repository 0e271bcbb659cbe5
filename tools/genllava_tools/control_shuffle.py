"""A tool that shuffles what is in a picture, for ControlNets that take its colours and not its shapes."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava_tools.control_map import RESOLUTION, Resolution, Source, finished, working_copy
from genllava_tools.registry import visual_tool

_WAVE: Final = 256
"""Pixels of a wave of the noise by which places are moved."""


@visual_tool(kind="control")
def shuffle(
    image: Source,
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Another number shuffles otherwise.")] = 0,
    resolution: Resolution = RESOLUTION,
) -> tuple[Image.Image, str, dict[str, Any]]:
    """Warp a picture until its things are gone and its colours are left, for a ControlNet that was trained on
    such, which draws something new in those colours. The same `seed` gives the same map.
    """
    import cv2

    copy = working_copy(image, resolution)
    random = np.random.RandomState(seed)  # as `numpy.random.seed` would set the global one, which is others'
    across = _noise(random, copy.height, copy.width) * float(copy.width - 1)
    down = _noise(random, copy.height, copy.width) * float(copy.height - 1)
    flow = np.concatenate([across, down], axis=2).astype(np.float32)
    pixels = np.asarray(cv2.remap(np.ascontiguousarray(copy), flow, None, cv2.INTER_LINEAR), np.uint8)  # type: ignore[call-overload]
    empty = "the picture is of one colour: give one with several"
    made, said, found = finished(Image.fromarray(pixels), image.size, empty)
    return made, f"Shuffled with seed {seed}. {said}", {"seed": seed, **found}


def _noise(random: np.random.RandomState, height: int, width: int) -> NDArray[np.float64]:
    """Smooth noise [H, W, 1] between 0 and 1, as controlnet-aux makes it."""
    import cv2

    coarse = random.uniform(low=0, high=1, size=(height // _WAVE + 2, width // _WAVE + 2, 1))
    size = (width + 2 * _WAVE, height + 2 * _WAVE)
    smooth: NDArray[np.float64] = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    middle = smooth[_WAVE : _WAVE + height, _WAVE : _WAVE + width]
    even: NDArray[np.float64] = (middle - middle.min()) / (np.ptp(middle) or 1.0)  # a picture of one pixel has no range
    return even[:, :, None]
