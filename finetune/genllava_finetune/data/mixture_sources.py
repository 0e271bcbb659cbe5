"""The sources of a mixture: stored data sets and rows in memory, in pieces that go to workers and ranks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from genllava.errors import InvalidRequest
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.rows import Row
from genllava_finetune.data.stored_rows import StoredRow, store_row
from genllava_finetune.data.storing import count_rows, find_shards, read_shard

_PARTS, _LONGEST_PART = 16, 256
"""Rows in memory are cut into so many parts, or more, of at most so many rows."""


@dataclass(frozen=True, slots=True)
class MixtureSource:
    """One data set of a mixture.

    Attributes:
        name: in logs.
        weight: its share is this over the sum of all weights.
        path: of a stored data set, as `load_rows` takes it; or else
        rows: rows in memory, or a sequence that makes the row of an index when it is asked for it, always the same.
        max_rows: only its first so many rows; None takes all.
        repeat: how often it is gone through before it is at its end, each time in another order.
    """

    name: str
    weight: float = 1.0
    path: Path | str | None = None
    rows: Sequence[Row] | None = None
    max_rows: int | None = None
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that stand together.

    Attributes:
        number: of the part in its source.
        path: their file; None for rows in memory.
        start: index of the first.
        rows: how many there are.
    """

    number: int
    path: Path | None
    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part, which one worker reads.

    Attributes:
        part: the rows.
        order: seeds of their order; None reads them as they stand.
    """

    part: Part
    order: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads pieces of a source.

    Attributes:
        source: its number in the mixture.
        rows: those in memory.
        share: (index, of how many) where only every so many rows are taken, from that index on.
        lazy: of rows in memory only the indices are read; who takes one asks for its row, and those that are skipped
            are never made.
    """

    source: int
    rows: Sequence[Row] | None
    share: tuple[int, int] = (0, 1)
    lazy: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Reader:
        """The same: `interleave_datasets` copies what it is given, and rows in memory may be many."""
        return self

    def read(self, piece: Piece) -> Iterator[StoredRow | int]:
        """The rows of a piece that are in the share, or their indices.

        Raises:
            RowError: one is malformed.
            DataError: the file cannot be read.
        """
        part, (index, of) = piece.part, self.share
        order = range(part.rows) if piece.order is None else _permutation(piece.order, part.rows)
        taken = order[(index - part.number) % of :: of]  # else a share might have the first rows of all parts
        if self.rows is not None:
            for row in taken:
                yield part.start + row if self.lazy else store_row(self.rows[part.start + row])
        elif part.path is not None:
            stored = islice(read_shard(part.path), part.rows)
            if piece.order is None:
                yield from (_right(row) for number, row in enumerate(stored) if number in taken)
            else:
                held = list(stored)
                yield from (_right(held[number]) for number in taken)


def _permutation(seeds: Sequence[int], size: int) -> list[int]:
    order: list[int] = np.random.default_rng(seeds).permutation(size).tolist()
    return order


def _right(row: StoredRow | RowError) -> StoredRow:
    if isinstance(row, RowError):
        raise row
    return row


def example_features() -> Any:
    """The `datasets.Features` of what is interleaved: a row as text, its pictures as bytes, and its source; or -1 and
    more: the index of a row in memory."""
    from datasets import Features, List, Value

    picture = {"data": Value("binary"), "name": Value("string")}
    return Features(
        {"source": Value("int64"), "values": Value("string"), "images": List(picture), "row": Value("int64")}
    )


def examples(reader: Reader, pieces: Sequence[Piece]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of pieces, with a key each, as `datasets` takes them."""
    for piece in pieces:
        for number, row in enumerate(reader.read(piece)):
            values: dict[str, Any] = {"source": reader.source, "values": "", "images": [], "row": -1}
            if isinstance(row, int):
                values["row"] = row
            else:
                values["images"] = [{"data": bytes(picture), "name": picture.name} for picture in row.images]
                values["values"] = json.dumps(row.values)
            yield f"{piece.part.path}:{piece.part.start + number}", values


def parts(source: MixtureSource) -> list[Part]:
    """The files of a source, or runs of its rows in memory, as far as `max_rows` goes.

    Raises:
        InvalidRequest: the source has no rows, or its arguments are impossible.
        DataError: there is no data set, or a file of it is damaged.
    """
    if (source.path is None) == (source.rows is None):
        raise InvalidRequest(f"the source {source.name} needs either a path or rows")
    most = 1 if source.max_rows is None else source.max_rows
    if not 0 < source.weight < float("inf") or source.repeat < 1 or most < 1:
        raise InvalidRequest(f"weight, repeat and max_rows of the source {source.name} must be above 0")
    found, left = list[Part](), source.max_rows
    for part in _all_parts(source):
        rows = part.rows if left is None else min(part.rows, left)
        left = left if left is None else left - rows
        if rows:
            found.append(replace(part, rows=rows))
    if not found:
        raise InvalidRequest(f"the source {source.name} has no rows")
    return found


def pieces(parts: Sequence[Part], repeat: int, seeds: tuple[int, ...] | None) -> list[Piece]:
    """The parts, those of each time that the source is gone through one after another.

    Args:
        seeds: of their order; None takes them as they stand.
    """
    if seeds is None:
        return [Piece(part, None) for part in parts] * repeat
    found = list[Piece]()
    for again in range(repeat):
        order = _permutation([*seeds, again], len(parts))
        found += [Piece(parts[number], (*seeds, again, number)) for number in order]
    return found


def _all_parts(source: MixtureSource) -> Iterator[Part]:
    if source.path is not None:
        for number, shard in enumerate(find_shards(source.path)):
            yield Part(number, shard.path, 0, count_rows(shard))
    else:
        total = len(source.rows or ())
        size = min(_LONGEST_PART, max(1, -(-total // _PARTS)))
        for number, start in enumerate(range(0, total, size)):
            yield Part(number, None, start, min(size, total - start))
