"""What pages and drawings are made of: text that stays text, and pictures inside of the file."""

from __future__ import annotations

import base64
import html
import io
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, half surrogates among it: the name of a file may have them."""


def escaped(text: object) -> str:
    """`text` for the inside of an element or of an attribute in quotes, in HTML and in SVG alike."""
    return html.escape(_NOT_TEXT.sub("\ufffd", str(text)), quote=True)


def fitted(image: Image.Image, side: int) -> Image.Image:
    """`image` at its own proportions, at most `side` pixels wide and high; it is never made larger."""
    if max(image.size) <= side:
        return image
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, resample=3)  # bicubic


def png_bytes(image: Image.Image) -> bytes:
    """`image` as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def data_uri(image: Image.Image) -> str:
    """`image` as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
