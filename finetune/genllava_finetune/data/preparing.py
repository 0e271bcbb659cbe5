"""Converting a public data set into stored rows, so that it can be stopped anywhere and gone on with.

The state on the disk says how many records of the source stand in finished shards. It is replaced after each shard;
what came after it is done again, so that no row is lost, doubled or in another place.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout

from genllava.errors import InvalidRequest
from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.preparation_state import Progress, SeenIds, read_state, write_state
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rejects import Rejects
from genllava_finetune.data.rows import Row
from genllava_finetune.data.stored_rows import StoredRow, store_row
from genllava_finetune.data.storing import CARD, UNFINISHED, Card, Format, ShardWriter, read_card

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD: Final = 4
"""Records for each thread that are read ahead, while pictures are checked."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a data set.

    Attributes:
        card: what its `dataset.json` says.
        before: whether it was finished before, and nothing was done now.
    """

    card: Card
    before: bool


def prepare(
    converter: Converter,
    source: Source,
    output: Path,
    *,
    format: Format = "parquet",
    limit: int | None = None,
    license: str | None = None,
    shard_rows: int = 1000,
    threads: int | None = None,
    progress: Callable[[int, int, int], None] = lambda records, rows, rejected: None,
) -> Prepared:
    """Convert a data set into rows in a folder, or go on where an earlier call with the same arguments ended.

    Pictures are stored as the bytes of their files after they were decoded once to see that they are whole. Records
    that give no row, and rows whose id there was before, are listed in `rejects.jsonl`.

    Args:
        converter: of its kind.
        source: where it lies.
        output: the folder; what else lies in it must be of the same preparation.
        format: of the files.
        limit: rows at most.
        license: of the rows, in place of the one that the converter gives.
        shard_rows: rows in a file, of which it has a few more where a record gives several.
        threads: that read and check pictures. Default: one for each processor.
        progress: called after each record with the numbers of records, rows and rejects so far.

    Raises:
        InvalidRequest: an argument is impossible, or the folder has other things in it.
        DataError: the source cannot be read, or the output not written. Finished shards are kept.
    """
    if shard_rows < 1 or (limit is not None and limit < 1):
        raise InvalidRequest("the limit and the number of rows in a file are at least 1")
    options = _options(converter, source, format=format, limit=limit, license=license, shard_rows=shard_rows)
    with _disk_errors(output):
        output.mkdir(parents=True, exist_ok=True)
        if not (output / UNFINISHED).exists() and any(output.iterdir()):
            raise InvalidRequest(f"{output} is not empty, and nothing was prepared there: name another folder")
        (output / UNFINISHED).mkdir(exist_ok=True)
        try:
            with FileLock(output / UNFINISHED / "lock", timeout=0):
                state = read_state(output, options)
                if state.finished:
                    return Prepared(read_card(output), before=True)
                _Preparation(converter, source, output, state, progress).run(threads or os.cpu_count() or 1)
                return Prepared(read_card(output), before=False)
        except Timeout:
            raise InvalidRequest(f"another process is preparing {output}") from None


class _Preparation:
    """One run of it."""

    def __init__(
        self,
        converter: Converter,
        source: Source,
        output: Path,
        state: Progress,
        progress: Callable[[int, int, int], None],
    ) -> None:
        self._converter, self._source, self._output, self._state = converter, source, output, state
        self._progress = progress
        self._options = state.options
        self._license: str | None = state.options["license"]
        self._records, self._rows = state.records, state.rows
        self._shards = list(state.shards)
        self._shard: ShardWriter | None = None

    def run(self, threads: int) -> None:
        """Convert all that is left."""
        limit, shard_rows = self._options["limit"], self._options["shard_rows"]
        with ExitStack() as stack:
            self._rejects = Rejects(self._output, self._state.rejects_size, self._state.rejected)
            stack.callback(self._rejects.close)
            self._ids = SeenIds(self._output, self._state.rows)
            stack.callback(self._ids.close)
            stack.callback(self._discard)
            records = islice(self._converter.read(self._source), self._records, None)
            for origin, results in _in_threads(self._stored, records, threads):
                self._records += 1
                for result in results:
                    if limit is None or self._rows < limit:
                        self._add(origin, result)
                self._progress(self._records, self._rows, self._rejects.counts.total())
                if self._shard is not None and self._shard.rows >= shard_rows:
                    self._save()
                if self._rows == limit:
                    break
            self._save(finished=True)

    def _stored(self, record: Record) -> tuple[Origin, list[StoredRow | Rejected]]:
        results = list[StoredRow | Rejected]()
        for result in record.results:
            if isinstance(result, Row):
                try:
                    if self._license is not None:
                        result = result.model_copy(update={"license": self._license})
                    results.append(store_row(result, self._root()))
                except RowError as error:
                    results.append(Rejected(str(error), result.id))
            else:
                results.append(result)
        return record.origin, results

    def _root(self) -> Path | None:
        """The folder that the names of pictures are relative to."""
        if self._source.images is not None:
            return self._source.images
        location = Path(self._source.location)
        return location if location.is_dir() else None

    def _add(self, origin: Origin, result: StoredRow | Rejected) -> None:
        if isinstance(result, Rejected):
            self._rejects.add(origin, result)
        elif not self._ids.add(result.values["id"]):
            self._rejects.add(origin, Rejected("there was a row with this id before", result.values["id"]))
        else:
            if self._shard is None:
                self._shard = ShardWriter(self._output, self._options["format"], len(self._shards), self._rows)
            self._shard.add(result)
            self._rows += 1

    def _save(self, finished: bool = False) -> None:
        """Finish the shard, and write down how far all is."""
        if self._shard is not None:
            self._shards.append(self._shard.close())
            self._shard = None
        self._ids.save()
        state = Progress(
            options=self._options,
            records=self._records,
            rows=self._rows,
            shards=tuple(self._shards),
            rejects_size=self._rejects.save(),
            rejected=dict(self._rejects.counts),
            finished=finished,
        )
        if finished:
            card = Card(
                kind=self._converter.name,
                location=self._source.location,
                license=self._license or self._converter.license,
                format=self._options["format"],
                rows=state.rows,
                rejected=state.rejected,
                shards=state.shards,
            )
            with whole_file(self._output / CARD) as file:
                file.write(card.model_dump_json(indent=2).encode() + b"\n")
        write_state(self._output, state)

    def _discard(self) -> None:
        if self._shard is not None:
            self._shard.discard()


def _options(converter: Converter, source: Source, **options: Any) -> dict[str, Any]:
    """What must be the same when a preparation goes on; of a single file also its size and time."""
    location = Path(source.location)
    found = location.resolve() if location.exists() else None
    state = found.stat() if found is not None and found.is_file() else None
    images = None if source.images is None else str(source.images.resolve())
    return {
        "kind": converter.name,
        "from": str(found or source.location),
        "source file": state and [state.st_size, state.st_mtime_ns],
        "images": images,
        **options,
    }


def _in_threads(work: Callable[[_Item], _Result], items: Iterator[_Item], threads: int) -> Iterator[_Result]:
    """`map` in threads, a few items ahead."""
    waiting = deque[Future[_Result]]()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    """What the disk refuses, as a `DataError`."""
    try:
        yield
    except OSError as error:
        says = f"{error.filename or output}: {error.strerror or error}"
        raise DataError(f"{says}. Finished files are kept, and the same command goes on behind them") from error
