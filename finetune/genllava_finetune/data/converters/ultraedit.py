"""UltraEdit: real pictures with generated edits, free ones and edits of a region, as tables of the hub.

Of the columns, `source_image`, `edit_prompt` and `edited_image` are used. `mask_image` of the edits of a region has no
place in a row; captions and CLIP similarities are left out as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from genllava_finetune.data.converters.edit_tables import edit_records
from genllava_finetune.data.records import Converter, Record, Source

_NAME, _LICENSE = "ultraedit", "CC-BY-4.0"
_COLUMNS = ("source_image", "edit_prompt", "edited_image")


def _read(source: Source) -> Iterator[Record]:
    return edit_records(source, _COLUMNS, name=_NAME, license=_LICENSE)


CONVERTERS = (Converter(_NAME, _LICENSE, "UltraEdit: its tables of free edits and of edits of a region.", _read),)
