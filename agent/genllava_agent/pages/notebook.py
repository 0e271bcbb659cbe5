"""Pieces of what notebooks show. Styles are inline and take the notebook's own colours, whether light or dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genllava_agent.pages.markup import data_uri, escaped, fitted

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.records import ImageRecord, Question

_SOFT: Final = "opacity:.7;font-size:smaller"


def paragraph(text: str, who: str = "") -> str:
    """Something that was said, its lines as they are; `who` said it."""
    speaker = f"<b>{escaped(who)}</b> " if who else ""
    return f'<p style="margin:4px 0;white-space:pre-wrap;overflow-wrap:anywhere">{speaker}{escaped(text)}</p>'


def aside(text: str) -> str:
    """Something about what was said."""
    return f'<p style="margin:4px 0;{_SOFT}">{escaped(text)}</p>'


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


def waiting(question: Question) -> str:
    """What a turn wants to know, and how it is told."""
    calls = "approve(), reject()" if question.kind == "approval" else "choose(...)"
    return aside(
        f"The turn waits for {question.kind}: {', '.join(question.choices)}. Answer with the thread's {calls}."
    )
