"""What may be asked of an outcome: pixels, words and figures, never the calls by which it came about."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.tool_tasks.task import Check, Outcome, Wrong, numbers

Given = tuple[Image.Image, ...]
Make = Callable[[Given], Image.Image]
"""Makes the picture that is expected, of the pictures that were given."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in fractions."""

FIRST: Make = lambda given: given[0]  # noqa: E731
_CELL: Final = 30
"""Levels that the content of a cell may be from what belongs there."""
_SAID_AT_MOST: Final = 8
"""Numbers in an answer; a reply with more of them is a list and no answer."""
_STRIPES: Final = 0.02
"""Half of the width of what counts as fine detail, as a part of a picture's longer side."""


def part(image: Image.Image, box: Box) -> Image.Image:
    """The part of a picture in a box."""
    left, top, right, bottom = (int(each * side + 0.5) for each, side in zip(box, image.size * 2, strict=True))
    return image.crop((left, top, right, bottom))


def levels(image: Image.Image) -> NDArray[np.float64]:
    """RGB levels [H, W, 3], 0..255."""
    return np.asarray(image.convert("RGB"), float)


def distance(image: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures in levels of 255, at the size of the smaller one."""
    size = min(image.size, other.size)
    both = (each.convert("RGB") for each in (image, other))
    one, two = (levels(each if each.size == size else each.resize(size, Image.Resampling.LANCZOS)) for each in both)
    return float(np.abs(one - two).mean())


# --- words ---


def says(*wanted: str) -> Check:
    """Each of these words stands in the reply."""

    def check(outcome: Outcome) -> None:
        words = "".join(each if each.isalnum() or each == "_" else " " for each in outcome.words.lower()).split()
        if missing := [each for each in wanted if each not in words]:
            raise Wrong(f"the reply does not say {missing[0]!r}: {outcome.words[:100]!r}")

    return check


def says_number(*wanted: float, within: float = 0.0) -> Check:
    """Each of these numbers stands in the reply, among few others."""

    def check(outcome: Outcome) -> None:
        found = numbers(outcome.words)
        if len(found) > _SAID_AT_MOST:
            raise Wrong(f"the reply has {len(found)} numbers in it")
        for each in wanted:
            if not any(abs(number - each) <= within * abs(each) + 1e-9 for number in found):
                raise Wrong(f"the reply does not say {each:g}: {outcome.words[:100]!r}")

    return check


def chooses(wanted: str, others: Sequence[str]) -> Check:
    """The reply names one of several, and none of the others."""

    def check(outcome: Outcome) -> None:
        says(wanted)(outcome)
        for other in others:
            try:
                says(other)(outcome)
            except Wrong:
                continue
            raise Wrong(f"the reply says {other!r} as well")

    return check


# --- whole pictures ---


def shows(make: Make, within: float = 4.0, size: tuple[int, int] | None = None) -> Check:
    """The last picture is the one expected, in its proportions; `size` where the request names one."""

    def check(outcome: Outcome) -> None:
        _same(outcome.image, make(outcome.given), within, size)

    return check


def beside(left: Make, right: Make, within: float = 6.0) -> Check:
    """The last picture holds these two, one beside the other, with or without a space between."""

    def check(outcome: Outcome) -> None:
        image = outcome.image
        one, other = left(outcome.given), right(outcome.given)
        widths = [round(each.width * image.height / each.height) for each in (one, other)]
        space = image.width - sum(widths)
        if not -3 <= space <= 0.25 * image.height:
            raise Wrong(f"the two beside each other would be {sum(widths)} pixels wide, and it is {image.width}")
        _same(image.crop((0, 0, widths[0], image.height)), one, within, None, "on the left")
        _same(image.crop((image.width - widths[1], 0, *image.size)), other, within, None, "on the right")

    return check


def arranged(columns: int, *makes: Make) -> Check:
    """The last picture holds these in rows and columns, each in the cell where it belongs."""

    def check(outcome: Outcome) -> None:
        wanted = [_thumbnail(make(outcome.given)) for make in makes]
        image, rows = outcome.image, math.ceil(len(makes) / columns)
        if not 0.85 < image.width * rows / (image.height * columns) < 1.18:
            raise Wrong(f"a picture of {image.width}x{image.height} has not {columns} columns and {rows} rows")
        for at in range(len(makes)):
            row, column = divmod(at, columns)
            cell = _thumbnail(part(image, (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)))
            apart = [float(np.abs(cell - each).mean()) for each in wanted]
            same = [other for other in range(len(makes)) if np.abs(wanted[other] - wanted[at]).mean() < 2]
            if apart[at] > _CELL or int(np.argmin(apart)) not in same:
                raise Wrong(f"the {at + 1}. cell shows something else")

    return check


def is_gray(outcome: Outcome) -> None:
    """The last picture has no colours."""
    if float(np.ptp(levels(outcome.image), axis=2).mean()) > 3:
        raise Wrong("there are colours in the picture")


def has_size(width: int | None = None, height: int | None = None) -> Check:
    """The last picture is so many pixels wide or high."""

    def check(outcome: Outcome) -> None:
        found = outcome.image.size
        if (width is not None and abs(found[0] - width) > 1) or (height is not None and abs(found[1] - height) > 1):
            raise Wrong(f"it is {found[0]}x{found[1]}, and {width or 'any'} x {height or 'any'} was asked for")

    return check


# --- parts of pictures ---


def holds(box: Box, make: Make, within: float = 6.0) -> Check:
    """There is this picture in a box of the last one."""

    def check(outcome: Outcome) -> None:
        apart = distance(part(outcome.image, box), make(outcome.given))
        if apart > within:
            raise Wrong(f"what is in the box {box} is {apart:.1f} levels from what was asked for")

    return check


def keeps(*besides: Box, of: Make = FIRST, within: float = 3.0) -> Check:
    """Outside of these boxes the last picture is the same as this one."""

    def check(outcome: Outcome) -> None:
        image, wanted = outcome.image, of(outcome.given)
        check_proportions(image, wanted)
        apart = np.abs(levels(image.resize(wanted.size, Image.Resampling.BOX)) - levels(wanted)).mean(2)
        apart[within_boxes(besides, wanted.size)] = np.nan
        if np.isnan(apart).all() or float(np.nanmean(apart)) > within:
            raise Wrong(f"what should have stayed has changed by {float(np.nanmean(apart)):.1f} levels")

    return check


def hidden(box: Box, of: Make = FIRST, left: float = 0.5) -> Check:
    """Less than this part of the fine detail in a box is left, and its colours are about what they were."""

    def check(outcome: Outcome) -> None:
        image, before = outcome.image, of(outcome.given)
        check_proportions(image, before)
        now = part(image.resize(before.size, Image.Resampling.BOX), box)
        then = part(before, box)
        fine, coarse = _detail(then, max(before.size)), _detail(now, max(before.size))
        kept = float((fine * coarse).sum() / max(1.0, (fine * fine).sum()))
        if kept > left:
            raise Wrong(f"{kept:.0%} of the detail in the box {box} can still be seen")
        if float(np.abs(levels(now).mean((0, 1)) - levels(then).mean((0, 1))).max()) > 40:
            raise Wrong(f"the box {box} has other colours")

    return check


def dimmed(*besides: Box, of: Make = FIRST, to: float = 0.8) -> Check:
    """Outside of these boxes the last picture is darker than this one."""

    def check(outcome: Outcome) -> None:
        image, before = outcome.image, of(outcome.given)
        check_proportions(image, before)
        outside = ~within_boxes(besides, before.size)
        now = levels(image.resize(before.size, Image.Resampling.BOX))[outside].mean()
        if now > to * levels(before)[outside].mean():
            raise Wrong("the rest is not darker than it was")

    return check


def _same(
    image: Image.Image, wanted: Image.Image, within: float, size: tuple[int, int] | None, where: str = ""
) -> None:
    if size is not None and image.size != size:
        raise Wrong(f"it is {image.width}x{image.height}, and {size[0]}x{size[1]} was asked for")
    check_proportions(image, wanted)
    if (apart := distance(image, wanted)) > within:
        raise Wrong(f"it is {apart:.1f} levels from what was asked for {where}".rstrip())


def check_proportions(image: Image.Image, wanted: Image.Image) -> None:
    if abs(math.log(image.width * wanted.height / (image.height * wanted.width))) > 0.025:
        raise Wrong(f"it is {image.width}x{image.height}, and should be like {wanted.width}x{wanted.height}")


def _thumbnail(image: Image.Image) -> NDArray[np.float64]:
    """The inner part of a picture as it stands in a square cell, with white around it; margins of cells differ."""
    small = image.convert("RGB")
    small.thumbnail((48, 48))
    cell = Image.new("RGB", (48, 48), "white")
    cell.paste(small, ((48 - small.width) // 2, (48 - small.height) // 2))
    return levels(cell.resize((12, 12), Image.Resampling.BOX))[1:-1, 1:-1]


def _detail(image: Image.Image, longer: int) -> NDArray[Any]:
    """What a blur takes away."""
    smooth = image.filter(ImageFilter.GaussianBlur(_STRIPES * longer / 2))
    return levels(image) - levels(smooth)


def within_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels in any of these boxes, [H, W]."""
    inside = np.zeros((size[1], size[0]), bool)
    for box in boxes:
        inside[
            math.floor(box[1] * size[1]) : math.ceil(box[3] * size[1]),
            math.floor(box[0] * size[0]) : math.ceil(box[2] * size[0]),
        ] = True
    return inside
