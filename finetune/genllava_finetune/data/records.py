"""What a converter reads: records of a public data set, each a row or the reason why it is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genllava_finetune.data.rows import Row


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stands.

    Attributes:
        file: the file, as it was given.
        line: its line in a file of lines (from 1), or the number of the record in any other (from 1).
    """

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that gives no row.

    Attributes:
        reason: why, in words.
        id: of the record, where it has one.
    """

    reason: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the source, converted: rows, or why there is none. A record may give several of either."""

    origin: Origin
    results: tuple[Row | Rejected, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set lies.

    Attributes:
        location: a file, a folder, or the name of a data set on the hub (owner/name).
        images: folder that the paths of pictures are relative to; None where pictures are in the records.
    """

    location: str
    images: Path | None = None


@dataclass(frozen=True, slots=True)
class Converter:
    """A kind of public data set.

    Attributes:
        name: as `genllava data prepare` calls it.
        license: of the data, as its publisher declares it; "unknown" where none is declared.
        summary: one line for the list of kinds.
        read: streams the records in an order that is the same each time, without holding the data set in memory.
    """

    name: str
    license: str
    summary: str
    read: Callable[[Source], Iterator[Record]]
