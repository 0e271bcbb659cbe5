"""What may be asked of words, frames and arrows that were drawn onto a picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tool_tasks.checks import FIRST, Box, Make, check_proportions, holds, levels, part, within_boxes
from benchmarks.tool_tasks.task import Check, Outcome, Wrong
from genllava_tools import find

RED: Final = (255, 0, 0)
_HEIGHTS: Final = (0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3)
"""Heights of letters that are tried, as parts of the picture's height."""
_LEGIBLE: Final = 0.66
"""How far written words agree with how they look on a plain ground: 0.7 to 0.97 on photographs, others at most 0.65."""


def writes(text: str, zone: Box, of: Make = FIRST) -> Check:
    """In this box of the last picture, and wholly in it, these words have been written onto what was there before."""

    def check(outcome: Outcome) -> None:
        image, before = outcome.image, of(outcome.given)
        check_proportions(image, before)
        drawn = _changed(image, before.convert("RGB").resize(image.size, Image.Resampling.LANCZOS), zone)
        mask = _trimmed(drawn)
        if mask is None or mask.shape[0] < 6:
            raise Wrong(f"nothing has been written where {text!r} should be")
        looks = [_lettering(text, image.size, height, ground) for height in _HEIGHTS for ground in ("gray", "white")]
        alike = max(_alike(mask, each) for each in looks)
        if alike < _LEGIBLE:
            raise Wrong(f"what was written is not {text!r} (or cannot be read): {alike:.0%} alike")

    return check


def framed(box: Box, color: tuple[int, int, int], of: Make = FIRST) -> Check:
    """A frame in this colour has been drawn around a box, and what is inside can still be seen."""

    def check(outcome: Outcome) -> None:
        image, before = outcome.image, of(outcome.given)
        drawn = _trimmed_box(_drawn(image, before, color))
        if drawn is None:
            raise Wrong("no frame of that colour has been drawn")
        if (overlap := _overlap(drawn, box)) < 0.6:
            raise Wrong(f"the frame stands at {tuple(round(each, 2) for each in drawn)}: overlap {overlap:.0%}")
        across, down = box[2] - box[0], box[3] - box[1]
        inner = (box[0] + 0.3 * across, box[1] + 0.3 * down, box[2] - 0.3 * across, box[3] - 0.3 * down)
        holds(inner, lambda given: part(of(given), inner), 4)(outcome)

    return check


def points_at(place: tuple[float, float], color: tuple[int, int, int], of: Make = FIRST, within: float = 0.05) -> Check:
    """Something in this colour has been drawn that reaches this point, and that covers little of the picture."""

    def check(outcome: Outcome) -> None:
        image, before = outcome.image, of(outcome.given)
        drawn = _drawn(image, before, color)
        rows, columns = np.nonzero(drawn)
        if not len(rows):
            raise Wrong("nothing of that colour has been drawn")
        if drawn.mean() > 0.1:
            raise Wrong(f"what was drawn covers {drawn.mean():.0%} of the picture")
        apart = np.hypot(columns / image.width - place[0], rows / image.height - place[1]).min()
        if apart > within:
            raise Wrong(f"what was drawn ends {apart:.2f} away from {place}")

    return check


def _drawn(image: Image.Image, before: Image.Image, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The pixels that have changed, and into about this colour."""
    check_proportions(image, before)
    changed = _changed(image, before.convert("RGB").resize(image.size, Image.Resampling.LANCZOS), (0, 0, 1, 1))
    near: NDArray[np.bool_] = np.abs(levels(image) - np.array(color)).max(2) < 90
    return changed & near


def _changed(image: Image.Image, before: Image.Image, zone: Box) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = np.abs(levels(image) - levels(before)).max(2) > 40
    changed[~within_boxes([zone], image.size)] = False
    return changed


def _trimmed(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else None


def _trimmed_box(mask: NDArray[np.bool_]) -> Box | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    down, across = mask.shape
    return columns[0] / across, rows[0] / down, (columns[-1] + 1) / across, (rows[-1] + 1) / down


def _overlap(box: Box, other: Box) -> float:
    """Intersection over union."""
    across = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    down = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
    return across * down / (sum(areas) - across * down)


@lru_cache(maxsize=256)
def _lettering(text: str, size: tuple[int, int], height: float, ground: str) -> NDArray[np.bool_]:
    """How these words look in black on a plain ground of that size; on white their outline cannot be seen."""
    plain = Image.new("RGB", size, ground)
    written = find("add_text")(plain, text=text, position="center", size=height, color="black").image
    mask = _trimmed(_changed(written, plain, (0, 0, 1, 1)))
    assert mask is not None, "no words"
    return mask


def _alike(mask: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """How far two shapes agree, 0 to 1, whatever their size: their overlap, less for other proportions."""
    proportions = mask.shape[1] / mask.shape[0] / (wanted.shape[1] / wanted.shape[0])
    scaled = np.asarray(Image.fromarray(mask).resize(wanted.shape[::-1])) > 0
    both = float((scaled & wanted).sum())
    agree = 2 * both / max(1.0, float(scaled.sum() + wanted.sum()))
    return float(agree * min(proportions, 1 / proportions))
