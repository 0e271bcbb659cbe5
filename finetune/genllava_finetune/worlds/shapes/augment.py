"""Drawings as people make them: a scene in other shades, sizes, places and proportions, and worn files.

Every picture still shows the same scene to a person: shades stay clearly nearest to the name they had, sizes
stay apart, and every object stays in its cell.
"""

from __future__ import annotations

import functools
import io
import math
import random
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from genllava_finetune.worlds.shapes.lab import distances, lab_of, to_lab
from genllava_finetune.worlds.shapes.render import BACKDROP, PALETTE, paint
from genllava_finetune.worlds.shapes.scene import CANVAS, Scene, Thing

EXTENT: Final = {"small": (6.5, 10.5), "large": (13.0, 19.0)}
"""Half of the longer side of an object, in pixels of the canvas: from, to."""
FORMS_EACH: Final = 64
"""Different masks of every shape, size and style; they are drawn when first met and kept."""
SHADES_EACH: Final = 256
MARGIN: Final = 3.0
"""Least distance between two objects, in pixels."""

_FINE: Final = 4
"""Supersampling."""
_BOUNDARY: Final = CANVAS / 6
"""Distance of the inner boundaries of the grid from the middle of the canvas."""
_FLATTEST: Final = 9 / 16


class Uniform(Protocol):
    """`random.Random` and `numpy.random.Generator` both are."""

    def random(self) -> float:
        """A number in 0..1."""


class Form(NamedTuple):
    """One way to draw a shape.

    Attributes:
        mask: coverage of the whole object, [S, S] in 0..1, its middle in the middle.
        inner: coverage of what lies inside the outline stroke; None without a stroke.
        half_width, half_height: half of its sides, in pixels.
    """

    mask: NDArray[np.float32]
    inner: NDArray[np.float32] | None
    half_width: float
    half_height: float


def draw_varied(rng: Uniform, scene: Scene) -> NDArray[np.uint8]:
    """One of many ways to draw `scene`, as [128, 128, 3] RGB bytes. The jitter of the scene is not used."""
    canvas = np.empty((CANVAS, CANVAS, 3), dtype=np.float32)
    backdrop = _pick(rng, shades(scene.background)) if rng.random() < 0.7 else _exact(scene.background)
    canvas[:] = backdrop
    # A drawing shows one hand: its edges, strokes and proportions are alike, so the forms come in runs.
    crisp, stroked, plain = rng.random() < 0.25, rng.random() < 0.2, rng.random() < 0.35
    forms = [_form_of(rng, thing, crisp, stroked, plain) for thing in scene.things]
    stroke = _stroke(rng) if stroked else None
    for thing, form, (x, y) in zip(scene.things, forms, _places(rng, scene.things, forms), strict=True):
        color = _exact(thing.color) if rng.random() < 0.2 else _pick(rng, shades(thing.color))
        if form.inner is None:
            paint(canvas, form.mask, x, y, color)
            continue
        edge = color * np.float32(0.55) if stroke is None else stroke
        paint(canvas, form.mask, x, y, color if np.abs(edge - backdrop).max() < 70 else edge)
        paint(canvas, form.inner, x, y, color)
    return _worn(rng, canvas)


def _pick(rng: Uniform, table: NDArray[np.float32]) -> NDArray[np.float32]:
    shade: NDArray[np.float32] = table[int(rng.random() * len(table))]
    return shade


@functools.cache
def _exact(name: str) -> NDArray[np.float32]:
    return np.array(PALETTE.get(name) or BACKDROP[name], dtype=np.float32)


@functools.cache
def shades(name: str) -> NDArray[np.float32]:
    """[SHADES_EACH, 3]: shades of a colour or background that anyone would still call so, sRGB 0..255.

    A shade is kept if, in L*a*b*, its distance to its own name is at most 0.6 of that to any other, and if it
    stands out from every background (a background: from every colour) by at least 25.
    """
    peers, others = (PALETTE, BACKDROP) if name in PALETTE else (BACKDROP, PALETTE)
    own = list(peers).index(name)
    rng = np.random.default_rng([11, own, len(peers)])
    center = np.array(peers[name], dtype=np.float64)
    kept: list[NDArray[np.float64]] = []
    while len(kept) < SHADES_EACH:
        if name in PALETTE:
            tried = center * rng.uniform(0.76, 1.1, (64, 1)) + rng.uniform(-26, 26, (64, 3))
        else:
            spread = 14 if name == "beige" else 4
            brightness = rng.uniform(-36, 36, (64, 1)) if name != "beige" else rng.uniform(-16, 14, (64, 1))
            tried = center + brightness + rng.uniform(-spread, spread, (64, 3))
        tried = np.rint(np.clip(tried, 0, 255))
        lab = to_lab(tried)
        gaps = distances(lab, lab_of(peers))
        mine = gaps[:, own].copy()
        gaps[:, own] = np.inf
        clear = (mine <= 0.6 * gaps.min(axis=1)) & (distances(lab, lab_of(others)).min(axis=1) >= 25)
        kept.extend(tried[clear])
    return np.array(kept[:SHADES_EACH], dtype=np.float32)


def _stroke(rng: Uniform) -> NDArray[np.float32] | None:
    """The colour of all outlines of a drawing; None: each its object's own, darker."""
    draw = rng.random()
    if draw < 0.4:
        return None
    return np.full(3, 25 * rng.random() if draw < 0.8 else 255 - 25 * rng.random(), dtype=np.float32)


def _form_of(rng: Uniform, thing: Thing, crisp: bool, stroked: bool, plain: bool) -> Form:
    return form(thing.shape, thing.size, int(rng.random() * FORMS_EACH), crisp, stroked, plain)


@functools.lru_cache(maxsize=2 * 6 * 8 * FORMS_EACH)
def form(shape: str, size: str, index: int, crisp: bool, stroked: bool, plain: bool) -> Form:
    """Form number `index` of a shape.

    Args:
        crisp: hard edges, no antialiasing.
        stroked: a border of one to two pixels.
        plain: the usual proportions, upright.
    """
    rng = random.Random(f"{shape}:{size}:{index}:{crisp}{stroked}{plain}")
    smallest, largest = EXTENT[size]
    extent = rng.uniform(max(smallest, 7.5) if stroked else smallest, largest)
    corners = _corners(rng, shape, plain)
    turn = 0.0 if plain or shape == "circle" else math.radians(_turn(rng, shape))
    corners = corners @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    corners -= (corners.max(axis=0) + corners.min(axis=0)) / 2
    corners *= extent / np.abs(corners).max()
    half_width, half_height = np.abs(corners).max(axis=0)
    width = rng.uniform(0.8, 1.2 if size == "small" else 2.0) if stroked else 0.0
    shift = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)])
    mask, inner = _rasterise(corners + shift, math.ceil(extent) + 2, width, crisp)
    return Form(mask, inner if stroked else None, float(half_width), float(half_height))


def _turn(rng: random.Random, shape: str) -> float:
    most = 8.0 if shape in ("diamond", "square") else 12.0
    return rng.uniform(-most, most)


def _corners(rng: random.Random, shape: str, plain: bool) -> NDArray[np.float64]:
    """[K, 2] corners of one rendition of `shape` of size about one, y downwards."""

    def between(usual: float, low: float, high: float) -> float:
        return usual if plain else rng.uniform(low, high)

    if shape == "circle":
        angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
        return np.stack([np.cos(angles), np.sin(angles) * between(1, 0.94, 1.06)], axis=1)
    if shape == "square":
        height = between(1, 0.9, 1.1)
        return np.array([(-1, -height), (1, -height), (1, height), (-1, height)])
    if shape == "diamond":
        width = between(0.8, 0.65, 1.0)
        return np.array([(0, -1), (width, 0), (0, 1), (-width, 0)], dtype=np.float64)
    if shape == "triangle":
        width, height = between(1, 0.85, 1.15), between(0.9, 0.765, 1.035)
        return np.array([(0, -height), (width, height), (-width, height)])
    if shape == "star":
        inner = between(0.42, 0.35, 0.55)
        angles = np.arange(10) * math.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, inner)
        return np.stack([radius * np.sin(angles), -radius * np.cos(angles)], axis=1)
    a = between(0.34, 0.25, 0.42)
    quarter = [(-a, -1.0), (a, -1.0), (a, -a)]
    return np.array([_quarter_turn(point, k) for k in range(4) for point in quarter])


def _quarter_turn(point: tuple[float, float], times: int) -> tuple[float, float]:
    for _ in range(times):
        point = (-point[1], point[0])
    return point


def _rasterise(
    corners: NDArray[np.float64], half: int, width: float, crisp: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coverage of the polygon, and of its inside without a border of `width` pixels, [2 half, 2 half] each."""
    side = 2 * half * _FINE
    points = [(float(x), float(y)) for x, y in corners * _FINE + side / 2 - 0.5]
    masks = []
    for border in (0, max(1, round(width * _FINE))):
        image = Image.new("L", (side, side))
        ImageDraw.Draw(image).polygon(points, fill=255, outline=0 if border else 255, width=max(border, 1))
        mask: NDArray[np.float32] = np.asarray(image.reduce(_FINE), dtype=np.float32) / np.float32(255)
        if crisp:
            mask = (mask >= 0.5).astype(np.float32)
        mask.setflags(write=False)
        masks.append(mask)
    return masks[0], masks[1]


def _places(rng: Uniform, things: tuple[Thing, ...], forms: list[Form]) -> list[tuple[float, float]]:
    """The middle of every object: anywhere in its cell, or squeezed together as in a wide or tall drawing."""
    free = rng.random() < 0.75
    offsets = [_offset(rng, thing, form, free) for thing, form in zip(things, forms, strict=True)]
    squeezed, factor = -1, 1.0
    if rng.random() < 0.3:
        squeezed, factor = int(rng.random() < 0.7), 1 - rng.random() * (1 - _FLATTEST)
    for _ in range(3):
        pairs = zip(offsets, things, strict=True)
        places = [_squeeze(offset, thing, squeezed, factor) for offset, thing in pairs]
        if factor == 1.0 or _apart(places, forms):
            break
        factor = min(1.0, factor + 0.2)
    return [(CANVAS / 2 + x, CANVAS / 2 + y) for x, y in places]


def _offset(rng: Uniform, thing: Thing, form: Form, free: bool) -> tuple[float, float]:
    """(x, y) from the middle of the canvas."""
    cell = CANVAS / 3
    room_x, room_y = (max(0.0, cell / 2 - half - MARGIN / 2) for half in (form.half_width, form.half_height))
    reach = 1.0 if free else 0.3
    return (
        (thing.column - 1) * cell + reach * room_x * (2 * rng.random() - 1),
        (thing.row - 1) * cell + reach * room_y * (2 * rng.random() - 1),
    )


def _squeeze(offset: tuple[float, float], thing: Thing, axis: int, factor: float) -> tuple[float, float]:
    """`offset` with `axis` (0: x, 1: y) scaled by `factor`, still in the cell of `thing`."""
    if axis < 0 or factor == 1.0:
        return offset
    where = (thing.column, thing.row)[axis] - 1
    value = offset[axis] * factor
    if where:
        value = where * max(_BOUNDARY + 1.2, value * where)
    return (value, offset[1]) if axis == 0 else (offset[0], value)


def _apart(places: list[tuple[float, float]], forms: list[Form]) -> bool:
    for i, (x, y) in enumerate(places):
        for j in range(i):
            if (
                abs(x - places[j][0]) < forms[i].half_width + forms[j].half_width + MARGIN
                and abs(y - places[j][1]) < forms[i].half_height + forms[j].half_height + MARGIN
            ):
                return False
    return True


@functools.cache
def _grain() -> NDArray[np.float32]:
    """[8, 160, 160, 3] of standard normal noise to cut from: drawing it anew would cost more than all the rest."""
    return np.random.default_rng(5).standard_normal((8, 160, 160, 3), dtype=np.float32)


def _worn(rng: Uniform, canvas: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The canvas as bytes, in one of four cases after something that files go through."""
    wear = rng.random()
    if wear < 0.1:
        spare = 160 - CANVAS
        top, left = int(rng.random() * spare), int(rng.random() * spare)
        grain = _grain()[int(rng.random() * 8), top : top + CANVAS, left : left + CANVAS]
        canvas += np.float32(1 + 5 * rng.random()) * grain
    np.clip(canvas, 0, 255, out=canvas)
    canvas += np.float32(0.5)
    pixels: NDArray[np.uint8] = canvas.astype(np.uint8)
    if wear < 0.1 or wear >= 0.27:
        return pixels
    image = Image.fromarray(pixels)
    if wear < 0.17:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=40 + int(rng.random() * 56))
        image = Image.open(file)
    elif wear < 0.23:
        side = 80 + int(rng.random() * 110)
        soft = rng.random() < 0.7
        image = image.resize((side, side), Image.Resampling.BILINEAR if soft else Image.Resampling.NEAREST)
        image = image.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR)
    else:
        image = image.filter(ImageFilter.GaussianBlur(0.3 + 0.6 * rng.random()))
    return np.asarray(image)
