"""MM-Instruct: instructions of many kinds on pictures of SA-1B and DataComp, which are not in the data set.

`train.json` is in LLaVA's layout. `test.json`, which has a JSON object on each line, is the benchmark: its instructions
have no answers that could be learned, so they give no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.converters.llava import llava_row, value_record, written_id
from genllava_finetune.data.records import Converter, Record, Rejected, Source

_NAME, _LICENSE = "mm_instruct", "CC-BY-4.0"


def _read(source: Source) -> Iterator[Record]:
    convert = partial(llava_row, source=source, name=_NAME, license=_LICENSE)
    for origin, value in json_objects(Path(source.location)):
        if not isinstance(value, Rejected) and "conversations" not in value and "question_id" in value:
            reason = "it is an instruction of the benchmark, which has no answer to learn"
            yield Record(origin, (Rejected(reason, written_id(value, "question_id")),))
        else:
            yield value_record(origin, value, convert)


CONVERTERS: tuple[Converter, ...] = (
    Converter(_NAME, _LICENSE, "MM-Instruct: 234K instructions beyond questions, LLaVA JSON (train.json)", _read),
)
