"""From rows to a batch: the processor's tensors, labels, visual queries, and the pictures that are to be drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from genllava.errors import ImageRejected, InvalidRequest
from genllava.protocols.task_tokens import EOI
from genllava.vision_language.reading import Prompt
from genllava_finetune.data.errors import RowError
from genllava_finetune.modeling.encoding import IGNORE, Drawing, Example, RowEncoder

if TYPE_CHECKING:
    from genllava_finetune.modeling.model import AuxiliaryLoss

_LOG: Final = logging.getLogger(__name__)
_EDGE: Final = 2
"""Tokens beside a picture that a tokenizer may join with what stands in the picture's place."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A conversation in tokens, as the model reads it.

    Attributes:
        labels: of each token; `IGNORE` where nothing is learnt.
        queries: places of all visual queries.
    """

    labels: list[int]
    queries: list[int]


class Collator:
    """Makes batches, on the CPU; it can work in the processes of a data loader.

    Args:
        encoder: of rows, or one of a world, with `encode`, `vision_language` and `queries`.
        resolution: side of the pictures that the decoder draws, in pixels; None: their pixels are not needed.
        max_length: tokens of a conversation, pictures included; None: what the model reads at most.
        auxiliaries: by their names; their entries are `name.entry`.
        reads: whether the language model reads; if not, a batch has the drawings alone.
        on_rejected: told of each row that is left out, and why; None: such a row is an error.
    """

    def __init__(
        self,
        encoder: RowEncoder,
        *,
        resolution: int | None = None,
        max_length: int | None = None,
        auxiliaries: Mapping[str, AuxiliaryLoss] | None = None,
        reads: bool = True,
        on_rejected: Callable[[Mapping[str, Any], RowError], None] | None = None,
    ) -> None:
        self.encoder, self.resolution, self.on_rejected = encoder, resolution, on_rejected
        self.vision_language = encoder.vision_language
        self.max_length = max_length or self.vision_language.max_length
        self.auxiliaries = dict(auxiliaries or {})
        self.reads = reads

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A batch of B rows with D drawings, E of them edits; what there is none of is left out.

        Returns:
            The processor's tensors (`input_ids` [B, L], padded on the right, `attention_mask`, `pixel_values`, ...);
            `labels` [B, L], each the token that follows on what is before it, and not always the one in the text: an
            answer's end is learnt also where the chat template does not write it;
            `query_positions` [D, N], places in the flattened `input_ids`; `plans`, D texts; `edited` [D] bool;
            `target_pixels` [D, 3, R, R] and `source_pixels` [E, 3, R, R] in -1..1, or `target_latents` and
            `source_latents` [., c, h, w] where the rows have them; `original_sizes`, `crops` [D, 2] height and width of
            the pictures, and where the square begins in them, once scaled; `seeds` [D] where the rows have seeds.

        Raises:
            RowError: no row is left, or one is wrong and there is no `on_rejected`.
        """
        kept = list[tuple[Mapping[str, Any], Example]]()
        for row in rows:
            try:
                kept.append((row, self.encoder.encode(row)))
            except RowError as error:
                self._reject(row, error)
        if not self.reads:
            drawings = self._drawings([example for _, example in kept], None, 0)
            if not drawings:
                raise RowError(
                    "no row of the batch has a drawing, and nothing else is learnt here: give rows that have"
                )
            return drawings
        tensors, read = self._tokens(kept)
        while any(each is None for each in read):
            kept = [pair for pair, each in zip(kept, read, strict=True) if each is not None]
            tensors, read = self._tokens(kept)
        examples = [example for _, example in kept]
        batch: dict[str, Any] = dict(tensors)
        length = batch["input_ids"].shape[1]
        found = [each for each in read if each is not None]
        batch["labels"] = torch.tensor([each.labels + [IGNORE] * (length - len(each.labels)) for each in found])
        batch |= self._drawings(examples, [each.queries for each in found], length)
        for name, auxiliary in self.auxiliaries.items():
            entries = auxiliary.collate([row for row, _ in kept], examples)
            batch |= {f"{name}.{key}": value for key, value in entries.items()}
        return batch

    def _reject(self, row: Mapping[str, Any], error: RowError) -> None:
        if self.on_rejected is None:
            raise error
        self.on_rejected(row, error)

    def _tokens(
        self, pairs: Sequence[tuple[Mapping[str, Any], Example]]
    ) -> tuple[Mapping[str, Any], list[_Read | None]]:
        """The processor's tensors, and what is learnt of each row; None for a row that is rejected."""
        if not pairs:
            raise RowError("no row of the batch is left: see what was rejected before")
        examples = [example for _, example in pairs]
        if examples[0].input_ids is not None:
            tensors: Mapping[str, Any] = self._ready_made(examples)
        else:
            prompts = [Prompt(example.text, list(example.pictures)) for example in examples]
            try:
                tensors = self.vision_language.reader.process(prompts, padding_side="right")
            except (ImageRejected, InvalidRequest) as error:
                if len(pairs) == 1:
                    self._reject(pairs[0][0], RowError(str(error)))
                    return {}, [None]
                return {}, [self._tokens([pair])[1][0] for pair in pairs]  # which one it was
        read = list[_Read | None]()
        lengths = tensors["attention_mask"].sum(1).tolist()
        for (row, example), ids, length in zip(pairs, tensors["input_ids"].tolist(), lengths, strict=True):
            try:
                if self.max_length is not None and length > self.max_length:
                    raise RowError(f"{example.row_id}: it has {length} tokens, of at most {self.max_length}")
                read.append(self._learnt(example, ids[:length]))
            except RowError as error:
                self._reject(row, error)
                read.append(None)
        return tensors, read

    def _ready_made(self, examples: Sequence[Example]) -> dict[str, Any]:
        tokenizer = self.vision_language.tokenizer
        ids = [torch.tensor(example.input_ids) for example in examples]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_token_id)
        lengths = torch.tensor([len(each) for each in ids])
        tensors = {"input_ids": padded, "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long()}
        if pictures := [picture for example in examples for picture in example.pictures]:
            tensors |= self.vision_language.processor.image_processor(images=pictures, return_tensors="pt")
        return tensors

    def _learnt(self, example: Example, ids: list[int]) -> _Read:
        """Labels of a row's tokens."""
        tokenizer = self.vision_language.tokenizer
        query_ids = set(tokenizer.convert_tokens_to_ids(self.encoder.queries))
        queries = [place for place, token in enumerate(ids) if token in query_ids]
        if len(queries) != len(self.encoder.queries) * len(example.drawings):
            raise RowError(f"{example.row_id}: {len(queries)} visual queries for {len(example.drawings)} drawings")
        if example.labels is not None:
            return _Read(list(example.labels), queries)
        labels = [IGNORE] * len(ids)
        end = int(tokenizer.convert_tokens_to_ids(self.vision_language.end_token))
        unsaid = query_ids | {int(tokenizer.convert_tokens_to_ids(EOI))}
        for first, last, learnt in self._places(example, ids):
            if learnt:
                labels[first:last] = [IGNORE if token in unsaid else token for token in ids[first:last]]
                labels[last] = end
        return _Read(labels, queries)

    def _places(self, example: Example, ids: list[int]) -> list[tuple[int, int, bool]]:
        """Where the assistant's messages stand among the tokens: first, last + 1, and whether they are learnt."""
        reader = self.vision_language.reader
        bare = reader.tokens(example.text)
        spans = list[tuple[int, int, bool]]()
        for span in example.spans:
            before, through = (reader.tokens(example.text[:place]) for place in (span.start, span.end))
            if bare[: len(before)] == before and bare[: len(through)] == through:
                spans.append((len(before), len(through), span.learnt))
            elif span.start < span.end:
                raise RowError(f"{example.row_id}: what the assistant says does not begin and end at a token")
            elif span.learnt:  # the template has words of its own in the place of the end
                _LOG.warning("%s: the end of a message without words is not learnt", example.row_id)
        names = set(self.vision_language.template.media) - {self.vision_language.end_token}
        media = set(self.vision_language.tokenizer.convert_tokens_to_ids(sorted(names)))
        edges = [-1, *(place for place, token in enumerate(bare) if token in media), len(bare)]
        moved = list[tuple[int, int, bool]]()
        reached = 0
        for left, right in pairwise(edges):
            inside = [span for span in spans if left < span[0] and span[1] < right]
            if not inside:
                continue
            start = left + 1 if left < 0 else min(left + 1 + _EDGE, inside[0][0])
            core = bare[start : inside[-1][1] + 1]
            reached = _find(core, ids, reached)
            if reached < 0:
                raise RowError(f"{example.row_id}: what the assistant says is not found among the processor's tokens")
            moved += [(first - start + reached, last - start + reached, learnt) for first, last, learnt in inside]
            reached += len(core)
        if len(moved) != len(spans):
            raise RowError(f"{example.row_id}: there is a picture in what the assistant says")
        return moved

    def _drawings(
        self, examples: Sequence[Example], queries: Sequence[list[int]] | None, length: int
    ) -> dict[str, Any]:
        """What is to be drawn; `queries`: places of the visual queries in each example, None if they are not read."""
        count = len(self.encoder.queries) if queries is not None else 0
        chosen, places, seeds = list[Drawing](), list[list[int]](), list[int]()
        for row, (example, found) in enumerate(zip(examples, queries or [[]] * len(examples), strict=True)):
            for number, drawing in enumerate(example.drawings):
                if drawing.learnt:
                    chosen.append(drawing)
                    places.append([row * length + place for place in found[number * count : (number + 1) * count]])
                    seeds.append(-1 if example.seed is None else example.seed * 1009 + number)
        if not chosen:
            return {}
        batch: dict[str, Any] = {"plans": [drawing.plan for drawing in chosen]}
        batch["edited"] = torch.tensor([drawing.source is not None for drawing in chosen])
        if count:
            batch["query_positions"] = torch.tensor(places)
        if min(seeds) >= 0:
            batch["seeds"] = torch.tensor(seeds)
        if self.resolution is not None:
            edits = [drawing.source for drawing in chosen if drawing.source is not None]
            batch |= _pictures("target", [drawing.target for drawing in chosen], self.resolution)
            batch |= _pictures("source", edits, self.resolution) if edits else {}
            sizes = [_size(drawing.target, self.resolution) for drawing in chosen]
            batch["original_sizes"] = torch.tensor([size for size, _ in sizes])
            batch["crops"] = torch.tensor([crop for _, crop in sizes])
        return batch


def to_pixels(pictures: Sequence[Image.Image], resolution: int) -> Tensor:
    """[D, 3, R, R] in -1..1: pictures scaled to the square and cut off evenly around it."""
    square = (resolution, resolution)
    arrays = [np.asarray(ImageOps.fit(each.convert("RGB"), square, Image.Resampling.LANCZOS)) for each in pictures]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def _pictures(name: str, given: Sequence[Any], resolution: int) -> dict[str, Tensor]:
    if all(isinstance(each, Tensor) for each in given):
        return {f"{name}_latents": torch.stack(list(given))}
    if any(isinstance(each, Tensor) for each in given):
        raise RowError("some rows of the batch have latents, and some have not: cache those of all, or of none")
    return {f"{name}_pixels": to_pixels(given, resolution)}


def _size(picture: Any, resolution: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of a picture, and where the square begins in it once it is scaled: top and left."""
    if isinstance(picture, Tensor):
        return (resolution, resolution), (0, 0)
    scale = resolution / min(picture.size)
    crop = (int((picture.height * scale - resolution) / 2), int((picture.width * scale - resolution) / 2))
    return (picture.height, picture.width), crop


def _find(part: list[int], whole: list[int], start: int) -> int:
    """Where `part` first stands in `whole` from `start`; -1 if nowhere."""
    for place in range(start, len(whole) - len(part) + 1):
        if whole[place : place + len(part)] == part:
            return place
    return -1
