"""Pictures of benchmarks, and whether a training picture is among them: by id, and by looks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genllava.errors import ImageRejected
from genllava.images import load_image
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.fingerprints import NearHashes, perceptual_hash
from genllava_finetune.data.image_ids import ImageId, id_of_line, id_of_path, id_of_row
from genllava_finetune.data.stored_rows import restore_row
from genllava_finetune.data.storing import find_shards, read_shard

PICTURE_ENDINGS: Final = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}


@dataclass(frozen=True, slots=True)
class BenchmarkPicture:
    """A picture of a benchmark.

    Attributes:
        name: how it is called in a finding: its file, line, or row.
        ids: that it goes by.
        hash: its perceptual hash; None where only its id is known.
    """

    name: str
    ids: tuple[ImageId, ...]
    hash: int | None = None


class Benchmark:
    """The pictures of a benchmark, indexed by id and by perceptual hash."""

    def __init__(self, name: str, pictures: Iterable[BenchmarkPicture], distance: int) -> None:
        """Index pictures.

        Args:
            distance: bits, of 64, in which the perceptual hashes of copies differ at most.
        """
        self.name = name
        self._ids: defaultdict[str, list[tuple[ImageId, str]]] = defaultdict(list)
        hashes, self._hashed, self.size = list[int](), list[str](), 0
        for picture in pictures:
            self.size += 1
            for one in picture.ids:
                self._ids[one.key].append((one, picture.name))
            if picture.hash is not None:
                hashes.append(picture.hash)
                self._hashed.append(picture.name)
        self._near = NearHashes(hashes, distance)

    def by_id(self, ids: Iterable[ImageId]) -> str | None:
        """The name of a picture that has one of the ids."""
        return next((name for one in ids for other, name in self._ids.get(one.key, ()) if one.same(other)), None)

    def by_hash(self, value: int) -> tuple[str, int] | None:
        """The name of the picture that looks most like it, and in how many bits their hashes differ."""
        near = self._near.near(value)
        return (self._hashed[near[0][0]], near[0][1]) if near else None


def listed_pictures(path: Path) -> list[BenchmarkPicture]:
    """The pictures that a text file names, an id or a file name a line; blank lines and those from `#` are left out.

    Raises:
        DataError: it is no text, or names nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no list of ids, one a line: {error}") from None
    found = [
        BenchmarkPicture(f"line {number}, {line.strip():.100}", (id_of_line(line),))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise DataError(f"{path} names no picture: write an id or a file name on each line")
    return found


def picture_files(folder: Path) -> list[Path]:
    """The picture files below a folder, by their endings, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS and path.is_file())


def folder_pictures(folder: Path, files: Sequence[Path]) -> Iterator[BenchmarkPicture]:
    """The pictures of files below a folder, by id and by hash.

    Raises:
        DataError: one cannot be decoded.
    """
    for path in files:
        name = path.relative_to(folder).as_posix()
        yield _known(path, name, [id_of_path(f"{folder.name}/{name}")], str(path))


def row_pictures(shards: Iterable[Path]) -> Iterator[BenchmarkPicture]:
    """The pictures of a data set in our format, by id and by hash.

    Raises:
        DataError: a file is damaged, a row is not valid, or a picture of it cannot be read.
    """
    for shard in shards:
        for number, stored in enumerate(read_shard(shard), 1):
            place = f"{shard.name}:{number}"
            if isinstance(stored, RowError):
                raise stored
            row = restore_row(stored)
            for data in row.images:
                yield _known(bytes(data), place, [id_of_row(row.id, row.source), id_of_path(data.name)], place)


def load_benchmark(path: Path, distance: int) -> Benchmark:
    """The benchmark at a path: a data set in our format, a folder of pictures, or a text file with ids.

    Args:
        distance: as for `Benchmark`.

    Raises:
        DataError: it is none of these, or cannot be read.
    """
    if path.is_file() and path.suffix not in (".parquet", ".tar"):
        return Benchmark(str(path), listed_pictures(path), distance)
    files = picture_files(path) if path.is_dir() else []
    if files:
        return Benchmark(str(path), folder_pictures(path, files), distance)
    try:
        shards = [shard.path for shard in find_shards(path)]
    except DataError:
        what = "a data set, a folder of pictures, or a text file with an id a line"
        raise DataError(f"there is no benchmark at {path}, which would be {what}") from None
    return Benchmark(str(path), row_pictures(shards), distance)


def _known(source: Path | bytes, name: str, ids: Iterable[ImageId | None], place: str) -> BenchmarkPicture:
    try:
        image = load_image(source)
    except ImageRejected as error:
        raise DataError(f"the benchmark's picture {place} cannot be read: {error.reason}") from None
    return BenchmarkPicture(name, tuple(one for one in ids if one is not None), perceptual_hash(image))
