"""The one door through which pictures come in: everything is checked, then becomes plain RGB."""

from __future__ import annotations

import contextlib
import hashlib
import io
import stat
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from genllava.errors import ImageRejected

ImageSource = Image.Image | NDArray[Any] | str | Path | bytes

MAX_BYTES: Final = 20_000_000
MAX_PIXELS: Final = 40_000_000
MAX_ASPECT: Final = 50
_ALPHA_MODES: Final = ("RGBA", "RGBa", "LA", "La", "PA")


def load_image(
    source: ImageSource,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_aspect: float = MAX_ASPECT,
) -> Image.Image:
    """A picture as RGB, turned upright, transparency flattened on white.

    Args:
        source: a PIL image; an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], uint8 or float in 0..1; the
            path of a PNG, JPEG, WebP or GIF file (its first frame), recognised by content and not by name; or
            the bytes of one.
        max_bytes: of a file.
        max_pixels: checked before anything is decoded.
        max_aspect: longer side over shorter side.

    Raises:
        ImageRejected: anything else, a URL included; `reason` says why.
    """
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray):
        image = _from_array(source, max_pixels)
    elif isinstance(source, (str, Path)):
        image = _decode(_read(source, max_bytes), max_bytes)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        image = _decode(bytes(source), max_bytes)
    else:
        raise ImageRejected(f"a {type(source).__name__} is not a picture, a path or bytes")
    _check_size(image.size, max_pixels, max_aspect)
    try:
        return _to_rgb(image)
    except ImageRejected:
        raise
    except Exception:  # decoders raise a dozen unrelated types, and their messages name internals
        raise ImageRejected("the picture is damaged or cut short") from None


def letterbox(image: Image.Image, size: int) -> Image.Image:
    """`image` (RGB) scaled to fit into a `size` x `size` square, centred.

    The bars take the median colour of the picture's border, so that they look like more of its background.
    """
    if image.size == (size, size):
        return image
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    if (width, height) == (size, size):
        return scaled
    square = Image.new("RGB", (size, size), tuple(border_color(np.asarray(image)).tolist()))
    square.paste(scaled, ((size - width) // 2, (size - height) // 2))
    return square


def unletterbox(square: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The part of a `letterbox` that a picture of `size` (width, height) takes, at that size."""
    scale = square.width / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    left, top = (square.width - width) // 2, (square.height - height) // 2
    part = square.crop((left, top, left + width, top + height))
    return part.resize(size, Image.Resampling.BICUBIC)


def difference(image: Image.Image | NDArray[Any], other: Image.Image | NDArray[Any]) -> NDArray[np.float64]:
    """[H, W]: how far two pictures of one size are apart, in levels of 255 of the channel that differs most."""
    return np.asarray(np.abs(np.asarray(image, float) - np.asarray(other, float)).max(2))


def border_color(pixels: NDArray[Any]) -> NDArray[Any]:
    """[3]: the median colour of the border of a picture [H, W, 3], of the same type: that of its background, mostly."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.asarray(np.median(border, axis=0).round().astype(pixels.dtype))


def content_key(image: Image.Image) -> str:
    """Identity of a picture: a hash of its pixels, size and mode."""
    head = f"{image.mode}:{image.width}x{image.height}:".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def _from_array(array: NDArray[Any], max_pixels: int) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageRejected(f"an array of shape {array.shape} is not a picture: [H, W], [H, W, 3] or [H, W, 4]")
    if array.shape[0] * array.shape[1] > max_pixels:
        raise ImageRejected(f"the picture has more than {max_pixels:,} pixels")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageRejected("an array of floats must lie in 0..1")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageRejected(f"an array of {array.dtype} is not a picture: give uint8, or floats in 0..1")
    return Image.fromarray(np.ascontiguousarray(array))


def _read(path: str | Path, max_bytes: int) -> bytes:
    text = str(path)
    if "://" in text or text.startswith("data:"):
        raise ImageRejected("URLs are not fetched: download the picture and give its path")
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageRejected("the path is a folder, not a picture")
        if not stat.S_ISREG(mode):
            raise ImageRejected("the path is not a regular file")
        with Path(path).open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageRejected("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the path is not usable"
        raise ImageRejected(f"the file cannot be read: {reason}") from None


def _decode(data: bytes, max_bytes: int) -> Image.Image:
    if len(data) > max_bytes:
        raise ImageRejected(f"the file has more than {max_bytes:,} bytes")
    if not data:
        raise ImageRejected("the file is empty")
    kind = _format(data)
    if kind is None:
        raise ImageRejected("not a PNG, JPEG, WebP or GIF picture")
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageRejected("the picture has too many pixels") from None
    except Exception:  # as above
        raise ImageRejected("the picture is damaged or cut short") from None


def _format(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return "GIF" if data[:6] in (b"GIF87a", b"GIF89a") else None


def _check_size(size: tuple[int, int], max_pixels: int, max_aspect: float) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageRejected("the picture has no pixels")
    if width * height > max_pixels:
        raise ImageRejected(f"the picture has {width * height:,} pixels; at most {max_pixels:,} are allowed")
    if max(size) > max_aspect * min(size):
        raise ImageRejected(f"the picture is {width} by {height}: too long and thin")


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    with contextlib.suppress(Exception):  # a broken EXIF block does not make the pixels worse
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # convert() would clip 16 bits to 8 instead of scaling them
        deep = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((deep // 257).astype(np.uint8))
    elif image.mode == "F":
        raise ImageRejected("pictures of floating point numbers have no agreed range: convert them first")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())  # a copy without metadata
