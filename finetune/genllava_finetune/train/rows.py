"""The rows of a stage, in the order in which they are trained on, and what is done about those that cannot be read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import IterableDataset

from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.length_grouping import approximate_length
from genllava_finetune.data.mixture import Mixture, MixtureSource
from genllava_finetune.data.mixture_sources import parts as parts_of
from genllava_finetune.data.rows import Row, read_row, row_dict
from genllava_finetune.modeling.collator import Collator
from genllava_finetune.recipes.parts import called
from genllava_finetune.recipes.recipe import Data

_LEAST_SEEN = 100
"""Rows after which the share of rejected ones is looked at."""


def sources_of(data: Sequence[Data]) -> list[MixtureSource]:
    """The data sets of a recipe.

    Raises:
        DataError: one cannot be read.
        InvalidRequest: a function of the recipe is not there, or does not take its options.
    """
    sources = list[MixtureSource]()
    for each in data:
        if each.path is not None:
            sources.append(MixtureSource(each.label, each.weight, path=each.path))
            continue
        rows = called(str(each.rows), f"data.{each.label}.rows", **each.options)
        if not isinstance(rows, Sequence) or isinstance(rows, list):
            rows = [row if isinstance(row, Row) else read_row(row) for row in rows]
        sources.append(MixtureSource(each.label, each.weight, rows=rows))
    return sources


def steps_of(sources: Sequence[MixtureSource], epochs: float, rows_per_step: int) -> int:
    """Steps in which as many rows are seen as all data sets have together, so many times."""
    rows = sum(part.rows for source in sources for part in parts_of(source))
    return math.ceil(rows * epochs / rows_per_step)


class TrainingRows(IterableDataset[dict[str, Any]]):
    """The rows of a mixture without end, each with the seed of its noise; the same in every run.

    Args:
        group_by_length: rows in a batch, which are to be of similar length; None: in any order.
        length: of a row.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
        seed: int,
        epochs: int | None = None,
        *,
        group_by_length: int | None = None,
        length: Callable[[Row], int] = approximate_length,
    ) -> None:
        self.mixture = Mixture(
            sources, seed, epochs=epochs, shuffle=epochs is None, group_by_length=group_by_length, length=length
        )
        self._seed = seed

    def skip_batches(self, batches: int, size: int) -> None:
        """Have the next iteration begin behind so many batches of `size` rows."""
        self.mixture.skip_batches(batches, size)

    def spread(self, count: int) -> list[Row]:
        """Some of the first 1000 rows, evenly."""
        rows = list(islice(self.mixture, 1000))
        count = min(count, len(rows))
        return [rows[index * len(rows) // count] for index in range(count)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        (share, _), skipped = self.mixture.worker_share()
        for index, row in enumerate(self.mixture, skipped):
            yield {**row_dict(row), "seed": hash((self._seed, share, index)) % 2**40}


def measured_length(encoder: Any) -> Callable[[Row], int]:
    """How long rows are for a model, roughly: what it makes of a picture and of a drawing is measured.

    Args:
        encoder: of rows.
    """
    picture, collate = Image.new("RGB", (256, 256)), Collator(encoder)

    def tokens(asked: Sequence[Any], said: Sequence[Any], images: int) -> int:
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        row = {"messages": messages, "images": [picture] * images, "source": "length", "license": "", "id": "length"}
        return int(collate([row])["attention_mask"].sum())

    text, words = {"type": "text", "text": "a"}, {"type": "text", "text": "a"}
    plain = tokens([text], [words], 0)
    shown = tokens([{"type": "image"}, text], [words], 1)
    drawn = tokens([text], [{"type": "draw", "prompt": "a", "image": 0}, words], 1)  # not the last: it is shown
    return partial(approximate_length, per_picture=shown - plain, per_drawing=drawn - plain)


class Batches:
    """Makes batches of rows; those that cannot be encoded are listed and left out.

    Args:
        listed: file to which the rejected rows are added, a JSON object a line.
        most: share of the rows that may be rejected.
        options: of `Collator`.
    """

    def __init__(self, encoder: Any, listed: Path, most: float, **options: Any) -> None:
        self._collate = Collator(encoder, on_rejected=self._reject, **options)
        self._listed, self._most = listed, most
        self._seen = self._rejected = 0
        self._last: Mapping[str, Any] | None = None

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch; that of the last row that was encoded, where no row of this one can be.

        Raises:
            DataError: too many were rejected.
        """
        self._seen += len(rows)
        before = self._rejected
        try:
            batch = self._collate(rows)
        except RowError as error:
            if self._last is None:
                raise DataError(f"no row of the first batch can be encoded: see {self._listed}") from error
            return self._collate([self._last])
        if self._rejected == before:
            self._last = rows[-1]
        return batch

    def _reject(self, row: Mapping[str, Any], error: RowError) -> None:
        self._rejected += 1
        with self._listed.open("a", encoding="utf-8") as file:
            value = {"source": row.get("source"), "id": row.get("id"), "reason": str(error)}
            file.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        if self._seen >= _LEAST_SEEN and self._rejected > self._most * self._seen:
            raise DataError(
                f"{self._rejected} of {self._seen} rows could not be encoded, more than rejected_share "
                f"({self._most:g}) allows: see {self._listed}"
            )
