"""A row as files hold it: what is said as plain JSON values, and the bytes of the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genllava_finetune.data.encoded_pictures import EncodedPicture, encoded_picture
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import Row, read_row, row_dict


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row that can be written.

    Attributes:
        values: the row without its pictures.
        images: its pictures.
    """

    values: Mapping[str, Any]
    images: tuple[EncodedPicture, ...]


def store_row(row: Row, root: Path | None = None) -> StoredRow:
    """The row as it is written; its pictures are read and checked.

    Args:
        root: folder that the names of pictures are relative to.

    Raises:
        RowError: a picture is missing or damaged, or the words and arguments are not what JSON in UTF-8 can hold.
    """
    try:
        values = {name: value for name, value in row_dict(row).items() if name != "images"}
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        text.encode()
        _check_read_again(text)
    except (RecursionError, UnicodeEncodeError, TypeError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RowError(f"the row cannot be stored as JSON: {what:.200}") from None
    return StoredRow(values, tuple(encoded_picture(picture, root) for picture in row.images))


def restore_row(stored: StoredRow) -> Row:
    """The row that was stored, checked as `read_row` does.

    Raises:
        RowError: it is malformed.
    """
    return read_row({**stored.values, "images": stored.images})


def _check_read_again(text: str) -> None:
    """See that what `datasets` reads JSON with can read it: it has limits of its own for depth and for integers.

    Raises:
        ValueError: it cannot.
    """
    from datasets.utils.json import ujson_loads

    ujson_loads(text)
