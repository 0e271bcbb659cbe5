"""What pages and drawings are made of: text that stays text, and pictures inside of the file."""

from __future__ import annotations

import base64
import html
import io
import re
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.records import ImageRecord

_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, half surrogates among it: the name of a file may have them."""
_ORIGINS: Final = {"user": "from you", "region": "the part in question", "generate": "drawn", "edit": "edited"}


class Pictures(Protocol):
    """Where a page finds the pixels of what it shows, RGB. Both may raise `ThreadQuarantined`."""

    def picture(self, record: ImageRecord) -> Image.Image:
        """A picture of the conversation."""

    def image(self, key: str) -> Image.Image:
        """Something else that is stored: a drawing that was not kept, or a mask."""


def escaped(text: object) -> str:
    """`text` for the inside of an element or of an attribute in quotes, in HTML and in SVG alike."""
    return html.escape(_NOT_TEXT.sub("\ufffd", str(text)), quote=True)


def origin(record: ImageRecord) -> str:
    """Who or what made a picture, in words."""
    return _ORIGINS.get(record.origin) or f"made by {record.params.get('tool', 'a tool')}"


def fitted(image: Image.Image, side: int) -> Image.Image:
    """`image` at its own proportions, at most `side` pixels wide and high; it is never made larger."""
    small = image.copy()
    small.thumbnail((side, side))
    return small


def png_bytes(image: Image.Image) -> bytes:
    """`image` as a PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def data_uri(image: Image.Image) -> str:
    """`image` as the address of itself."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
