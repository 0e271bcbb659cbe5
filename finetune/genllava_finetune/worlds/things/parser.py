"""The oracle: which scene a picture shows, read from its pixels alone.

The background is the one that most pixels are of. Then, cell by cell, what stands out from it is compared with every
drawing of every thing and shape, in all sizes and at all places of the cell: first small, by products of matrices, then
the best ones again in full size. Pixels that no item explains make a picture unreadable.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.things.backgrounds import background
from genllava_finetune.worlds.things.knowledge import things
from genllava_finetune.worlds.things.render import CANVAS, pixels_of, sprite
from genllava_finetune.worlds.things.scene import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, STYLES, Item, Scene

Pixels = NDArray[np.float32]

_COARSE: Final = 48
"""Side of the picture in which items are looked for first."""
_REACH: Final = 0.115
"""How far from the middle of its cell an item is looked for, as a share of the picture's side."""
_KEPT: Final = 14
"""How many candidates of a cell are compared in full size."""
_STANDS_OUT: Final = 30.0
"""A pixel whose largest difference to the background is more than this is not of it."""
_LEAST: Final = 0.0012
"""A cell of which less than this share of the picture stands out is empty."""
_EXPLAINED: Final = 0.62
"""An item is there if it explains at least this share of what it would put on the background."""
_LEFT_OVER: Final = 0.006
"""Share of the picture that may stand out unexplained."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a picture.

    Attributes:
        scene: what it shows, with the items that could be read.
        unexplained: the share of its pixels that are neither of the background nor of an item.
        clear: whether nothing of note is unexplained, and no cell holds what cannot be read.
    """

    scene: Scene
    unexplained: float
    clear: bool


class _Look(NamedTuple):
    """A drawing: a name with a style or a colour or both."""

    name: str
    style: str | None
    colour: str | None


class _Bank(NamedTuple):
    """All drawings at one size in pixels, as rows of matrices: colours times coverage, the same times coverage, coverage
    squared; and the sum of the squares of the first."""

    premultiplied: Pixels
    twice: Pixels
    cover: Pixels
    energy: Pixels


class _Found(NamedTuple):
    gain: float
    share: float
    item: Item


@functools.lru_cache(maxsize=1)
def _looks() -> tuple[_Look, ...]:
    """Every drawing there is."""
    looks = [_Look(name, None, colour) for name in SHAPES for colour in COLOURS]
    for each in things():
        looks += [_Look(each.name, style, None) for style in STYLES]
        if each.recolour:
            looks += [
                _Look(each.name, style, colour) for style in STYLES for colour in COLOURS if colour != each.colour_in(style)
            ]
    return tuple(looks)


@functools.lru_cache(maxsize=len(SIZES))
def _bank(pixels: int) -> _Bank:
    stacked = np.stack([sprite(*look, pixels) for look in _looks()])
    colours, cover = stacked[..., :3], stacked[..., 3:]
    rows = len(stacked)
    flat = np.ascontiguousarray(colours.reshape(rows, -1))
    twice = np.ascontiguousarray((colours * cover).reshape(rows, -1))
    return _Bank(flat, twice, np.ascontiguousarray(cover.reshape(rows, -1)), (flat**2).sum(1))


def parse(image: Image.Image) -> Reading:
    """Read a picture of any size; it is taken for square."""
    picture = np.asarray(image.convert("RGB").resize((CANVAS, CANVAS), Image.Resampling.BICUBIC), np.float32)
    return parse_array(picture)


def parse_array(picture: Pixels) -> Reading:
    """Read a picture [CANVAS, CANVAS, 3], 0 to 255."""
    name = _background_of(picture)
    behind = background(name, CANVAS)
    stands_out = np.abs(picture - behind).max(-1) > _STANDS_OUT
    small, small_behind = _shrunk(picture), background(name, _COARSE)
    found: list[Item] = []
    unread = False
    for place in _busy(stands_out):
        candidates = _candidates(small, small_behind, place)
        best = _best(picture, behind, candidates)
        if best is not None and best.share >= _EXPLAINED:
            found.append(best.item)
    explained = np.zeros_like(stands_out)
    for item in found:
        left, top, right, bottom = (round(edge * CANVAS) for edge in item.box)
        explained[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3] = True
    rest = float((stands_out & ~explained).mean())
    unread = rest > _LEFT_OVER
    return Reading(Scene(name, tuple(found)), rest, not unread)


def _background_of(picture: Pixels) -> str:
    def close(name: str) -> float:
        return float((np.abs(picture - background(name, CANVAS)).max(-1) < _STANDS_OUT).mean())

    return max(BACKGROUNDS, key=close)


def _shrunk(picture: Pixels) -> Pixels:
    factor = CANVAS // _COARSE
    return picture.reshape(_COARSE, factor, _COARSE, factor, 3).mean((1, 3))


def _busy(stands_out: NDArray[np.bool_]) -> list[str]:
    """The places in which something stands out."""
    side = CANVAS // 3
    shares = stands_out.reshape(3, side, 3, side).mean((1, 3)) / 9
    return [place for place, share in zip(PLACES, shares.flat, strict=True) if share > _LEAST]


def _middle(place: str) -> tuple[float, float]:
    row, column = divmod(PLACES.index(place), 3)
    return (column + 0.5) / 3, (row + 0.5) / 3


def _candidates(picture: Pixels, behind: Pixels, place: str) -> list[Item]:
    """The likeliest items of a cell, found in the small picture."""
    x, y = _middle(place)
    best: list[tuple[float, Item]] = []
    for size in SIZES:
        pixels = pixels_of(size, _COARSE)
        bank = _bank(pixels)
        pad = pixels
        padded = np.pad(picture - behind, ((pad, pad), (pad, pad), (0, 0)))
        padded_behind = np.pad(behind, ((pad, pad), (pad, pad), (0, 0)))
        starts = [
            range(
                round((middle - _REACH) * _COARSE - pixels / 2) + pad, round((middle + _REACH) * _COARSE - pixels / 2) + pad + 1
            )
            for middle in (x, y)
        ]
        difference = _windows(padded, starts, pixels)
        under = _windows(padded_behind, starts, pixels)
        gains = _gains(difference, under, bank, pixels)
        columns = len(starts[0])
        looks = _looks()
        at = gains.argmax(0)
        top = gains[at, np.arange(len(looks))]
        for look in np.argsort(-top)[:_KEPT]:
            row, column = divmod(int(at[look]), columns)
            shift = (
                (starts[0][column] - pad + pixels / 2) / _COARSE - x,
                (starts[1][row] - pad + pixels / 2) / _COARSE - y,
            )
            name, style, colour = looks[look]
            best.append((float(top[look]), Item(name, size, place, style, colour, shift)))
    best.sort(key=lambda pair: -pair[0])
    return [item for _, item in best[:_KEPT]]


def _windows(picture: Pixels, starts: Sequence[range], pixels: int) -> Pixels:
    """[positions, pixels * pixels * 3], row by row."""
    columns, rows = starts
    part = picture[rows.start : rows.stop - 1 + pixels, columns.start : columns.stop - 1 + pixels]
    views = sliding_window_view(part, (pixels, pixels), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(views.reshape(len(rows) * len(columns), -1))


def _gains(difference: Pixels, under: Pixels, bank: _Bank, pixels: int) -> Pixels:
    """By how much each drawing at each position lessens the squared error, [positions, drawings].

    With D the picture less the background B, and a drawing that puts P - aB there (P its colours times coverage a), that
    is 2 D.(P - aB) - |P - aB|^2.
    """

    def by_pixel(array: Pixels) -> Pixels:
        return array.reshape(len(array), pixels * pixels, 3).sum(-1)

    gains = 2 * (difference @ bank.premultiplied.T) - bank.energy
    gains += 2 * (under @ bank.twice.T)
    gains -= 2 * (by_pixel(difference * under) @ bank.cover.T)
    gains -= by_pixel(under**2) @ (bank.cover**2).T
    return gains


def _best(picture: Pixels, behind: Pixels, candidates: Sequence[Item]) -> _Found | None:
    """The candidate that explains most, in full size and moved by a few pixels."""
    found = [_placed(picture, behind, item) for item in candidates]
    return max(found, key=lambda each: each.gain, default=None)


def _placed(picture: Pixels, behind: Pixels, item: Item) -> _Found:
    """An item where it fits best."""
    pixels = pixels_of(item.size, CANVAS)
    art = sprite(item.name, item.style, item.colour, pixels)
    middle = _middle(item.place)
    best: tuple[float, float, int, int] | None = None
    left, top = (round((m + s) * CANVAS) - pixels // 2 for m, s in zip(middle, item.shift, strict=True))
    for step in (2, 1):
        for x, y in _around(left, top, 3 if step == 2 else 1, step):
            gain, energy = _gain(picture, behind, art, x, y)
            if best is None or gain > best[0]:
                best = (gain, energy, x, y)
        assert best is not None
        left, top = best[2:]
    gain, energy, left, top = best
    shift = ((left + pixels // 2) / CANVAS - middle[0], (top + pixels // 2) / CANVAS - middle[1])
    return _Found(gain, gain / max(energy, 1.0), Item(item.name, item.size, item.place, item.style, item.colour, shift))


def _around(left: int, top: int, reach: int, step: int) -> Iterator[tuple[int, int]]:
    steps = range(-reach * step, reach * step + 1, step)
    return ((left + x, top + y) for y in steps for x in steps)


def _gain(picture: Pixels, behind: Pixels, art: Pixels, left: int, top: int) -> tuple[float, float]:
    """By how much a drawing lessens the squared error, and how much it puts there in all."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + art.shape[1], picture.shape[1]), min(top + art.shape[0], picture.shape[0])
    part = art[y0 - top : y1 - top, x0 - left : x1 - left]
    under = behind[y0:y1, x0:x1]
    puts = part[..., :3] - part[..., 3:] * under
    error = picture[y0:y1, x0:x1] - under
    energy = float(np.einsum("ijk,ijk", puts, puts))
    return 2 * float(np.einsum("ijk,ijk", puts, error)) - energy, energy
