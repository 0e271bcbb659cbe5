"""Pictures on their way into a tool: plain RGB, a layer with transparency, or a mask; and what tools share of masks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import MAX_PIXELS, load_image
from genllava_tools.coordinates import BoxTuple, box_pixels

_COLOURFUL: Final = 32
"""Levels of 255 by which the channels of a pixel differ that is no grey, with room for what JPEG does."""
_TOO_COLOURFUL: Final = 0.05
"""Share of such pixels above which a picture is no mask."""


def picture_in(value: object, argument: str) -> Image.Image:
    """A picture that a tool was given, as RGB: checked, turned upright, transparency on white.

    Args:
        value: a PIL image of any mode but floats; of an animation it is the first frame.
        argument: its name, for messages.

    Raises:
        InvalidRequest: it is no PIL image.
        ImageRejected: it has no pixels, too many of them, or cannot be read.
    """
    if not isinstance(value, Image.Image):
        what = f"the name {value[:40]!r}" if isinstance(value, str) else f"a {type(value).__name__}"
        raise InvalidRequest(f"`{argument}` must be a picture (a PIL image), and this is {what}")
    if value.mode == "I" and 0 not in value.size and np.asarray(value).max() <= 255:
        value = value.convert("L")  # 8 bits in 32, which as 16 bits would be all but black
    try:
        return load_image(value)
    except ImageRejected as error:
        raise ImageRejected(f"`{argument}`: {error.reason}") from None


def layer_in(value: object, argument: str) -> Image.Image:
    """As `picture_in`, but as RGBA where something of the picture is transparent."""
    plain = picture_in(value, argument)
    given: Any = value.to_raw() if hasattr(value, "to_raw") else value
    if not given.has_transparency_data:
        return plain
    layer = ImageOps.exif_transpose(given).convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return plain
    layer.info = dict(plain.info)
    return layer


def mask_in(value: object, argument: str, picture: Image.Image) -> Image.Image:
    """A mask of `picture`: L, 255 in the region and 0 elsewhere, as large as the picture.

    Args:
        value: a grey PIL image of the picture's proportions; what is lighter than middle grey is the region, and what
            is transparent is not.

    Raises:
        InvalidRequest: its proportions are others, it is empty, or it is a photograph.
        ImageRejected: as `picture_in`.
    """
    plain = layer_in(value, argument)
    if plain.mode == "RGBA":
        plain = Image.alpha_composite(Image.new("RGBA", plain.size, "black"), plain).convert("RGB")
    width, height = plain.size
    across, down = picture.size
    if not (_near(height, width * down / across) or _near(width, height * across / down)):
        raise InvalidRequest(
            f"`{argument}` is {width}x{height} and its picture {across}x{down}: a mask has the proportions of its "
            "picture; make it with `segment` of the same picture"
        )
    pixels = np.asarray(plain)
    if (np.ptp(pixels, axis=2) > _COLOURFUL).mean() > _TOO_COLOURFUL:
        raise InvalidRequest(f"`{argument}` is a coloured picture and not a mask: make one with `segment`")
    mask = plain.convert("L")
    if mask.size != picture.size:
        mask = mask.resize(picture.size, Image.Resampling.NEAREST)
    mask = mask.point(lambda level: 255 if level >= 128 else 0)
    if mask.getbbox() is None:
        raise InvalidRequest(f"`{argument}` is empty: a mask is white where the region is")
    return mask


def check_size(width: int, height: int) -> None:
    """See that a picture of this size in pixels may be made; asked before it is.

    Raises:
        InvalidRequest: it would have no pixels, or too many.
    """
    if width < 1 or height < 1:
        raise InvalidRequest(f"a picture of {width}x{height} has no pixels: ask for a larger one")
    if width * height > MAX_PIXELS:
        raise InvalidRequest(
            f"the picture would have {width}x{height} pixels; at most {MAX_PIXELS:,} are made: "
            "ask for a smaller one, or make the picture smaller first"
        )


def region(image: Image.Image, box: BoxTuple | None, mask: Image.Image | None) -> Image.Image:
    """The region that a box or a mask means, as an L mask of the picture's size.

    Raises:
        InvalidRequest: neither is given, or both are.
    """
    if (box is None) == (mask is None):
        raise InvalidRequest("give either `box` or `mask`, to say where")
    if mask is not None:
        return mask
    assert box is not None, "neither a box nor a mask"
    whole = Image.new("L", image.size, 0)
    whole.paste(255, box_pixels(box, image.size))
    return whole


def mask_image(region: NDArray[Any]) -> Image.Image:
    """An array [H, W] of truth values as an L mask, 255 where it is true."""
    return Image.fromarray(np.where(region, 255, 0).astype(np.uint8))


def share(mask: Image.Image) -> float:
    """The part of a mask that is white, 0..1."""
    return float((np.asarray(mask) >= 128).mean())


def _near(pixels: int, wanted: float) -> bool:
    return abs(pixels - max(1.0, wanted)) <= 0.5 or abs(pixels / max(1.0, wanted) - 1) <= 0.005
