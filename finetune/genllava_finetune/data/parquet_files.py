"""Rows in Parquet files, as `datasets.load_dataset("parquet", data_files=...)` reads them: pictures are decoded, and
messages are the same dictionaries that were stored (a struct would fill the keys of other blocks with None)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Any

from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.stored_rows import StoredRow

_GROUP_ROWS, _GROUP_BYTES = 100, 64 << 20
"""A row group is held in memory while it is written or read: at most so many rows, or bytes of pictures."""
_TEXTS, _LISTS = ("source", "license", "id"), ("messages", "tools")


def features() -> Any:
    """The `datasets.Features` of stored rows."""
    from datasets import Features, Image, Json, List, Value

    texts = {name: Value("string") for name in _TEXTS}
    return Features({"images": List(Image()), "messages": List(Json()), **texts, "tools": List(Json())})


class ParquetShard:
    """Writes rows into one Parquet file.

    Attributes:
        suffix: that the names of such files have.
    """

    suffix = ".parquet"

    def __init__(self, file: RawIOBase) -> None:
        """Begin the file."""
        import pyarrow.parquet as pq

        self._schema = features().arrow_schema
        self._writer = pq.ParquetWriter(file, self._schema, use_dictionary=list(_TEXTS[:2]), write_statistics=False)
        self._rows, self._bytes = list[dict[str, Any]](), 0

    def add(self, number: int, row: StoredRow) -> None:
        """Add the row that has this number in its data set."""
        value: dict[str, Any] = {name: row.values[name] for name in _TEXTS}
        for name in _LISTS:
            value[name] = [json.dumps(each, ensure_ascii=False) for each in row.values.get(name, ())]
        value["images"] = [{"bytes": bytes(picture), "path": picture.name or None} for picture in row.images]
        self._rows.append(value)
        self._bytes += sum(map(len, row.images))
        if len(self._rows) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._write()
        self._writer.close()

    def _write(self) -> None:
        import pyarrow as pa

        if self._rows:
            plain = {name: pa.string() for name in _TEXTS} | {name: pa.list_(pa.string()) for name in _LISTS}
            fields = [pa.field(field.name, plain.get(field.name, field.type)) for field in self._schema]
            table = pa.Table.from_pylist(self._rows, schema=pa.schema(fields))
            self._writer.write_table(table.cast(self._schema))
        self._rows, self._bytes = [], 0


def read_parquet(path: Path) -> Iterator[StoredRow | RowError]:
    """The rows of a file, one row group in memory; a `RowError` in the place of one that is no row.

    Raises:
        DataError: the file is damaged, or has no rows of this kind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                for value in file.read_row_group(group).to_pylist():
                    number += 1
                    yield _row(value, f"{path}: row {number}")
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read behind row {number}: {error}") from None


def _row(value: dict[str, Any], place: str) -> StoredRow | RowError:
    try:
        images = [EncodedPicture(each["bytes"], each.get("path") or "") for each in value.get("images") or ()]
        values = {name: value[name] for name in _TEXTS}
        for name in _LISTS:
            parsed = [json.loads(each) if isinstance(each, str) else each for each in value.get(name) or ()]
            if parsed or name == "messages":
                values[name] = parsed
    except RecursionError:
        return RowError(f"{place}: the JSON is nested too deeply")
    except (KeyError, TypeError, ValueError) as error:
        return RowError(f"{place} is no row: {type(error).__name__}: {error}")
    return StoredRow(values, tuple(images))
