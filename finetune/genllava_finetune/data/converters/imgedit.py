"""ImgEdit: single edits and sessions of several, as tables or JSON that name pictures.

A single edit is `{"input_images": [path], "output_images": [path], "prompt"}`; a session is `{"data": [edit, ...]}`
and becomes one conversation, in which an edit may go back to any earlier picture. The pictures lie in tar files beside
the tables, which are to be unpacked: paths are relative to `images`, or to the folder of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genllava_finetune.data.converters.edit_turns import Turn, edit_rows, edit_turn, open_picture
from genllava_finetune.data.converters.hub_tables import table_rows
from genllava_finetune.data.converters.json_records import json_objects
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row

_NAME, _LICENSE = "imgedit", "unknown"


def _read(source: Source) -> Iterator[Record]:
    location = Path(source.location)
    if not location.exists():
        raise DataError(f"there is no {location}: of ImgEdit, give a table, a JSON file or the folder of the tables")
    root = source.images or (location if location.is_dir() else location.parent)
    for origin, values in _values(source, location):
        if isinstance(values, Rejected):
            yield Record(origin, (values,))
        else:
            yield Record(origin, tuple(_results(values, root)))


def _values(source: Source, location: Path) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    if location.suffix in (".json", ".jsonl"):
        return json_objects(location)
    return table_rows(source, ())


def _results(values: dict[str, Any], root: Path) -> Iterator[Row | Rejected]:
    """The rows of a record, after what is rejected of it."""
    session = values.get("data")
    edits = session if isinstance(session, list) and session else [values]
    turns = list[Turn]()
    for edit in edits:
        name = ""
        try:
            if not isinstance(edit, dict):
                raise RowError(f"the edit is no object: {edit!r:.80}")
            name = _only(edit.get("output_images"), "output")
            first = open_picture(_only(edit.get("input_images"), "input"), "input", root)
            turns.append(edit_turn(name, edit.get("prompt"), first, open_picture(name, "output", root)))
        except RowError as error:
            yield Rejected(str(error), name)
    yield from edit_rows(turns, source=_NAME, license=_LICENSE, any_earlier=True)


def _only(paths: object, what: str) -> str:
    """The one path of a list of paths.

    Raises:
        RowError: there is none, or more than one, which an edit of one picture cannot use.
    """
    if not isinstance(paths, list) or len(paths) != 1 or not isinstance(paths[0], str):
        raise RowError(f"the edit has not one {what} picture: {paths!r:.200}")
    return paths[0]


CONVERTERS = (Converter(_NAME, _LICENSE, "ImgEdit: its edits, and its sessions as conversations.", _read),)
