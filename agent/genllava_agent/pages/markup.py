"""Pieces of pages, drawings and notebooks: text that stays text, and pictures inside of the file."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from genllava_tools.picture_files import png_base64

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.records import ImageRecord, Question

_NOT_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, half surrogates among it: the name of a file may have them."""
_ORIGINS: Final = {"user": "from you", "region": "the part in question", "generate": "drawn", "edit": "edited"}
_SOFT: Final = "opacity:.7;font-size:smaller"


def escaped(text: object) -> str:
    """`text` for the inside of an element or of an attribute in quotes, in HTML and in SVG alike."""
    return html.escape(_NOT_TEXT.sub("\ufffd", str(text)), quote=True)


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def origin(record: ImageRecord) -> str:
    """Who or what made a picture, in words."""
    return _ORIGINS.get(record.origin) or f"made by {record.params.get('tool', 'a tool')}"


def fitted(image: Image.Image, side: int) -> Image.Image:
    """`image` at its own proportions, at most `side` pixels wide and high; it is never made larger."""
    small = image.copy()
    small.thumbnail((side, side))
    return small


def data_uri(image: Image.Image) -> str:
    """`image` as the address of itself."""
    return "data:image/png;base64," + png_base64(image)


# --- for notebooks: styles are inline and take the notebook's own colours, whether light or dark ---


def paragraph(text: str, who: str = "") -> str:
    """Something that was said, its lines as they are; `who` said it."""
    speaker = f"<b>{escaped(who)}</b> " if who else ""
    return f'<p style="margin:4px 0;white-space:pre-wrap;overflow-wrap:anywhere">{speaker}{escaped(text)}</p>'


def aside(text: str) -> str:
    """Something about what was said."""
    return f'<p style="margin:4px 0;{_SOFT}">{escaped(text)}</p>'


def waiting(question: Question) -> str:
    """What a turn wants to know, and how it is told."""
    calls = {"approval": "approve(), reject()", "clarification": "choose(...)", "tool": "answer(...)"}[question.kind]
    choices = f": {', '.join(question.choices)}" if question.choices else ""
    return aside(f"The turn waits for {question.kind}{choices}. Answer with the thread's {calls}.")


def figure(image: Image.Image, record: ImageRecord, side: int, said: str = "") -> str:
    """A picture, at most `side` pixels wide and high; below its name, and what is known of it and not yet `said`."""
    small = fitted(image, side)
    told = record.plan or record.label or ""
    caption = f"{record.id}: {told}" if told and told not in said else record.id
    return (
        '<figure style="display:inline-block;vertical-align:top;margin:4px 12px 4px 0">'
        f'<img src="{data_uri(small)}" width="{small.width}" height="{small.height}" alt="{escaped(told)}" '
        'style="border:1px solid rgba(128,128,128,.4)">'
        f'<figcaption style="max-width:{max(small.width, 160)}px;{_SOFT};overflow-wrap:anywhere">{escaped(caption)}'
        "</figcaption></figure>"
    )
