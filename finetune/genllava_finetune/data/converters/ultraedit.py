"""UltraEdit: real pictures with generated edits, free ones and edits of a region, as tables of the hub.

Of the columns, `source_image`, `edit_prompt` and `edited_image` are used. `mask_image` of the edits of a region has no
place in a row; captions and CLIP similarities are left out as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from genllava_finetune.data.converters.edit_turns import pair_row
from genllava_finetune.data.converters.hub_tables import table_rows
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.records import Converter, Record, Rejected, Source

_NAME, _LICENSE = "ultraedit", "CC-BY-4.0"
_COLUMNS = ("source_image", "edit_prompt", "edited_image")


def _read(source: Source) -> Iterator[Record]:
    for origin, values in table_rows(source, _COLUMNS):
        if isinstance(values, Rejected):
            yield Record(origin, (values,))
            continue
        try:
            row = pair_row(*(values[column] for column in _COLUMNS), source=_NAME, license=_LICENSE)
        except RowError as error:
            yield Record(origin, (Rejected(str(error)),))
        else:
            yield Record(origin, (row,))


CONVERTERS = (Converter(_NAME, _LICENSE, "UltraEdit: its tables of free edits and of edits of a region.", _read),)
