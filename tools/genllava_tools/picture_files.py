"""Pictures as files: read with their transparency, written as PNG, and made small to be looked at."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import IO, Final

from PIL import Image, ImageOps

from genllava.images import MAX_BYTES, load_image

_LARGE: Final = 512 * 512
"""Pixels above which a preview in colour is a JPEG."""


def load_layer(source: str | Path | bytes | IO[bytes]) -> Image.Image:
    """A picture that was let in by `genllava.images.load_image`, as RGB, or as RGBA where it has transparency.

    Args:
        source: the path of a picture file, its bytes, or a file opened for reading bytes.

    Raises:
        ImageRejected: as `load_image`.
    """
    data = source if isinstance(source, (str, Path, bytes)) else source.read(MAX_BYTES + 1)
    plain = load_image(data)
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            if not image.has_transparency_data or sorted(image.size) != sorted(plain.size):  # read at a smaller size
                return plain
            layer = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):  # a format of which Pillow alone reads less: no layer
        return plain
    layer.info = dict(plain.info)
    return layer


def png_bytes(image: Image.Image) -> bytes:
    """A picture as a PNG file, without what else its file may have said."""
    file = io.BytesIO()
    image.save(file, "PNG", exif=b"", icc_profile=None)
    return file.getvalue()


def preview(image: Image.Image, longest: int) -> tuple[bytes, str]:
    """A picture as a small file to be looked at, and its MIME type: a PNG, or a JPEG where that would be large.

    Args:
        longest: pixels of its longer side; a larger one is made smaller.
    """
    shown = image
    if max(image.size) > longest:
        shown = image.copy()
        shown.thumbnail((longest, longest))
    if shown.mode != "RGB" or shown.width * shown.height <= _LARGE:
        return png_bytes(shown), "image/png"
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=90, exif=b"", icc_profile=None)
    return file.getvalue(), "image/jpeg"


def png_base64(image: Image.Image) -> str:
    """A picture as a PNG file in base64, as content blocks, web pages and terminals take it."""
    return as_base64(png_bytes(image))


def as_base64(data: bytes) -> str:
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def on_white(image: Image.Image) -> Image.Image:
    """A picture without transparency: white shows where it was."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
