"""What a person's own picture of this kind has gone through: other shades, files, sizes, borders, a soft screen.

The picture keeps its scene: shades move less than names of colours are apart, and what a border takes away in size is
less than half of the step from one size to the next. A picture of 240 pixels takes two to four thousandths of a second.
"""

from __future__ import annotations

import io
import math
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

LEAST_SCALE: Final = 0.92
"""How small a border makes the picture, at the least."""

_BARS: Final = ((0, 0, 0), (255, 255, 255), (240, 240, 240), (32, 33, 36), (222, 225, 230), (58, 110, 165))
"""Colours of what programs and screens put around a picture."""
_Resample = Image.Resampling


def augment(image: Image.Image, random: Random) -> Image.Image:
    """The picture as a person may have it.

    Args:
        image: a square picture of any mode.

    Returns:
        RGB, as large as it was.
    """
    size = image.size
    image = image.convert("RGB")
    if random.random() < 0.6:
        image = _shaded(image, random)
    if random.random() < 0.35:
        image = random.choice((_letterboxed, _framed, _cropped))(image, random)
    if random.random() < 0.6:
        image = random.choice((_saved, _saved, _scaled, _scaled, _softened, _palette, _grained))(image, random)
    return image if image.size == size else image.resize(size, _Resample.BILINEAR)


def _shaded(image: Image.Image, random: Random) -> Image.Image:
    """Hues turned by up to 5 degrees, colours paler or fuller, contrast, brightness and warmth a little different."""
    turn = math.radians(random.uniform(-5, 5))
    fullness, contrast = random.uniform(0.88, 1.1), random.uniform(0.93, 1.07)
    cos, sin = fullness * math.cos(turn), fullness * math.sin(turn) / math.sqrt(3)
    same, before, after = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    rows = ((same, before, after), (after, same, before), (before, after, same))
    bright = random.uniform(-8, 8) + 128 * (1 - contrast)
    matrix = tuple(
        number for row in rows for number in (*(each * contrast for each in row), bright + random.uniform(-4, 4))
    )
    return image.convert("RGB", matrix)


def _letterboxed(image: Image.Image, random: Random) -> Image.Image:
    """Bars above and below, or at the sides, as where a picture of another aspect was made square."""
    width, height = image.size
    share = random.uniform(LEAST_SCALE, 1.0)
    if random.random() < 0.5:
        part = image.resize((round(width * share), round(height * share)), _Resample.BILINEAR)
    else:  # seen by a program that stretches
        part = image.resize((width, round(height * share)), _Resample.BILINEAR)
        if random.random() < 0.5:
            part = image.resize((round(width * share), height), _Resample.BILINEAR)
    whole = Image.new("RGB", (width, height), random.choice(_BARS))
    whole.paste(part, ((width - part.width) // 2, (height - part.height) // 2))
    return whole


def _framed(image: Image.Image, random: Random) -> Image.Image:
    """A screenshot's border: lines around it, a bar with a title above, what lies behind a window."""
    width, height = image.size
    share = random.uniform(LEAST_SCALE, 0.99)
    part = image.resize((round(width * share), round(height * share)), _Resample.BILINEAR)
    whole = Image.new("RGB", (width, height), random.choice(_BARS))
    left = random.randint(0, width - part.width)
    top = height - part.height if random.random() < 0.4 else random.randint(0, height - part.height)
    if top > 4:
        draw = ImageDraw.Draw(whole)
        draw.rectangle((0, 0, width, top), fill=random.choice(_BARS))
        for x in range(4, width // 2, random.randint(6, 11)):
            draw.line((x, top // 2, x + random.randint(1, 4), top // 2), fill=random.choice(_BARS))
    whole.paste(part, (left, top))
    if random.random() < 0.5:
        edge = random.choice(_BARS)
        ImageDraw.Draw(whole).rectangle((left, top, left + part.width - 1, top + part.height - 1), outline=edge)
    return whole


def _cropped(image: Image.Image, random: Random) -> Image.Image:
    """A little cut off at the edges."""
    width, height = image.size
    left, top = random.uniform(0, 0.025) * width, random.uniform(0, 0.025) * height
    right, bottom = width * (1 - random.uniform(0, 0.025)), height * (1 - random.uniform(0, 0.025))
    return image.resize(image.size, _Resample.BILINEAR, box=(left, top, right, bottom))


def _saved(image: Image.Image, random: Random) -> Image.Image:
    """JPEG of some quality."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=random.randint(35, 95))
    return Image.open(file).convert("RGB")


def _scaled(image: Image.Image, random: Random) -> Image.Image:
    """Made smaller or larger by a program, and back."""
    share = random.choice((random.uniform(0.5, 0.95), random.uniform(1.05, 1.6)))
    ways = (_Resample.NEAREST,) if random.random() < 0.2 else (_Resample.BILINEAR, _Resample.BICUBIC, _Resample.BOX)
    small = image.resize((round(image.width * share), round(image.height * share)), random.choice(ways))
    return small.resize(image.size, random.choice((_Resample.BILINEAR, _Resample.BICUBIC)))


def _softened(image: Image.Image, random: Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.0)))


def _palette(image: Image.Image, random: Random) -> Image.Image:
    """Saved with a palette of 32 to 256 colours."""
    dither = random.choice((Image.Dither.NONE, Image.Dither.FLOYDSTEINBERG))
    return image.quantize(random.choice((32, 64, 128, 256)), Image.Quantize.FASTOCTREE, dither=dither).convert("RGB")


def _grained(image: Image.Image, random: Random) -> Image.Image:
    """Noise as of a camera or a scan."""
    grain = Image.effect_noise(image.size, 255 * random.uniform(0.05, 0.12))
    return Image.blend(image, Image.merge("RGB", (grain, grain, grain)), random.uniform(0.05, 0.12))
