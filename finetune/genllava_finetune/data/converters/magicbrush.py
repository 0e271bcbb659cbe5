"""MagicBrush: edits by people, up to three in a session, which becomes one conversation.

A session is the rows with one `img_id`, one after another in the tables, in the order of `turn_index`. A turn whose
source is not what the turn before made, because that is missing or was rejected, begins a row of its own. Masks
(`mask_img`) have no place in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from genllava_finetune.data.converters.edit_turns import Turn, edit_rows, edit_turn, open_picture
from genllava_finetune.data.converters.hub_tables import table_rows
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source

_NAME, _LICENSE = "magicbrush", "CC-BY-4.0"
_COLUMNS = ("img_id", "turn_index", "source_img", "instruction", "target_img")
_LONGEST_SESSION: Final = 32  # turns that are held at a time, however many rows have one img_id


def _read(source: Source) -> Iterator[Record]:
    session = list[tuple[Origin, dict[str, Any]]]()
    for origin, values in table_rows(source, _COLUMNS):
        if isinstance(values, Rejected):
            yield Record(origin, (values,))
            continue
        if session and (values["img_id"] != session[-1][1]["img_id"] or len(session) == _LONGEST_SESSION):
            yield from _session(session)
            session = []
        session.append((origin, values))
    if session:
        yield from _session(session)


def _session(rows: list[tuple[Origin, dict[str, Any]]]) -> Iterator[Record]:
    """The rows of a session, then its rejected turns, each where it stands."""
    name = str(rows[0][1]["img_id"])
    turns, rejected = dict[int, Turn](), list[Record]()
    for origin, values in rows:
        index = values["turn_index"]
        try:
            if not isinstance(index, int):
                raise RowError(f"turn_index is no number: {index!r:.80}")
            if index in turns:
                raise RowError(f"the turn stands twice in its session: turn {index} of {name}")
            first, second = open_picture(values["source_img"], "source"), open_picture(values["target_img"], "target")
            turns[index] = edit_turn(str(index), values["instruction"], first, second)
        except RowError as error:
            rejected.append(Record(origin, (Rejected(str(error), f"{name}:{index}"),)))
    ordered = [turns[index] for index in sorted(turns)]
    if ordered:
        yield Record(rows[0][0], tuple(edit_rows(ordered, source=_NAME, license=_LICENSE, session=name)))
    yield from rejected


CONVERTERS = (Converter(_NAME, _LICENSE, "MagicBrush: its sessions as conversations of several edits.", _read),)
