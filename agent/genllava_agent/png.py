"""A picture as a PNG."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def png_bytes(image: Image.Image) -> bytes:
    """The file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def png_base64(image: Image.Image) -> str:
    """The file in base64, as content blocks, web pages and terminals take it."""
    return base64.b64encode(png_bytes(image)).decode()
