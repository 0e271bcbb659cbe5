"""Sizes of pictures to edit: pipelines work at multiples of some pixels, near the size they were trained at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from genllava.image_decoder.conditioning import denoiser_of

SIZES_ITSELF: Final = (
    "QwenImageEditPipeline", "QwenImageEditPlusPipeline", "LongCatImageEditPipeline", "LayoutDecoderPipeline",
)  # fmt: skip
"""Editors that scale the source by themselves to the size that they work at."""
_OWN_SIZE: Final = (0.5, 1.5)
"""A picture of this many times the trained area is edited at its own size; any other is scaled to that area."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """How a picture of `source` size is laid out for a pipeline and taken back; all sizes are (width, height).

    Attributes:
        source: the picture's own size, and the size of its edit.
        scaled: the size it is scaled to.
        working: `scaled` with its right and lower border repeated up to a multiple of what the pipeline works at.
    """

    source: tuple[int, int]
    scaled: tuple[int, int]
    working: tuple[int, int]

    def lay(self, image: Image.Image) -> Image.Image:
        """`image` (the source, its mask or its control picture) at the working size."""
        image = image if image.size == self.scaled else image.resize(self.scaled, Image.Resampling.LANCZOS)
        if self.working == self.scaled:
            return image
        pixels = np.asarray(image)
        below, right = self.working[1] - self.scaled[1], self.working[0] - self.scaled[0]
        padding = [(0, below), (0, right), *[(0, 0)] * (pixels.ndim - 2)]
        return Image.fromarray(np.pad(pixels, padding, mode="edge"))

    def take(self, image: Image.Image) -> Image.Image:
        """What was drawn at the working size, at the source's size."""
        if image.size != self.working:  # a pipeline that chooses its size by itself
            return image.resize(self.source, Image.Resampling.LANCZOS)
        if self.scaled != self.working:
            image = image.crop((0, 0, *self.scaled))
        return image if image.size == self.source else image.resize(self.source, Image.Resampling.LANCZOS)


def grain_of(pipeline: Any) -> int:
    """The number of pixels that heights and widths must be a multiple of."""
    factor = int(getattr(pipeline, "vae_scale_factor", 8))
    denoiser = denoiser_of(pipeline)
    patch = denoiser.config.get("patch_size", 1) if denoiser is not None else 1
    processor: Any = getattr(pipeline, "image_processor", None)
    rounds = int(processor.config.get("vae_scale_factor", factor)) if hasattr(processor, "config") else factor
    return math.lcm(factor * (patch if isinstance(patch, int) else 1), rounds)


def trained_area(pipeline: Any) -> int:
    """Pixels of the pictures that a pipeline was trained on."""
    side = getattr(pipeline, "default_sample_size", None)
    if side is None:
        side = denoiser_of(pipeline).config.get("sample_size") or 64
    height, width = (side, side) if isinstance(side, int) else side
    return int(height * width * int(getattr(pipeline, "vae_scale_factor", 8)) ** 2)


def canvas_for(pipeline: Any, source: tuple[int, int], width: int | None, height: int | None) -> Canvas:
    """How to edit a picture of `source` size with `pipeline`.

    Args:
        width, height: the size to work at and to come back with, in place of the picture's own; one alone keeps
            the picture's aspect.
    """
    grain = grain_of(pipeline)
    if width is not None or height is not None:
        w = width if width is not None else max(grain, round(source[0] * (height or 0) / source[1] / grain) * grain)
        h = height if height is not None else max(grain, round(source[1] * w / source[0] / grain) * grain)
        return Canvas((w, h), (w, h), (w, h))
    if type(pipeline).__name__ in SIZES_ITSELF:
        return Canvas(source, source, source)
    times = source[0] * source[1] / trained_area(pipeline)
    scale = 1.0 if _OWN_SIZE[0] <= times <= _OWN_SIZE[1] else times**-0.5
    scaled = max(1, round(source[0] * scale)), max(1, round(source[1] * scale))
    return Canvas(source, scaled, (-(-scaled[0] // grain) * grain, -(-scaled[1] // grain) * grain))
