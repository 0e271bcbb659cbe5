"""Storing rows that a program makes, as `genllava data prepare` stores those of public data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from genllava_finetune.data.preparing import prepare
from genllava_finetune.data.records import Converter, Origin, Record, Source
from genllava_finetune.data.rows import Row
from genllava_finetune.data.storing import Card, Format


def save_rows(
    rows: Iterable[Row],
    output: Path,
    *,
    name: str,
    license: str = "unknown",
    format: Format = "parquet",
    shard_rows: int = 1000,
) -> Card:
    """Write rows into a folder; `load_rows` reads them.

    Where it was interrupted, the same call with the same rows goes on.

    Args:
        name: of the data set.
        license: that `dataset.json` says; each row has its own.

    Returns:
        What `dataset.json` says; `rejected` counts rows whose pictures are damaged or whose id there was before.

    Raises:
        InvalidRequest: the folder has other things in it.
        DataError: it cannot be written.
    """

    def read(source: Source) -> Iterator[Record]:
        for number, row in enumerate(rows, 1):
            yield Record(Origin(source.location, number), (row,))

    converter = Converter(name, license, "Rows that a program made.", read)
    return prepare(converter, Source(name), output, format=format, shard_rows=shard_rows).card
