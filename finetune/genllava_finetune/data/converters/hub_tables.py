"""Tables of data sets in the layout of the Hugging Face hub: Parquet or Arrow files on disk, or a data set by name.

Records come in the order of the files' names and of the rows in them, a few at a time; what is held in memory is one
row group of a Parquet file at most. Splits that are held out for evaluation are not read from a folder or from the
hub: they are for no training, and are listed as left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava_finetune.data.errors import DataError
from genllava_finetune.data.records import Origin, Rejected, Source

if TYPE_CHECKING:
    import pyarrow as pa

_HELD_OUT: Final = {"dev", "test", "val", "valid", "validation", "eval"}
_SUFFIXES: Final = {".parquet", ".arrow"}
_AT_A_TIME: Final = 16  # rows with pictures of some megabytes each


def table_rows(source: Source, columns: Iterable[str]) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    """The rows of a data set, pictures undecoded (`{"bytes", "path"}`); `Rejected` for what cannot be read.

    Args:
        source: a Parquet or Arrow file, a folder of such, or the name of a data set on the hub.
        columns: that each table must have.

    Raises:
        DataError: there is no such data set, or a table of it has other columns.
    """
    location = Path(source.location)
    if location.is_file():
        yield from _file_rows(location, columns)
    elif location.is_dir():
        yield from _folder_rows(location, columns)
    elif source.location.count("/") == 1 and not source.location.startswith(("/", ".", "~")):
        yield from _hub_rows(source.location, columns)
    else:
        raise DataError(f"{source.location} is no file, no folder and no name of a data set on the hub (owner/name)")


def _folder_rows(folder: Path, columns: Iterable[str]) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    # links are followed: in the folder where `huggingface_hub` keeps what it downloads, every file is one
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not files:
        raise DataError(f"there is no Parquet or Arrow file in {folder}")
    for file in files:
        place = file.relative_to(folder)
        held_out = sorted(_HELD_OUT & {*place.parts[:-1], file.stem.split("-")[0]})
        if held_out:
            yield Origin(str(file), 1), _left_out(held_out[0], "name the file itself to convert it")
        else:
            yield from _file_rows(file, columns)


def _left_out(split: str, remedy: str) -> Rejected:
    return Rejected(f"a split that is held out for evaluation is not read: {split}; {remedy}")


def _file_rows(file: Path, columns: Iterable[str]) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    import pyarrow as pa

    number, wanted = 0, tuple(columns)
    try:
        for batch in _parquet(file) if file.suffix == ".parquet" else _arrow(file):
            _check_columns(str(file), batch.schema.names, wanted)
            for values in batch.to_pylist():
                number += 1
                yield Origin(str(file), number), values
    except (OSError, pa.ArrowException) as error:
        reason = f"the file is damaged, nothing is read of it from here on: {error!s:.200}"
        yield Origin(str(file), number + 1), Rejected(reason)


def _parquet(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, buffer_size=1 << 20) as table:
        yield from table.iter_batches(_AT_A_TIME)


def _arrow(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.memory_map(str(file)) as memory:
        try:
            batches: Iterable[pa.RecordBatch] = pa.ipc.open_stream(memory)
        except pa.ArrowInvalid:  # the other one of Arrow's two forms of files
            table = pa.ipc.open_file(memory)
            batches = (table.get_batch(index) for index in range(table.num_record_batches))
        for batch in batches:
            for start in range(0, batch.num_rows, _AT_A_TIME):
                yield batch.slice(start, _AT_A_TIME)


def _hub_rows(name: str, columns: Iterable[str]) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    import datasets

    place, number, wanted = name, 0, tuple(columns)
    try:
        for split, table in datasets.load_dataset(name, streaming=True).items():
            place, number = f"{name}/{split}", 0
            if split in _HELD_OUT:
                yield Origin(place, 1), _left_out(split, "download its files and name them to convert it")
                continue
            for values in table.decode(False):
                number += 1
                _check_columns(place, values, wanted)
                yield Origin(place, number), values
    except DataError:
        raise
    except Exception as error:  # what goes wrong between here and the hub has dozens of types
        at = f" (after record {number} of {place})" if number else ""
        message = f"{name} is no file or folder, and reading it from the hub failed{at}: {error!s:.300}"
        raise DataError(f"{message}; run it again to go on, or give the folder that it was downloaded to") from None


def _check_columns(place: str, names: Iterable[str], columns: tuple[str, ...]) -> None:
    present = set(names)
    missing = [column for column in columns if column not in present]
    if missing:
        listed = ", ".join(sorted(present))
        raise DataError(f"{place} has no column {', '.join(missing)}: is it another data set? It has {listed}")
