"""Whether a data set is right: valid rows, readable pictures, ids, duplicates, and no picture of a benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genllava.errors import ImageRejected
from genllava_finetune.data.benchmarks import Benchmark
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.fingerprints import digest, perceptual_hash, row_digest
from genllava_finetune.data.image_ids import id_of_path, id_of_row
from genllava_finetune.data.records import Origin
from genllava_finetune.data.rows import Row
from genllava_finetune.data.stored_rows import StoredRow, restore_row
from genllava_finetune.data.storing import CARD, find_shards, read_shard

FINDINGS: Final = {
    "file": "a file cannot be read",
    "row": "a row is not valid",
    "id": "an id stands twice in a data set",
    "picture": "a picture cannot be read",
    "duplicate": "the messages and pictures of a row stand in an earlier one",
    "overlap": "a picture is one of a benchmark",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: see `FINDINGS`.
        file: of the data set.
        row: in the file, from 1; 0 stands for the file itself.
        id: of the row, where it has one.
        message: what is wrong, in words.
    """

    kind: str
    file: str
    row: int
    id: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.row}" if self.row else self.file
        return f"{place}: {self.kind}: {self.message}" + (f" (id {self.id})" if self.id else "")


@dataclass(frozen=True, slots=True)
class _Picture:
    """What is known of the bytes of a picture.

    Attributes:
        digest: of them.
        error: why they cannot be decoded.
        hash: the perceptual hash; None where it is not asked for.
    """

    digest: bytes
    error: str = ""
    hash: int | None = None


class Checker:
    """Checks rows one after another, and remembers what it needs for finding duplicates.

    Attributes:
        counts: findings so far, by kind.
        rows: that were looked at.
    """

    def __init__(self, benchmarks: Sequence[Benchmark] = ()) -> None:
        self.benchmarks = benchmarks
        self.counts, self.rows = Counter[str](), 0
        self._contents = dict[bytes, Origin]()
        self._pictures = dict[bytes, _Picture]()

    def check(self, path: Path) -> Iterator[Finding]:
        """What is wrong with a stored data set, in the order of its rows; a damaged file is named, and the next read.

        Raises:
            DataError: there is no data set, or it is empty.
        """
        ids, before = dict[str, Origin](), (self.rows, self.counts.total())
        for shard in find_shards(path):
            number = 0
            try:
                for number, stored in enumerate(read_shard(shard.path), 1):
                    self.rows += 1
                    origin = Origin(str(shard.path), number)
                    id_ = "" if isinstance(stored, RowError) else str(stored.values.get("id") or "")
                    for kind, message in self._check_row(origin, stored, ids):
                        yield self._found(Finding(kind, origin.file, number, id_, message))
                if shard.rows not in (None, number):
                    message = f"it has {number:,} rows, and {CARD} says {shard.rows:,}"
                    yield self._found(Finding("file", str(shard.path), 0, "", message))
            except DataError as error:
                yield self._found(Finding("file", str(shard.path), 0, "", str(error)))
        if before == (self.rows, self.counts.total()):
            raise DataError(f"the data set {path} has no rows")

    def _found(self, finding: Finding) -> Finding:
        self.counts[finding.kind] += 1
        return finding

    def _check_row(
        self, origin: Origin, stored: StoredRow | RowError, ids: dict[str, Origin]
    ) -> Iterator[tuple[str, str]]:
        try:
            if isinstance(stored, RowError):
                raise stored
            row = restore_row(stored)
        except RowError as error:
            yield "row", str(error)
            return
        if (earlier := ids.setdefault(row.id, origin)) is not origin:
            yield "id", f"{earlier.file}:{earlier.line} has this id as well"
        pictures = [self._picture(picture) for picture in row.images]
        for number, picture in enumerate(pictures, 1):
            if picture.error:
                yield "picture", f"image_{number}{_called(row, number)}: {picture.error}"
        try:
            content = row_digest(row, [picture.digest for picture in pictures])
        except RowError as error:
            yield "row", str(error)
            return
        if (earlier := self._contents.setdefault(content, origin)) is not origin:
            yield "duplicate", f"its messages and pictures are those of {earlier.file}:{earlier.line}"
        yield from (("overlap", message) for message in self._overlap(row, pictures))

    def _picture(self, data: EncodedPicture) -> _Picture:
        key = digest(data)
        if key not in self._pictures:  # many rows speak about one picture, which is decoded once
            self._pictures[key] = _look(data, key, bool(self.benchmarks))
        return self._pictures[key]

    def _overlap(self, row: Row, pictures: Sequence[_Picture]) -> Iterator[str]:
        for benchmark in self.benchmarks:
            said = set[str]()
            for number, (stored, picture) in enumerate(zip(row.images, pictures, strict=True), 1):
                reasons, called = list[str](), f"image_{number}{_called(row, number)}"
                found = id_of_path(stored.name)
                if found is not None and (name := benchmark.by_id([found])) is not None:
                    reasons.append(f"has the id of {name}")
                    said.add(name)
                if picture.hash is not None and (near := benchmark.by_hash(picture.hash)) is not None:
                    reasons.append(f"looks like {near[0]} ({near[1]} of 64 bits differ)")
                    said.add(near[0])
                if reasons:
                    yield f"{benchmark.name}: {called} {' and '.join(reasons)}"
            found = id_of_row(row.id, row.source)
            if found is not None and (name := benchmark.by_id([found])) is not None and name not in said:
                yield f"{benchmark.name}: the row's id is that of {name}"


def _look(data: EncodedPicture, key: bytes, hashed: bool) -> _Picture:
    """Decode a picture, and take its perceptual hash where `hashed`."""
    from genllava.images import load_image

    try:
        image = load_image(bytes(data))
    except ImageRejected as error:
        return _Picture(key, error.reason)
    return _Picture(key, hash=perceptual_hash(image) if hashed else None)


def _called(row: Row, number: int) -> str:
    name = row.images[number - 1].name
    return f" ({name})" if name else ""
