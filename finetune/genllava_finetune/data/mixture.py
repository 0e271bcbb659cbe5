"""Rows of several data sets in shares that weights give, through `datasets.interleave_datasets`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from genllava.errors import InvalidRequest
from genllava_finetune.data.encoded_pictures import EncodedPicture
from genllava_finetune.data.length_grouping import BATCHES_IN_WINDOW, approximate_length, grouped_order
from genllava_finetune.data.mixture_sources import MixtureSource, Reader, example_features, examples, parts, pieces
from genllava_finetune.data.rows import Row
from genllava_finetune.data.stored_rows import StoredRow, restore_row

Stopping = Literal["first_exhausted", "all_exhausted", "all_exhausted_without_replacement"]
_log = logging.getLogger(__name__)
_MOST_WORKERS = 128
_LOG_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class _Skip:
    """Batches of a data loader that an earlier run has had."""

    batches: int
    batch_size: int

    def rows(self, worker: int, workers: int) -> int:
        """How many rows of a worker are in them: workers give their batches in turn."""
        return len(range(worker, self.batches, workers)) * self.batch_size


class Mixture(IterableDataset[Row]):
    """An iterable data set of rows for a `DataLoader`, with or without workers.

    Which source gives the next row is drawn with probabilities that are the weights. The same arguments give the same
    rows in the same order, for the same number of ranks and workers.

    An epoch ends as `stopping` says (that of `datasets.interleave_datasets`):

    * `first_exhausted`: as soon as one source is at its end; the shares are those of the weights.
    * `all_exhausted`: when each source was at its end once; small ones begin again meanwhile, and the shares are those
      of the weights.
    * `all_exhausted_without_replacement`: when each row was there once; the shares are those of the weights until a
      source is at its end, and of the whole epoch those of the sizes.

    **Resuming is exact** in each of these ways, and the rows are those that an uninterrupted run would have had:

    * `state_dict` and `load_state_dict`, where the rows are read in this process (no workers), or by torchdata's
      `StatefulDataLoader`, which calls them in its workers;
    * `skip_batches`, with any number of workers, which reads the rows and drops them before a picture is decoded. A
      worker must not have come to its end within the epoch: with `epochs=None` none does.

    It is not exact when the number of workers, ranks or rows in a batch, or a source has changed.

    Each worker of each rank reads other files of a source; where a source has fewer files than there are workers, all
    of them read its files and take other rows. Each draws for itself which source is next. Within an epoch workers and
    ranks have different numbers of rows: use `epochs=None` where ranks must keep step.

    Attributes:
        epoch: the epoch that iteration begins with; each has an order of its own.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
        seed: int = 0,
        *,
        stopping: Stopping = "all_exhausted",
        shuffle: bool = True,
        epochs: int | None = 1,
        rank: int = 0,
        world_size: int = 1,
        group_by_length: int | None = None,
        length: Callable[[Row], int] = approximate_length,
    ) -> None:
        """Look into the sources.

        Args:
            sources: of the rows.
            seed: of the order.
            stopping: when an epoch ends.
            shuffle: read the files in another order in each epoch, and the rows of each, for which one file is in
                memory at a time. Else the rows of a source come in their order.
            epochs: how many one iteration gives; None goes on for ever.
            rank: of this process among `world_size`, each of which has other rows.
            group_by_length: rows in a batch; windows of 50 batches are read, and rows of similar length come in runs of
                a batch (see `length_grouping`). None leaves the rows in their order.
            length: of a row, where they are grouped.

        Raises:
            InvalidRequest: there is no source, one has no rows, or a weight is not above 0.
            DataError: a source cannot be read.
        """
        if not sources or len({source.name for source in sources}) < len(sources):
            raise InvalidRequest("a mixture needs sources with a name each")
        self._parts = [parts(source) for source in sources]
        self._sources, self._seed, self._stopping = tuple(sources), seed, stopping
        self._group, self._length = group_by_length, length
        self._shuffle, self._epochs, self._rank, self._world_size = shuffle, epochs, rank, world_size
        self.epoch = 0
        self._state: Mapping[str, Any] | None = None
        self._skip: _Skip | None = None
        self._place: Mapping[str, Any] | None = None
        self._counts = torch.zeros(_MOST_WORKERS, len(self._sources), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __iter__(self) -> Iterator[Row]:
        """The rows, from where a state or skipped batches left off."""
        state, self._state = self._state, None
        (worker, workers), left = self.worker_share()
        self._skip = None
        epoch = self.epoch if state is None else int(state["epoch"])
        while self._epochs is None or epoch < self.epoch + self._epochs:
            nothing = state is None
            for row in self._epoch_rows(epoch, worker, workers, state):
                nothing = False
                if left:
                    left -= 1
                else:
                    yield row()
            if nothing:  # a worker that has no rows must not wait for them for ever
                return
            _log.info("epoch %d of the mixture: %s", epoch, self._shares_in_words())
            epoch, state = epoch + 1, None

    def _epoch_rows(
        self, epoch: int, worker: int, workers: int, state: Mapping[str, Any] | None
    ) -> Iterator[Callable[[], Row]]:
        """What makes the rows of one worker in an epoch; by windows of one row, or of those that are grouped."""
        dataset = self._dataset(epoch, worker, workers)
        window, given = 0, 0
        if state is not None:
            dataset.load_state_dict(state["dataset"])
            window, given = state["window"], state["given"]
        stream = dataset.iter(batch_size=1)  # its `__iter__` would give a worker a part of what is its part
        while True:
            before = dataset.state_dict() if state is None or window > state["window"] else state["dataset"]
            size = 1 if self._group is None else self._group * BATCHES_IN_WINDOW
            held = [{name: values[0] for name, values in batch.items()} for batch in islice(stream, size)]
            if not held:
                return
            rows: list[Callable[[], Row]] = [cache(partial(self._row, example)) for example in held]
            order = list(range(len(rows)))
            if self._group is not None:
                seeds = (self._seed, epoch, self._rank * workers + worker, window)
                order = grouped_order([self._length(row()) for row in rows], self._group, seeds)
            for place, index in enumerate(order):
                if place >= given:
                    self._count(worker, held[index]["source"])
                    self._place = {"epoch": epoch, "dataset": before, "window": window, "given": place + 1}
                    yield rows[index]
            window, given = window + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Begin the next iteration with this epoch, as trainers call it."""
        self.epoch = epoch

    def skip_batches(self, batches: int, batch_size: int) -> None:
        """Have the next iteration begin behind so many batches of a `DataLoader`, counted over all of its workers."""
        self._skip = _Skip(batches, batch_size)

    def worker_share(self) -> tuple[tuple[int, int], int]:
        """What the next iteration reads in this process: the number of its share and how many shares there are, one
        for each worker of a `DataLoader`; and how many rows of that share it skips."""
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if self._skip is None:
            return (worker, workers), 0
        worker = (worker + self._skip.batches) % workers  # a loader asks its worker 0 first
        return (worker, workers), self._skip.rows(worker, workers)

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration in this process is; plain numbers, texts, lists and dictionaries."""
        first = {"epoch": self.epoch, "window": 0, "given": 0}
        place = self._place or {**first, "dataset": self._dataset(self.epoch, 0, 1).state_dict()}
        return {**place, "counts": self._counts.sum(0).tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next iteration go on behind the last row of the one that the state is of."""
        self._state, self._place = state, None
        self._counts.zero_()
        self._counts[0] = torch.tensor(state["counts"])

    def realised_shares(self) -> dict[str, float]:
        """The share of each source, by name, in the rows so far, those included that workers have read ahead."""
        counts = self._counts.sum(0)
        return dict(zip(self.names, (counts / counts.sum().clamp(min=1)).tolist(), strict=True))

    @property
    def names(self) -> list[str]:
        """Of the sources."""
        return [source.name for source in self._sources]

    @property
    def weights(self) -> dict[str, float]:
        """Of the sources by name, with the sum 1."""
        total = sum(source.weight for source in self._sources)
        return {source.name: source.weight / total for source in self._sources}

    def _dataset(self, epoch: int, worker: int, workers: int) -> Any:
        """The `datasets.IterableDataset` that one worker of this rank reads in an epoch."""
        from datasets import DatasetInfo, interleave_datasets
        from datasets import IterableDataset as Stream
        from datasets.iterable_dataset import ExamplesIterable

        index, of = self._rank * workers + worker, self._world_size * workers
        info, streams = DatasetInfo(features=example_features()), list[Any]()
        for number, (source, known) in enumerate(zip(self._sources, self._parts, strict=True)):
            found = pieces(known, source.repeat, (self._seed, epoch, number) if self._shuffle else None)
            files = len(known) >= of  # each reads files of its own, or else all read all and take rows in turn
            reader = Reader(number, source.rows, (0, 1) if files else (index, of), self._group is None)
            arguments = {"reader": reader, "pieces": found[index::of] if files else found}
            streams.append(Stream(ExamplesIterable(examples, arguments), info=info))
        return interleave_datasets(
            streams,
            probabilities=list(self.weights.values()),
            seed=np.random.SeedSequence([self._seed, epoch, index]),
            stopping_strategy=self._stopping,
        )

    def _row(self, example: Mapping[str, Any]) -> Row:
        held = self._sources[example["source"]].rows
        if held is not None and example["row"] >= 0:
            made: Row = held[example["row"]]
            return made
        images = tuple(EncodedPicture(each["data"], each["name"]) for each in example["images"])
        return restore_row(StoredRow(json.loads(example["values"]), images))

    def _count(self, worker: int, source: int) -> None:
        counts = self._counts[worker % _MOST_WORKERS]
        counts[source] += 1
        if int(counts.sum()) % _LOG_EVERY == 0:
            _log.info("the mixture: %s", self._shares_in_words())

    def _shares_in_words(self) -> str:
        shares, weights = self.realised_shares(), self.weights
        return ", ".join(f"{name} {share:.2%} (weight {weights[name]:.2%})" for name, share in shares.items())


__all__ = ["Mixture", "MixtureSource", "Stopping"]
