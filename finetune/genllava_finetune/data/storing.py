"""Data sets of rows in a folder: shards, and `dataset.json` which says what they are.

`load_rows(folder)` streams them. In a folder without a `dataset.json`, all Parquet files or tars are shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.parquet_files import ParquetShard, read_parquet
from genllava_finetune.data.rows import Row
from genllava_finetune.data.stored_rows import StoredRow, restore_row
from genllava_finetune.data.webdataset_files import TarShard, read_tar

Format = Literal["parquet", "webdataset"]
VERSION: Final = 1
"""Of the row format."""
CARD: Final = "dataset.json"
UNFINISHED: Final = ".preparing"
"""Folder within that of a data set, with the state of its preparation."""


class _Writer(Protocol):
    suffix: str

    def __init__(self, file: RawIOBase) -> None: ...
    def add(self, number: int, row: StoredRow) -> None: ...
    def close(self) -> None: ...


_WRITERS: Final[dict[Format, type[_Writer]]] = {"parquet": ParquetShard, "webdataset": TarShard}
_READERS: Final = {ParquetShard.suffix: read_parquet, TarShard.suffix: read_tar}


class Shard(BaseModel):
    """A file of rows.

    Attributes:
        name: in the folder of the data set.
        rows: how many it has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[^/\\]+\.(parquet|tar)$")
    rows: int


class Card(BaseModel):
    """What `dataset.json` says of a data set.

    Attributes:
        version: of the row format.
        kind: as `genllava data prepare` calls it.
        location: where it was prepared from.
        license: of the data.
        format: of the files.
        rows: how many there are.
        rejected: records that gave no row, by reason.
        shards: the files, in the order of the rows.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = VERSION
    kind: str
    location: str
    license: str
    format: Format
    rows: int
    rejected: dict[str, int]
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard on the disk.

    Attributes:
        path: of the file.
        rows: how many it has; None where nothing says so.
    """

    path: Path
    rows: int | None


class ShardWriter:
    """Writes a shard, which is there whole after `close`, and not at all after `discard`.

    Attributes:
        rows: how many it has so far.
    """

    def __init__(self, folder: Path, format: Format, number: int, first_row: int) -> None:
        """Begin a shard.

        Args:
            number: of the shard, from 0.
            first_row: number of its first row in the data set.
        """
        kind = _WRITERS[format]
        self.name, self.rows, self._first = f"rows-{number:05d}{kind.suffix}", 0, first_row
        self._file = ExitStack()
        self._sink = _Sink(self._file.enter_context(whole_file(folder / self.name)))
        self._writer = kind(self._sink)

    def add(self, row: StoredRow) -> None:
        """Add a row."""
        self._writer.add(self._first + self.rows, row)
        self.rows += 1

    def close(self) -> Shard:
        """Finish the file."""
        self._writer.close()
        self._file.close()
        return Shard(name=self.name, rows=self.rows)

    def discard(self) -> None:
        """Remove what was written."""
        self._sink.discarded = True
        self._writer.close()
        self._file.__exit__(DataError, DataError("the shard is not finished"), None)


class _Sink(RawIOBase):
    """What a writer writes to, and can still write to when the file is given up: the libraries end their files by
    themselves when they are no longer used."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._written, self.discarded = file, 0, False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if not self.discarded:
            self._file.write(data)
            self._written += size
        return size

    def tell(self) -> int:
        return self._written


def load_rows(path: Path | str, on_error: Callable[[RowError], None] | None = None) -> Iterator[Row]:
    """The rows of a stored data set in their order, one at a time (of Parquet, one row group is in memory).

    Pictures are `EncodedPicture`s: the bytes of the file, which `genllava.images.load_image` decodes, with its `name`.

    Args:
        path: the folder of the data set, or one Parquet file or tar.
        on_error: called with each row that is malformed, which is then left out; None raises at the first.

    Raises:
        DataError: there is no data set, it is not finished, or a file of it is damaged.
        RowError: a row is malformed; the message names its file and number.
    """
    for shard in find_shards(path):
        for row in read_shard(shard.path):
            try:
                if isinstance(row, RowError):
                    raise row
                yield _restored(row, shard.path)
            except RowError as error:
                if on_error is None:
                    raise
                on_error(error)


def read_shard(path: Path) -> Iterator[StoredRow | RowError]:
    """The rows of a shard as they are stored; a `RowError` in the place of one that is no row.

    Raises:
        DataError: the file is damaged.
    """
    return _READERS[path.suffix](path)


def find_shards(path: Path | str) -> list[ShardFile]:
    """The shards of a data set, in the order of their rows; arguments and errors as for `load_rows`."""
    path = Path(path)
    if path.is_file() and path.suffix in _READERS:
        return [ShardFile(path, None)]
    if (path / CARD).exists():
        return [ShardFile(path / shard.name, shard.rows) for shard in read_card(path).shards]
    if (path / UNFINISHED).exists():
        raise DataError(f"{path} is not finished: give the command that prepares it once more")
    for suffix in _READERS:
        found = sorted(file for file in path.glob(f"*{suffix}") if file.is_file()) if path.is_dir() else []
        if found:
            return [ShardFile(file, None) for file in found]
    raise DataError(f"there is no data set at {path}: prepare one with genllava data prepare KIND -o {path}")


def count_rows(shard: ShardFile) -> int:
    """How many rows the shard has; they are counted where nothing says it.

    Raises:
        DataError: the file is damaged.
    """
    return shard.rows if shard.rows is not None else sum(1 for _ in read_shard(shard.path))


def read_card(folder: Path) -> Card:
    """What `dataset.json` says.

    Raises:
        DataError: it cannot be read, or is of a newer version.
    """
    path = folder / CARD
    try:
        card = Card.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if card.version > VERSION:
        raise DataError(f"{path} is of version {card.version} of the row format; this program reads {VERSION}")
    return card


def _restored(row: StoredRow, path: Path) -> Row:
    try:
        return restore_row(row)
    except RowError as error:
        raise RowError(f"{path}: row {row.values.get('id')!r:.100}: {error}") from None
