"""The oracle: which scene a picture shows, read from its pixels alone.

The background is the one that most pixels are near to. Then, cell by cell, what stands out from it is compared with
every drawing of every thing and shape, in all sizes and at all places where it may lie: on a picture of 48 pixels by
products of matrices, the best ones again on one of 120 pixels, and the few that remain in full size. An item counts if
it explains most of what is there. What no item explains makes a picture unclear.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.things.oracle.framing import cut, fitted, without_bars
from genllava_finetune.worlds.things.oracle.looks import FACTORS, coarse_bank, looks, middle_rows, padded_pixels
from genllava_finetune.worlds.things.pictures.backgrounds import background
from genllava_finetune.worlds.things.pictures.render import CANVAS, pixels_of, sprite
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, PLACES, SIZES, Item, Scene

Pixels = NDArray[np.float32]

_REACH: Final = {"small": 0.104, "medium": 0.063, "large": 0.021}
"""How far from the middle of its cell an item is looked for, as a share of the picture's side."""
_KEPT: Final = 28
"""How many drawings of a cell are compared on the middle picture."""
_OTHERS: Final = 4
"""How many names beside those are, each with its best drawing."""
_LAST: Final = 8
"""How many drawings of a cell are compared in full size at most."""
_CLOSE: Final = 0.2
"""Only those are whose gain on the middle picture is less than this share below the best."""
_STANDS_OUT: Final = 30.0
"""A pixel whose largest difference to the background is more than this is not of it."""
_FAINT: Final = 9.0
"""The same for the mean of five by five pixels, to look at a cell more closely."""
_LEAST_BLOCKS: Final = 2
"""A cell with fewer such means that stand out is empty."""
_PALEST: Final = 0.5
"""How pale a drawing may be at most, as a share of what it is."""
_EXPLAINED: Final = 0.25
"""An item is there if it explains at least this share of what it would put on the background: as one that is half as
strong does."""
_LEAST_GAIN: Final = 120_000.0
"""An item lessens the squared error by at least this much: the faintest, a small cloud on snow, does so by 290,000."""
_EXPLAINS: Final = 0.5
"""An item is there if it explains at least this share of what stands out in its square."""
_SURELY: Final = 0.8
"""One that explains less than this share must be nearer than any other name,"""
_APART: Final = 0.05
"""by this margin."""
_MOST: Final = 0.75
"""Share of the picture that five items may cover at most; where more stands out, there is no scene."""
_NO_SCENE: Final = 0.5
"""With more than this share unexplained, a picture is not tried in other frames."""
_LEAST_SEEN: Final = 0.2
"""Share of the picture that must be of the background to see whether all shades are off."""
_LEFT_OVER: Final = 0.006
"""Share of the picture that may stand out unexplained."""
_MIDDLE: Final = FACTORS[1]
_WEIGHTS: Final[tuple[np.float32, ...]] = tuple(np.float32(each / 9) for each in (1, 2, 3, 2, 1))
_SOFT: Final = len(_WEIGHTS) // 2


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a picture.

    Attributes:
        scene: what it shows, with the items that could be read.
        unexplained: the share of its pixels that are neither of the background nor of an item.
        clear: whether nothing of note is unexplained, and no cell holds what cannot be read.
        margin: by how much the best drawing of another name explains less than the one that was read, as a share of
            what that one puts there; the least of all items, 1 without any.
    """

    scene: Scene
    unexplained: float
    clear: bool
    margin: float = 1.0


class _Candidate(NamedTuple):
    """A drawing at a place: its gain, its row in `looks()`, the size, and the left and top of its padded square."""

    gain: float
    look: int
    size: str
    left: int
    top: int


class _Found(NamedTuple):
    """An item at its best place; all but `gain` in the picture made soft.

    Attributes:
        gain: by how much it lessens the squared error.
        soft: the same.
        energy: what it puts there in all.
        there: what there is in its square.
        margin: as of a `Reading`.
    """

    gain: float
    soft: float
    energy: float
    there: float
    margin: float
    item: Item


class _View(NamedTuple):
    """A picture made smaller by a factor, as what the banks are multiplied with.

    Attributes:
        features: [H + 2 pad, W + 2 pad, 9]; zero beyond the edges.
        pad: in its own pixels.
    """

    factor: int
    features: Pixels
    pad: int


def parse(image: Image.Image) -> Reading:
    """Read a picture of any size; it is taken for square.

    Where that is not clear, it is read again without what may surround the scene, and in the frame in which its
    background fits.
    """
    image = image.convert("RGB").resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    picture = np.asarray(image, np.float32)
    whole = parse_array(picture)
    if whole.clear or whole.unexplained > _NO_SCENE:
        return whole
    box = without_bars(picture)
    part = cut(image, box, CANVAS)
    frame = fitted(image, _background_of(np.asarray(part, np.float32)), box)
    again = parse_array(np.asarray(cut(image, frame, CANVAS), np.float32))
    return again if again.clear or again.unexplained < whole.unexplained else whole


def parse_array(picture: Pixels | NDArray[np.uint8]) -> Reading:
    """Read a picture [CANVAS, CANVAS, 3], 0 to 255."""
    picture = np.asarray(picture, np.float32)
    name = _background_of(picture)
    behind = background(name, CANVAS)
    picture = _levelled(picture, behind)
    difference = picture - behind
    stands_out = np.abs(difference).max(-1) > _STANDS_OUT
    busy = _busy(difference)
    found: list[_Found] = []
    if busy and stands_out.mean() < _MOST:
        coarse, middle = (_view(picture, behind, factor) for factor in FACTORS)
        for place in busy:
            best = _best(picture, behind, _refined(middle, _candidates(coarse, place)), place)
            if best is not None and _is_there(best):
                found.append(best)
    explained = _unjudged(name).copy()
    for each in found:
        explained[_square(each.item, 3)] = True
    rest = float((stands_out & ~explained).mean())
    margin = min((each.margin for each in found), default=1.0)
    return Reading(Scene(name, tuple(each.item for each in found)), rest, rest <= _LEFT_OVER, margin)


def _levelled(picture: Pixels, behind: Pixels) -> Pixels:
    """The picture without what its shades are off at the background."""
    seen = (picture[1::3, 1::3] - behind[1::3, 1::3]).reshape(-1, 3)
    near = seen[np.abs(seen).max(-1) < _STANDS_OUT]
    if len(near) < _LEAST_SEEN * len(seen):
        return picture
    off = np.median(near, 0)
    return picture if np.abs(off).max() < 1 else picture - off


@functools.lru_cache(maxsize=len(BACKGROUNDS))
def _unjudged(name: str) -> NDArray[np.bool_]:
    """Pixels that stand out as soon as a picture is a pixel off: at its edges, and at those of a drawn background."""
    behind = background(name, CANVAS)
    windows = sliding_window_view(np.pad(behind, ((2, 2), (2, 2), (0, 0)), "edge"), (5, 5), axis=(0, 1))
    beside = np.ones((CANVAS, CANVAS), np.bool_)
    beside[4:-4, 4:-4] = False
    found: NDArray[np.bool_] = beside | ((windows.max((-1, -2)) - windows.min((-1, -2))).max(-1) > _STANDS_OUT)
    return found


def _square(item: Item, beside: int) -> tuple[slice, slice]:
    """Rows and columns of an item's square and some pixels beside it."""
    left, top, right, bottom = (round(edge * CANVAS) for edge in item.box)
    return slice(max(top - beside, 0), bottom + beside), slice(max(left - beside, 0), right + beside)


def _is_there(found: _Found) -> bool:
    """Whether an item explains most of what it would put there, and most of what is there."""
    if found.gain < _LEAST_GAIN:
        return False
    if found.soft < _EXPLAINED * found.energy or found.soft < _EXPLAINS * found.there:
        return False
    return found.soft > _SURELY * found.there or found.margin > _APART


def _background_of(picture: Pixels) -> str:
    seen = picture[1::3, 1::3]

    def far(name: str) -> float:
        return float(np.abs(seen - background(name, CANVAS)[1::3, 1::3]).max(-1).clip(0, 2 * _STANDS_OUT).mean())

    return min(BACKGROUNDS, key=far)


def _shrunk(picture: Pixels, factor: int) -> Pixels:
    side = CANVAS // factor
    rows = picture.reshape(side, factor, CANVAS * 3).sum(1)
    means: Pixels = rows.reshape(side, side, factor, 3).sum(2) / np.float32(factor**2)
    return means


def _view(picture: Pixels, behind: Pixels, factor: int) -> _View:
    """With D the picture less the background B: 2 D, -2 D.B, 2 B, -B.B and -1, for each pixel."""
    under = _shrunk(behind, factor)
    difference = _shrunk(picture, factor) - under
    parts = [
        2 * difference,
        -2 * (difference * under).sum(-1, keepdims=True),
        2 * under,
        -(under**2).sum(-1, keepdims=True),
        np.full((*under.shape[:2], 1), -1, np.float32),
    ]
    pad = 40 // factor
    return _View(factor, np.pad(np.concatenate(parts, -1), ((pad, pad), (pad, pad), (0, 0))), pad)


def _busy(difference: Pixels) -> list[str]:
    """The places in which something stands out."""
    blocks = np.abs(_shrunk(difference, 5)).max(-1) > _FAINT
    counts = blocks.reshape(3, 16, 3, 16).sum((1, 3))
    return [place for place, count in zip(PLACES, counts.flat, strict=True) if count >= _LEAST_BLOCKS]


def _middle_of(place: str) -> tuple[int, int]:
    """In pixels of the full picture."""
    row, column = divmod(PLACES.index(place), 3)
    return (2 * column + 1) * CANVAS // 6, (2 * row + 1) * CANVAS // 6


def _windows(view: _View, lefts: Iterable[int], tops: Iterable[int], side: int) -> Pixels:
    """[tops * lefts, side * side * 9], row by row; places in the view's pixels, consecutive."""
    lefts, tops = list(lefts), list(tops)
    part = view.features[
        tops[0] + view.pad : tops[-1] + view.pad + side, lefts[0] + view.pad : lefts[-1] + view.pad + side
    ]
    views = sliding_window_view(part, (side, side), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(views).reshape(len(tops) * len(lefts), -1)


def _candidates(view: _View, place: str) -> list[_Candidate]:
    """The likeliest drawings of a cell, found in the small picture."""
    x, y = _middle_of(place)
    gains, places = [], []
    for size in SIZES:
        half = padded_pixels(size) // 2
        reach = round(_REACH[size] * CANVAS / view.factor)
        lefts, tops = ((m - half) // view.factor + np.arange(-reach, reach + 1) for m in (x, y))
        windows = _windows(view, lefts.tolist(), tops.tolist(), 2 * half // view.factor)
        every = windows @ coarse_bank(size)
        at = every.argmax(0)
        gains.append(every[at, np.arange(every.shape[1])])
        places.append(np.stack([lefts[at % len(lefts)], tops[at // len(lefts)]], -1) * view.factor)
    every_gain, every_place = np.concatenate(gains), np.concatenate(places)
    count = len(looks())
    kept: list[_Candidate] = []
    names = set[tuple[str, bool]]()
    others = 0
    for index in np.argsort(-every_gain)[: 40 * _KEPT].tolist():
        look = index % count
        kind = looks()[look].kind
        if len(kept) >= _KEPT:
            if kind in names:
                continue
            others += 1
        names.add(kind)
        left, top = every_place[index].tolist()
        kept.append(_Candidate(float(every_gain[index]), look, SIZES[index // count], left, top))
        if others >= _OTHERS:
            break
    return kept


def _refined(view: _View, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """The same where they fit best on the middle picture, the best first."""
    groups: dict[tuple[str, int, int], list[_Candidate]] = defaultdict(list)
    for each in candidates:
        groups[each.size, each.left, each.top].append(each)
    found = []
    for (size, left, top), members in groups.items():
        lefts, tops = (range(round(start / view.factor) - 2, round(start / view.factor) + 3) for start in (left, top))
        windows = _windows(view, lefts, tops, padded_pixels(size) // view.factor)
        rows = middle_rows(size, [each.look for each in members])
        gains = _paler(_product(windows, rows, slice(0, 4)) * np.float32(0.5), -_product(windows, rows, slice(4, 9)))
        for each, at, gain in zip(members, gains.argmax(0).tolist(), gains.max(0).tolist(), strict=True):
            down, right = divmod(at, len(lefts))
            found.append(_Candidate(gain, each.look, size, lefts[right] * view.factor, tops[down] * view.factor))
    return sorted(found, reverse=True)


def _product(windows: Pixels, rows: Pixels, part: slice) -> Pixels:
    """Of some of the nine numbers of each pixel, [windows, rows]."""
    first, second = (each.reshape(len(each), -1, 9)[..., part].reshape(len(each), -1) for each in (windows, rows))
    return first @ second.T


def _paler(along: Pixels, energy: Pixels) -> Pixels:
    """By how much drawings lessen the squared error, each as much paler as fits best.

    A drawing that puts V there, of energy V.V, where the picture differs by D, lessens it by 2 p V.D - p p V.V: thin
    lines come out paler where a picture is soft, down to `_PALEST`.

    Args:
        along: V.D, of any shape.
    """
    pale: Pixels = (along / np.maximum(energy, 1)).clip(_PALEST, 1)
    gains: Pixels = pale * (along + along - pale * energy)
    return gains


def _best(picture: Pixels, behind: Pixels, candidates: Sequence[_Candidate], place: str) -> _Found | None:
    """The candidate that explains most, in full size and moved by a few pixels."""
    if candidates[0].gain * _MIDDLE**2 < _LEAST_GAIN / 2:
        return None
    least = candidates[0].gain * (1 - _CLOSE)
    close = [each for each in candidates[:_LAST] if each.gain >= least]
    placed = [(each, _placed(picture, behind, each, place)) for each in close]
    first, best = max(placed, key=lambda pair: pair[1].soft)
    kind = looks()[first.look].kind
    exact = [found.soft for each, found in placed if looks()[each.look].kind != kind]
    rough = [each.gain for each in candidates[len(close) :] if looks()[each.look].kind != kind]
    margins = [(best.soft - max(exact, default=0.0)) / best.energy]
    if rough:
        margins.append((first.gain - rough[0]) / max(first.gain, 1.0))
    return best._replace(margin=min(margins))


def _placed(picture: Pixels, behind: Pixels, candidate: _Candidate, place: str) -> _Found:
    """An item where it fits best."""
    look, size = looks()[candidate.look], candidate.size
    pixels = pixels_of(size, CANVAS)
    art = sprite(*look, pixels)
    beside = (padded_pixels(size) - pixels) // 2
    places = _around(candidate.left + beside, candidate.top + beside, 1)
    gain, left, top = max((_gain(*_seen(picture, behind, art, *corner))[0], *corner) for corner in places)
    puts, error = _seen(picture, behind, art, left, top)
    puts, error = _softened(puts), _softened(error)
    soft, energy = _gain(puts, error)
    x, y = _middle_of(place)
    shift = ((left + pixels // 2 - x) / CANVAS, (top + pixels // 2 - y) / CANVAS)
    item = Item(look.name, size, place, look.style, look.colour, shift)
    return _Found(gain, soft, max(energy, 1.0), float(np.vdot(error, error)), 0.0, item)


def _around(left: int, top: int, reach: int) -> Iterator[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return ((left + x, top + y) for y in steps for x in steps)


def _seen(picture: Pixels, behind: Pixels, art: Pixels, left: int, top: int) -> tuple[Pixels, Pixels]:
    """What a drawing [S, S, 4] puts on the background at a place, and how the picture differs from the background."""
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + art.shape[1], picture.shape[1]), min(top + art.shape[0], picture.shape[0])
    part = art[y0 - top : y1 - top, x0 - left : x1 - left]
    under = behind[y0:y1, x0:x1]
    return part[..., :3] - part[..., 3:] * under, picture[y0:y1, x0:x1] - under


def _gain(puts: Pixels, error: Pixels) -> tuple[float, float]:
    """By how much a drawing lessens the squared error, and what it puts there in all."""
    energy, along = float(np.vdot(puts, puts)), float(np.vdot(puts, error))
    pale = min(max(along / max(energy, 1.0), _PALEST), 1.0)
    return 2 * pale * along - pale**2 * energy, energy


def _softened(array: Pixels) -> Pixels:
    """[H, W, 3], each pixel the weighted mean of those around it, so that fine lines, edges and noise count less."""
    for _ in range(2):
        padded = np.pad(array, ((_SOFT, _SOFT), (0, 0), (0, 0)))
        mean = np.zeros_like(array)
        for index, weight in enumerate(_WEIGHTS):
            mean += weight * padded[index : index + len(array)]
        array = mean.transpose(1, 0, 2)
    return array
