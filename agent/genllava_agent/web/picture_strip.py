"""The pictures of a thread in a row, with their numbers, and where one of them comes from."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from genllava_agent.pages.markup import escaped
from genllava_agent.web.conversation_view import address, alt_text

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImages


def strip(thread: str, images: ThreadImages, selected: str | None = None) -> dict[str, Any]:
    """What the strip in the page shows.

    Args:
        thread: the name of the thread.
        images: its pictures.
        selected: the name of one; the last one where it is none of them.

    Returns:
        `images`: id, address, alternative text, width and height of each; `selected`: the name of one, or None.
    """
    shown = [picture.record for picture in images.values() if picture.record.origin != "region"]
    names = [record.id for record in shown]
    return {
        "images": [
            {
                "id": record.id,
                "src": address(thread, record),
                "alt": alt_text(record),
                "width": record.width,
                "height": record.height,
            }
            for record in shown
        ],
        "selected": selected if selected in names else names[-1] if names else None,
    }


def lineage_html(images: ThreadImages, name: str) -> str:
    """The pictures that one was made from, drawn as a tree.

    Raises:
        UnknownImage: there is no such picture.
        ThreadQuarantined: what is stored is damaged.
    """
    lineage = images[name].lineage()
    drawn = base64.b64encode(lineage.svg().encode()).decode()  # as a picture it runs nothing and meets no style
    told = "; ".join(f"{edge.child} from {edge.parent}: {edge.instruction or ''}" for edge in lineage.edges)
    alt = escaped(f"The lineage of {name}. {told or 'It was made from no other picture.'}")
    return f'<img class="lineage" src="data:image/svg+xml;base64,{drawn}" alt="{alt}">'
