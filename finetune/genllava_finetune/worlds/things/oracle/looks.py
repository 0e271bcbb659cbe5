"""Every drawing that a picture of this world may hold, made small: what the oracle compares pictures with."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava_finetune.worlds.things.art.sprites import sprites
from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.pictures.recolouring import recoloured
from genllava_finetune.worlds.things.pictures.render import CANVAS, pixels_of, sprite
from genllava_finetune.worlds.things.pictures.scene import COLOURS, SHAPES, SIZES, STYLES

Pixels = NDArray[np.float32]

FACTORS: Final = (5, 2)
"""The picture is compared made smaller by the first, then by the second."""
_ART: Final = 80
"""Side of the drawings that the small ones are made from."""


class Look(NamedTuple):
    """A drawing: a name with a style or a colour or both."""

    name: str
    style: str | None
    colour: str | None

    @property
    def kind(self) -> tuple[str, bool]:
        """As `Item.kind`."""
        return self.name, self.style is None


@functools.lru_cache(maxsize=1)
def looks() -> tuple[Look, ...]:
    """Every drawing there is."""
    found = [Look(name, None, colour) for name in SHAPES for colour in COLOURS]
    for each in things():
        for style in STYLES:
            found.append(Look(each.name, style, None))
            if each.recolour:
                found += [Look(each.name, style, colour) for colour in COLOURS if colour != each.colour_in(style)]
    return tuple(found)


def padded_pixels(size: str) -> int:
    """Side of an item's square in the full picture, with the border that lets every factor divide it."""
    pixels = pixels_of(size, CANVAS)
    step = 2 * FACTORS[0] * FACTORS[1]
    return -(-pixels // step) * step


@functools.lru_cache(maxsize=len(SIZES))
def coarse_bank(size: str) -> Pixels:
    """All drawings at one size, smallest, in the order of `looks()`, as `rows_of` gives them, turned: [F, drawings]."""
    return np.ascontiguousarray(rows_of(_small()[size, FACTORS[0]]).T)


def middle_rows(size: str, chosen: Sequence[int]) -> Pixels:
    """Some drawings at one size, made smaller by the second factor, as `rows_of` gives them."""
    return rows_of(_small()[size, FACTORS[1]][list(chosen)])


def rows_of(small: NDArray[np.float16]) -> Pixels:
    """What is multiplied with a picture, from drawings [N, S, S, 4].

    Returns:
        [N, S * S * 9]. For each pixel: its colours P times coverage a (3), a, the first times a (3), the square of a,
        and P.P.
    """
    premultiplied = small.astype(np.float32)
    colours, cover = premultiplied[..., :3], premultiplied[..., 3:]
    parts = [colours, cover, colours * cover, cover**2, (colours**2).sum(-1, keepdims=True)]
    return np.concatenate(parts, -1).reshape(len(small), -1)


@functools.lru_cache(maxsize=1)
def _small() -> dict[tuple[str, int], NDArray[np.float16]]:
    """By size and factor, [drawings, S, S, 4]: colours times coverage, and coverage (0 to 1)."""
    count = len(looks())
    made = {}
    for size in SIZES:
        for factor in FACTORS:
            side = padded_pixels(size) // factor
            made[size, factor] = np.empty((count, side, side, 4), np.float16)
    for index, art in enumerate(_arts()):
        for (size, factor), rows in made.items():
            weights = _weights(size, factor)
            wide = (weights @ art.reshape(_ART, -1)).reshape(-1, _ART, 4)
            rows[index] = weights @ wide
    return made


@functools.lru_cache(maxsize=len(SIZES) * len(FACTORS))
def _weights(size: str, factor: int) -> Pixels:
    """[S, _ART]: how a drawing becomes a row of small pixels, as it is drawn and then made smaller with the picture."""
    pixels, padded = pixels_of(size, CANVAS), padded_pixels(size)
    unit = Image.fromarray(np.eye(_ART, dtype=np.float32))
    drawn = np.asarray(unit.resize((_ART, pixels), Image.Resampling.LANCZOS))
    beside = (padded - pixels) // 2
    bordered = np.pad(drawn, ((beside, beside), (0, 0)))
    return np.ascontiguousarray(bordered.reshape(padded // factor, factor, _ART).mean(1))


def _arts() -> Iterator[Pixels]:
    """All drawings in the order of `looks()`, [_ART, _ART, 4], colours times coverage, and coverage (0 to 1)."""
    for name in SHAPES:
        for colour in COLOURS:
            yield sprite.__wrapped__(name, None, colour, _ART)
    for each in things():
        for style in STYLES:
            image = Image.fromarray(sprites()[style][each.name]).convert("RGBa")
            art = np.asarray(image.resize((_ART, _ART), Image.Resampling.BOX).convert("RGBA"))
            yield _premultiplied(art)
            if each.recolour:
                main = each.colour_in(style) or ""
                for colour in COLOURS:
                    if colour != main:
                        yield _premultiplied(recoloured(art, main, colour))


def _premultiplied(art: NDArray[np.uint8]) -> Pixels:
    array = art.astype(np.float32)
    array[..., 3] /= 255
    array[..., :3] *= array[..., 3:]
    return array
