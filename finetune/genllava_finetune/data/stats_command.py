"""`genllava data stats`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from genllava_finetune.data.command_output import check_output, printable, write_output
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.rejects import REJECTS
from genllava_finetune.data.row_facts import CountTokens, row_facts, token_counter
from genllava_finetune.data.statistics import Statistics
from genllava_finetune.data.stored_rows import StoredRow, restore_row
from genllava_finetune.data.storing import CARD, find_shards, read_card, read_shard

ALL: Final = "all"
"""Name of the column for all data sets together."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("data", nargs="+", type=Path, metavar="DATA", help="folder of a data set, or one Parquet file or tar")
    add("--json", type=Path, metavar="FILE", help="write the report to this file")
    add("--plot", type=Path, metavar="FILE", help="write plots to this PNG file")
    add("--tokenizer", metavar="FOLDER", help="of a tokenizer, or of a model that has one: lengths in tokens as well")


def run(options: Namespace) -> int:
    """Print what data sets consist of.

    Raises:
        InvalidRequest: a file cannot be written.
        DataError: there is no data set, or it is empty, or a file of it is damaged.
    """
    for path in (options.json, options.plot):
        check_output(path)
    count_tokens = None if options.tokenizer is None else token_counter(options.tokenizer)
    collected = collect(dict.fromkeys(options.data), count_tokens)
    reports = {name: one.as_dict() for name, one in collected.items()}

    from rich.console import Console

    from genllava_finetune.data.statistics_shown import plot, table

    Console().print(table(reports))
    for name, one in collected.items():
        if one.invalid and name != ALL:
            print(f"{printable(one.first_invalid)}: genllava data check names all of {one.invalid:,}")
    if options.json is not None:
        write_output(options.json, json.dumps(reports, indent=2, ensure_ascii=False).encode() + b"\n")
    if options.plot is not None:
        write_output(options.plot, plot({name: one for name, one in collected.items() if name != ALL}))
    return 0


def collect(paths: Iterable[Path], count_tokens: CountTokens | None = None) -> dict[str, Statistics]:
    """Statistics of data sets by their paths and, where there are several, of all together as `all`.

    Raises:
        DataError: there is no data set, or it is empty, or a file of it is damaged.
    """
    from tqdm import tqdm

    collected, total = dict[str, Statistics](), Statistics()
    for path in paths:
        one = collected[str(path)] = Statistics()
        for both in (one, total):
            both.rejects.update(_rejects(path))
        for shard in find_shards(path):
            for stored in tqdm(read_shard(shard.path), str(shard.path), unit=" rows", disable=None, leave=False):
                _add(stored, (one, total), count_tokens)
        if not one.rows + one.invalid:
            raise DataError(f"the data set {path} has no rows")
    return collected if len(collected) == 1 else collected | {ALL: total}


def _add(stored: StoredRow | RowError, all_of: tuple[Statistics, ...], count_tokens: CountTokens | None) -> None:
    try:
        if isinstance(stored, RowError):
            raise stored
        facts = row_facts(restore_row(stored), count_tokens)
    except RowError as error:
        for one in all_of:
            one.add_invalid(str(error))
        return
    for one in all_of:
        one.add(facts)


def _rejects(path: Path) -> Counter[str]:
    """Records that gave no row, by reason, as the data set's `dataset.json` or its list of them says."""
    if (path / CARD).is_file():
        return Counter(read_card(path).rejected)
    counts = Counter[str]()
    if (path / REJECTS).is_file():
        for number, line in enumerate((path / REJECTS).read_bytes().splitlines(), 1):
            try:
                counts[json.loads(line)["reason"].split(": ")[0]] += 1
            except (ValueError, KeyError, TypeError, AttributeError):
                raise DataError(f"{path / REJECTS}:{number} is no rejected record: {line[:100]!r}") from None
    return counts
