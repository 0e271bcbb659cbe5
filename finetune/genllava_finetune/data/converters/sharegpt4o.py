"""ShareGPT-4o-Image: pictures that GPT-4o drew from a prompt, or from a prompt and a picture.

`text_to_image.json` and `text_and_image_to_image.json` are lists of `{"input_prompt", "output_image"}`, the second one
with `input_image` as well, a list of paths. The pictures lie in tar files beside them, which are to be unpacked: paths
are relative to `images`, or to the folder of the lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genllava_finetune.data.converters.drawings import drawing_row
from genllava_finetune.data.converters.edit_turns import edit_rows, edit_turn, open_picture, picture_file, words
from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.records import Converter, Record, Rejected, Source
from genllava_finetune.data.rows import Row

_NAME, _LICENSE = "sharegpt4o_image", "unknown"
_LISTS = ("text_to_image.json", "text_and_image_to_image.json")


def _read(source: Source) -> Iterator[Record]:
    location = Path(source.location)
    files = [location] if location.is_file() else [location / name for name in _LISTS if (location / name).is_file()]
    if not files:
        raise DataError(f"{location} is no list of ShareGPT-4o-Image, and has neither {' nor '.join(_LISTS)}")
    for file in files:
        for origin, values in json_objects(file):
            if isinstance(values, Rejected):
                yield Record(origin, (values,))
            else:
                yield Record(origin, (_result(values, source.images or file.parent),))


def _result(values: dict[str, Any], root: Path) -> Row | Rejected:
    name = values.get("output_image")
    if isinstance(name, list) and len(name) == 1:
        name = name[0]
    id = name if isinstance(name, str) else ""
    try:
        prompt = words(values.get("input_prompt"), "prompt")
        inputs = values.get("input_image")
        if inputs is None or inputs == []:
            return drawing_row(prompt, picture_file(root, name), source=_NAME, license=_LICENSE, name=id)
        if isinstance(inputs, list) and len(inputs) > 1:
            raise RowError(f"an edit is of one picture: the record has {len(inputs)}")
        first = open_picture(inputs[0] if isinstance(inputs, list) else inputs, "input", root)
        turn = edit_turn(id, prompt, first, open_picture(name, "output", root))
        return edit_rows([turn], source=_NAME, license=_LICENSE)[0]
    except RowError as error:
        return Rejected(str(error), id)


CONVERTERS = (
    Converter(_NAME, _LICENSE, "ShareGPT-4o-Image: pictures from a prompt, or from a prompt and a picture.", _read),
)
