"""Tables of which each row is one edit: a picture, an instruction, and the edited picture."""

from __future__ import annotations

from collections.abc import Iterator

from genllava_finetune.data.converters.edit_turns import pair_row
from genllava_finetune.data.converters.hub_tables import table_rows
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.records import Record, Rejected, Source


def edit_records(source: Source, columns: tuple[str, str, str], *, name: str, license: str) -> Iterator[Record]:
    """The edits of a table, one record each.

    Args:
        columns: of the picture, the instruction and the edited picture.
        name: of the data set.
    """
    for origin, values in table_rows(source, columns):
        if isinstance(values, Rejected):
            yield Record(origin, (values,))
            continue
        try:
            row = pair_row(*(values[column] for column in columns), source=name, license=license)
        except RowError as error:
            yield Record(origin, (Rejected(str(error)),))
        else:
            yield Record(origin, (row,))
