"""`genllava data view`."""

from __future__ import annotations

import random
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from genllava.errors import InvalidRequest
from genllava_finetune.data.command_output import check_output, write_output
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.stored_rows import StoredRow
from genllava_finetune.data.storing import find_shards, read_shard


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder of a data set, or one Parquet file or tar")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="page to write: .html")
    add("--rows", type=int, default=50, metavar="N", help="rows of the sample. Default: 50")
    add("--seed", type=int, default=0, metavar="N", help="another seed, another sample. Default: 0")


def run(options: Namespace) -> int:
    """Write a page of samples.

    Raises:
        InvalidRequest: an option is impossible, or the file cannot be written.
        DataError: there is no data set, or it is empty, or a file of it is damaged.
    """
    if options.rows < 1:
        raise InvalidRequest(f"a sample has at least one row, not {options.rows}")
    if options.output.suffix.lower() not in (".html", ".htm"):
        raise InvalidRequest(f"cannot write {options.output}: the name must end in .html")
    check_output(options.output)
    from genllava_finetune.data.viewing import page

    total, rows = sample(options.data, options.rows, options.seed)
    shown = min(total, options.rows)
    says = f"{shown:,} of {total:,} rows, drawn with the seed {options.seed}, in their order."
    name = options.data.resolve().name
    data = page(rows, name, says).encode()
    write_output(options.output, data)
    print(f"{options.output}: {shown:,} of {total:,} rows, {len(data) / 1e6:.1f} MB")
    return 0


def sample(path: Path, rows: int, seed: int) -> tuple[int, Iterator[StoredRow | RowError]]:
    """How many rows a data set has, and some of them, drawn with equal chances, in their order.

    Files without a drawn row are not read, where `dataset.json` says how many rows each has.

    Raises:
        DataError: there is no data set, or it is empty, or a file of it is damaged.
    """
    shards = find_shards(path)
    sizes = [sum(1 for _ in read_shard(shard.path)) if shard.rows is None else shard.rows for shard in shards]
    total = sum(sizes)
    if not total:
        raise DataError(f"the data set {path} has no rows")
    drawn = set(random.Random(seed).sample(range(total), min(rows, total)))

    def read() -> Iterator[StoredRow | RowError]:
        start = 0
        for shard, size in zip(shards, sizes, strict=True):
            wanted = {number for number in range(start, start + size) if number in drawn}
            if wanted:
                for number, stored in enumerate(read_shard(shard.path), start):
                    if number in wanted:
                        yield stored
                    if number >= max(wanted):
                        break
            start += size

    return total, read()
