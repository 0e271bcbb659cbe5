"""What version 0.1 kept of a thread, as it is read to bring the thread over.

A database `thread.sqlite` had a head, which said where the thread stands, turns in a tree by `parent`, both as JSON
with a checksum, and LangGraph's checkpoint of a turn that waited for an answer. Artifacts were where they are today.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ormsgpack

from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.checkpoints import connect, sync_folder, tables_of
from genllava_agent.stores.faults import storing

DATABASE: Final = "thread.sqlite"
_PUT_AWAY: Final = "thread-0.1.sqlite"
_TABLES: Final = {"turns", "head", "checkpoints", "writes"}
_EXTENSION: Final = 71
"""Of msgpack, for a record in a checkpoint: (name of its type, fields)."""
_SUM: Final = 16


@dataclass(frozen=True)
class OldThread:
    """One thread.

    Attributes:
        folder: of the thread.
        head: `name`, `turn` (the id of the last one, or None), `undone` (ids, the next one to bring back last) and
            `pending` (a turn that has not ended, or None; its `question` is None where it was cut off).
        turns: all of them by id, those that were taken back and those that no way leads to included.
        state: of the graph of a turn that waits for an answer, with records as dictionaries; empty where none waits.
    """

    folder: Path
    head: dict[str, Any]
    turns: dict[str, dict[str, Any]]
    state: dict[str, Any] = field(default_factory=dict)

    def history(self, last: str | None) -> list[dict[str, Any]]:
        """The turns up to `last`, the first one first.

        Raises:
            ThreadQuarantined: one is missing.
        """
        turns: list[dict[str, Any]] = []
        while last is not None:
            if last not in self.turns or len(turns) == len(self.turns):
                raise damaged(f"turn {last}")
            turns.append(self.turns[last])
            last = turns[-1]["parent"]
        return turns[::-1]

    def put_away(self) -> None:
        """The thread was brought over and is durable: from now on it is the new one that counts. The old database
        stays beside it under another name."""
        with storing():
            (self.folder / DATABASE).replace(self.folder / _PUT_AWAY)
            sync_folder(self.folder)


def read_thread(folder: Path) -> OldThread | None:
    """The thread in a folder; None if there is none of version 0.1, or it was put away.

    Raises:
        ThreadQuarantined: it is damaged.
        StoreFailed.
    """
    with storing():
        if not (folder / DATABASE).is_file():
            return None
        with closing(connect(folder / DATABASE)) as connection:
            if tables_of(connection) != _TABLES:
                raise damaged(f"{folder / DATABASE}: its tables are not those of a thread")
            heads = connection.execute("SELECT body, sum FROM head").fetchall()
            turns = connection.execute("SELECT body, sum, id FROM turns").fetchall()
            head = _record(heads[0] if heads else (), "its head")
            kept = {str(key): _record(row, f"turn {key}") for *row, key in turns}
            if any(turn.get("id") != key for key, turn in kept.items()):
                raise damaged("a turn is not where it belongs")
            waiting, state = head.get("pending") or {}, dict[str, Any]()
            if waiting.get("question"):
                place = (waiting["id"], waiting["question"]["interrupt"])
                query = "SELECT checkpoint FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ?"
                row = connection.execute(query, place).fetchone()
                state = _unpacked(row[0])["channel_values"] if row else {}
    return OldThread(folder, head, kept, state)


def _record(row: Iterable[Any], what: str) -> dict[str, Any]:
    match tuple(row):
        case (str(body), str(expected)) if hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest() == expected:
            return json.loads(body)  # type: ignore[no-any-return]
    raise damaged(what)


def _unpacked(data: Any) -> Any:
    if not isinstance(data, bytes) or hashlib.sha256(data[_SUM:]).digest()[:_SUM] != data[:_SUM]:
        raise damaged("the state of the turn that waits")
    return ormsgpack.unpackb(data[_SUM:], ext_hook=_fields, option=ormsgpack.OPT_NON_STR_KEYS)


def _fields(code: int, data: bytes) -> Any:
    if code != _EXTENSION:
        raise damaged("the state of the turn that waits")
    return ormsgpack.unpackb(data, ext_hook=_fields, option=ormsgpack.OPT_NON_STR_KEYS)[1]
