"""The oracle: what a picture shows, read from its pixels alone.

Background by the nearest palette colour of most pixels, objects as connected regions that differ from it, colour by
the nearest palette colour of a region's core, shape and size by overlap with the twelve masks of the domain. What
fits nothing well is reported as unparsed and never guessed.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from genllava_finetune.worlds.shapes.lab import distances, lab_of, to_lab
from genllava_finetune.worlds.shapes.render import BACKDROP, PALETTE, coverage
from genllava_finetune.worlds.shapes.scene import CANVAS, COLORS, RADIUS, SHAPES, SIZES, Scene, Thing

MIN_CONTRAST: Final = 22.0
"""Distance from the background, in L*a*b*, from which a pixel may belong to an object."""
MIN_BACKGROUND: Final = 0.3
"""Least share of a picture that is background: four large objects leave more than 0.7."""
SPECK: Final = 20
"""Regions of fewer pixels are noise: the smallest object, a small star, covers about 90."""
MIN_OVERLAP: Final = 0.74
"""Least intersection over union with the mask of a shape."""
MIN_LEAD: Final = 0.03
"""Least lead in overlap over the next best shape."""
MAX_COLOR_DISTANCE: Final = 38.0
SHIFTS: Final = (-2, -1, 0, 1, 2)
_CROP: Final = 56


@dataclass(frozen=True, slots=True)
class Blob:
    """A region that could not be read: its middle (x, y) in pixels, its area, and why."""

    x: float
    y: float
    area: int
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """`scene` is None when anything is unparsed."""

    scene: Scene | None
    unparsed: tuple[Blob, ...] = ()


def parse(image: NDArray[np.uint8] | Image.Image) -> Parsed:
    """Read a picture.

    Args:
        image: 128x128 RGB.

    Raises:
        ValueError: another size.
    """
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.shape != (CANVAS, CANVAS, 3):
        raise ValueError(f"the parser reads {CANVAS}x{CANVAS} RGB pictures, not {pixels.shape}")
    lab = to_lab(pixels)
    background, plain = _background(lab)
    if plain.mean() < MIN_BACKGROUND:
        return Parsed(None, (Blob(CANVAS / 2, CANVAS / 2, CANVAS**2, "no background of the domain"),))
    ground = np.median(pixels[plain], axis=0)
    contrast = np.linalg.norm(lab - to_lab(ground), axis=-1)
    labels, count = ndimage.label(contrast > MIN_CONTRAST, structure=np.ones((3, 3)))
    things: list[Thing] = []
    unparsed: list[Blob] = []
    for index in range(1, count + 1):
        region = labels == index
        area = int(region.sum())
        if area < SPECK:
            continue
        found = _read(pixels, region, ground)
        if isinstance(found, str) or any(found.cell == thing.cell for thing in things):
            y, x = ndimage.center_of_mass(region)
            reason = found if isinstance(found, str) else "two objects in one cell"
            unparsed.append(Blob(x, y, area, reason))
        else:
            things.append(found)
    if unparsed or len(things) > 9:
        return Parsed(None, tuple(unparsed))
    return Parsed(Scene(background, tuple(sorted(things))))


@functools.cache
def _colors() -> NDArray[np.float64]:
    return lab_of(PALETTE)


@functools.cache
def _grounds() -> NDArray[np.float64]:
    return lab_of(BACKDROP)


@functools.cache
def _templates() -> dict[tuple[str, str], NDArray[np.bool_]]:
    """Masks of every shape and size, centred on an even square."""
    masks = {}
    for shape in SHAPES:
        for size in SIZES:
            soft = coverage(shape, RADIUS[size])
            pad = (_CROP - soft.shape[0]) // 2
            masks[shape, size] = np.pad(soft, pad) > 0.5
    return masks


def _background(lab: NDArray[np.float64]) -> tuple[str, NDArray[np.bool_]]:
    """The background most pixels are near to, and which pixels [H, W] those are."""
    far = distances(lab, _grounds())
    nearest = np.where(far.min(-1) < MIN_CONTRAST, far.argmin(-1), len(BACKDROP))
    most = int(np.bincount(nearest.ravel(), minlength=len(BACKDROP))[: len(BACKDROP)].argmax())
    return list(BACKDROP)[most], nearest == most


def _read(pixels: NDArray[np.uint8], region: NDArray[np.bool_], ground: NDArray[np.float64]) -> Thing | str:
    """The object in `region`, or why there is none."""
    core = ndimage.binary_erosion(region, iterations=2)
    if core.sum() < 5:
        core = ndimage.binary_erosion(region)
    if core.sum() < 3:
        return "too thin"
    color = np.median(pixels[core], axis=0)
    to_colors = distances(to_lab(color), _colors())
    if to_colors.min() > MAX_COLOR_DISTANCE:
        return "no colour of the palette"
    # The edge of a soft mask lies where a pixel is half object, half background.
    toward = color - ground
    share = (pixels - ground) @ toward / float(toward @ toward)
    mask = (share > 0.5) & ndimage.binary_dilation(region)
    shape, size, x, y = _fit(mask)
    if not shape:
        return "no shape of the domain"
    column, row = min(2, int(3 * x / CANVAS)), min(2, int(3 * y / CANVAS))
    return Thing(3 * row + column, shape=shape, color=COLORS[int(to_colors.argmin())], size=size)


def _fit(mask: NDArray[np.bool_]) -> tuple[str, str, float, float]:
    """Shape, size and middle (x, y) of the best template; an empty shape if none is clearly best."""
    rows, columns = np.nonzero(mask)
    if len(rows) < SPECK:
        return "", "", 0.0, 0.0
    best: dict[str, tuple[float, str, float, float]] = {}
    padded = np.pad(mask, _CROP)
    area = int(mask.sum())
    middle_y, middle_x = (rows.min() + rows.max() + 1) / 2, (columns.min() + columns.max() + 1) / 2
    for (shape, size), template in _templates().items():
        if not 0.4 < area / template.sum() < 2.5:
            continue
        for dy in SHIFTS:
            for dx in SHIFTS:
                y, x = math.floor(middle_y) + dy, math.floor(middle_x) + dx
                top, left = y + _CROP // 2, x + _CROP // 2
                both = int((padded[top : top + _CROP, left : left + _CROP] & template).sum())
                overlap = both / (area + int(template.sum()) - both)
                if overlap > best.get(shape, (0.0,))[0]:
                    best[shape] = (overlap, size, x, y)
    ranked = sorted(best, key=lambda shape: -best[shape][0])
    if not ranked or best[ranked[0]][0] < MIN_OVERLAP:
        return "", "", 0.0, 0.0
    if len(ranked) > 1 and best[ranked[0]][0] - best[ranked[1]][0] < MIN_LEAD:
        return "", "", 0.0, 0.0
    _, size, x, y = best[ranked[0]]
    return ranked[0], size, x, y
