"""A page of samples to leaf through: one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

from genllava.errors import ImageRejected
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.fingerprints import digest, row_digest
from genllava_finetune.data.row_kinds import row_kind
from genllava_finetune.data.rows import row_dict
from genllava_finetune.data.stored_rows import StoredRow, restore_row

_SIDE: Final = 400
"""Longer side of a picture in the page, in pixels; larger ones are scaled to it."""
_QUALITY: Final = 80


def page(rows: Iterable[StoredRow | RowError], title: str, says: str) -> str:
    """The page as HTML.

    It shows a row at a time, with its pictures inlined; rows are filtered by source and kind. Text of the data is
    shown as it is and never taken for markup, and the page may load nothing and run no script but its own.

    Args:
        rows: as files hold them; one that is no valid row is shown with what is wrong with it.
        title: of the data set.
        says: a sentence about the sample, which stands below each row.
    """
    shown = {"says": says, "rows": [_sample(row) for row in rows]}
    # In JSON these characters stand in strings only, and there they may be written by number: nothing ends the script.
    data = json.dumps(shown).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    template = files("genllava_finetune.data").joinpath("view.html").read_text(encoding="utf-8")
    nonce = base64.b64encode(digest(data.encode())).decode()
    return Template(template).substitute(title=html.escape(title), nonce=nonce, data=data)


def _sample(stored: StoredRow | RowError) -> dict[str, Any]:
    if isinstance(stored, RowError):
        return _invalid({}, stored)
    try:
        row = restore_row(stored)
        row_digest(row, [])  # what JSON cannot hold cannot be shown either
    except RowError as error:
        return _invalid(stored.values, error)
    shown = {"kind": row_kind(row), "images": [_picture(image) for image in row.images], "tools": [*row.tools]}
    return row_dict(row) | shown


def _invalid(values: Mapping[str, Any], error: RowError) -> dict[str, Any]:
    known = {name: str(values.get(name, "")) for name in ("source", "license", "id")}
    return known | {"kind": "invalid", "error": str(error), "images": [], "messages": [], "tools": []}


def _picture(picture: EncodedPicture) -> dict[str, Any]:
    from PIL import Image

    from genllava.images import load_image

    try:
        image = load_image(bytes(picture))
    except ImageRejected as error:
        return {"name": picture.name, "error": error.reason}
    size: Sequence[int] = image.size
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    data = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"name": picture.name, "size": size, "shown": image.size, "data": data}
