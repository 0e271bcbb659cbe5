"""The pictures of a thread in a row, with their numbers, and where one of them comes from."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from genllava_agent.pages.markup import escaped
from genllava_agent.records import ImageRecord
from genllava_agent.web.conversation_view import address, alt_text

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImages


def strip(thread: str, records: Iterable[ImageRecord]) -> dict[str, Any]:
    """What the strip in the page shows.

    Args:
        thread: the name of the thread.
        records: of its pictures.

    Returns:
        `images`: id, address, alternative text, width and height of each; `selected`: the name of the last one, or
        None.
    """
    shown = [record for record in records if record.origin != "region"]
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
        "selected": shown[-1].id if shown else None,
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
