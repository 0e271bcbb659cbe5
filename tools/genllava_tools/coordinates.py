"""Places in pictures: boxes and points as fractions of width and height, and the other ways models write them.

A box is (left, top, right, bottom), a point (x, y); each number lies in 0..1, (0, 0) is the top left corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, get_args

from genllava.errors import InvalidRequest

BoxTuple = tuple[float, float, float, float]
PointTuple = tuple[float, float]
Dialect = Literal["0-1", "0-1000", "pixels"]
"""How numbers of boxes and points are meant: fractions, thousandths, or pixels of the picture."""

DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)
_ROUNDING: Final = 1e-6
"""How far outside of the picture a number may lie, since 1/3 + 2/3 is not always 1."""


def box_in(value: Sequence[float], dialect: Dialect = "0-1", size: tuple[int, int] | None = None) -> BoxTuple:
    """A box in fractions of the picture, whatever it was written in.

    Args:
        value: left, top, right, bottom.
        dialect: what the numbers mean.
        size: (width, height) of the picture in pixels; only the dialect "pixels" needs it.

    Raises:
        InvalidRequest: it is not four numbers, has NaN in it, lies outside, is upside down or has no area.
    """
    left, top, right, bottom = _fractions(value, 4, "a box is [left, top, right, bottom]", dialect, size)
    if right <= left or bottom <= top:
        what = "has no area" if right == left or bottom == top else "is upside down"
        raise InvalidRequest(
            f"the box {_shown(value)} {what}: a box is [left, top, right, bottom] with left < right and top < bottom"
        )
    return left, top, right, bottom


def point_in(value: Sequence[float], dialect: Dialect = "0-1", size: tuple[int, int] | None = None) -> PointTuple:
    """A point in fractions of the picture, whatever it was written in; arguments as those of `box_in`.

    Raises:
        InvalidRequest: it is not two numbers, has NaN in it, or lies outside.
    """
    x, y = _fractions(value, 2, "a point is [x, y]", dialect, size)
    return x, y


def box_out(box: BoxTuple, dialect: Dialect, size: tuple[int, int]) -> BoxTuple:
    """A box in fractions, written in another dialect; the inverse of `box_in`."""
    across, down = _scales(dialect, size)
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def box_pixels(box: BoxTuple, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in whole pixels, at least one pixel wide and high; right and bottom are just behind."""
    (left, right), (top, bottom) = (_span(box[axis], box[axis + 2], size[axis]) for axis in (0, 1))
    return left, top, right, bottom


def point_pixel(point: PointTuple, size: tuple[int, int]) -> tuple[int, int]:
    """The pixel (column, row) in which a point lies; those on the right and lower edge count as inside."""
    return min(int(point[0] * size[0]), size[0] - 1), min(int(point[1] * size[1]), size[1] - 1)


def box_of_pixels(left: int, top: int, right: int, bottom: int, size: tuple[int, int]) -> BoxTuple:
    """A box of whole pixels (right and bottom just behind it) in fractions, rounded to four digits."""
    across, down = size
    return round(left / across, 4), round(top / down, 4), round(right / across, 4), round(bottom / down, 4)


def _span(start: float, end: float, pixels: int) -> tuple[int, int]:
    first = min(int(start * pixels + 0.5), pixels - 1)
    return first, max(first + 1, min(int(end * pixels + 0.5), pixels))


def _fractions(
    value: Sequence[float], count: int, form: str, dialect: Dialect, size: tuple[int, int] | None
) -> list[float]:
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or isinstance(value, (str, bytes)):
        raise InvalidRequest(f"{form}, {count} numbers; this is {_shown(value)}")
    if not all(map(math.isfinite, numbers)):
        raise InvalidRequest(f"{form}, and {_shown(value)} is not made of finite numbers")
    across, down = _scales(dialect, size)
    found = [number / (down if place % 2 else across) for place, number in enumerate(numbers)]
    if min(found) < -_ROUNDING or max(found) > 1 + _ROUNDING:
        raise InvalidRequest(f"{_shown(value)} lies outside of the picture: {_range(dialect, size)}")
    return [min(max(number, 0.0), 1.0) for number in found]


def _scales(dialect: Dialect, size: tuple[int, int] | None) -> tuple[float, float]:
    if dialect == "0-1":
        return 1.0, 1.0
    if dialect == "0-1000":
        return 1000.0, 1000.0
    if dialect != "pixels":
        raise InvalidRequest(f"there is no dialect {dialect!r} of boxes: it is one of {', '.join(DIALECTS)}")
    if size is None or min(size) < 1:
        raise InvalidRequest("a box in pixels needs the size of its picture, (width, height)")
    return float(size[0]), float(size[1])


def _range(dialect: Dialect, size: tuple[int, int] | None) -> str:
    if dialect == "pixels" and size is not None:
        return f"it has {size[0]} x {size[1]} pixels"
    if dialect == "0-1000":
        return "numbers are thousandths of its width and height, 0 to 1000"
    return "numbers are fractions of its width and height, 0 to 1 (divide pixels by width and height)"


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(f"{each:g}" if isinstance(each, (int, float)) else repr(each) for each in value) + "]"
    return repr(value)[:80]
