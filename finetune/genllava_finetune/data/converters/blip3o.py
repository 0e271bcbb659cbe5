"""BLIP3o-60k: prompts and the pictures that GPT-4o and others drew from them, in WebDataset tars (`jpg` and `txt`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genllava_finetune.data.converters.caption_tars import tar_captions
from genllava_finetune.data.converters.drawings import drawing_row
from genllava_finetune.data.converters.edit_turns import words
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.records import Converter, Record, Rejected, Source

_NAME, _LICENSE = "blip3o", "unknown"


def _read(source: Source) -> Iterator[Record]:
    for origin, sample, id in tar_captions(Path(source.location)):
        if isinstance(sample, Rejected):
            yield Record(origin, (sample,))
            continue
        try:
            picture, prompt, name = sample()
            row = drawing_row(words(prompt, "prompt"), picture, source=_NAME, license=_LICENSE, name=name)
        except RowError as error:
            yield Record(origin, (Rejected(str(error), id),))
        else:
            yield Record(origin, (row,))


CONVERTERS = (Converter(_NAME, _LICENSE, "BLIP3o-60k: its tars of prompts and pictures.", _read),)
