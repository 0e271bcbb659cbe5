"""Folders that version 0.1 wrote: `threads_0_1.tar.gz` is one, `threads_0_1.json` what that version found in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genllava.images import content_key
from genllava_agent.errors import ThreadQuarantined
from genllava_agent.records import ImageRecord
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store
from genllava_agent.stores.version_0_1 import OldThread

HERE = Path(__file__).parent
KEPT: dict[str, Any] = json.loads((HERE / "threads_0_1.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(HERE / "threads_0_1.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "threads_0_1"


def _old(store: Store, name: str) -> OldThread:
    old = store.old(name)
    assert old is not None
    return old


def test_what_there_is(folder: Path) -> None:
    store = open_store(folder)
    assert store.names() == sorted(KEPT) == ["asked", "branch", "cut off", "talk", "tried", "Ünï code/1"]
    assert store.old("new") is None
    for name, kept in KEPT.items():
        assert store.exists(name)
        old = _old(store, name)
        assert old.head == kept["head"]
        assert old.history(old.head["turn"]) == kept["turns"]
        assert [old.turns[key] for key in old.head["undone"]] == kept["undone"]
        pending = old.head["pending"] or {}
        shown = [*(image for turn in old.turns.values() for image in turn["images"]), *pending.get("images", [])]
        records = {f"{record['id']} {record['key']}": ImageRecord.model_validate(record) for record in shown}
        artifacts = store.artifacts(name)
        assert {about: content_key(artifacts.picture(record)) for about, record in records.items()} == kept["pictures"]
        for artifact in kept["artifacts"]:
            assert artifacts.has(*artifact.split("."))


def test_what_a_waiting_turn_and_one_that_was_cut_off_have(folder: Path) -> None:
    store = open_store(folder)
    asked, cut, talk = (_old(store, name) for name in ("asked", "cut off", "talk"))
    assert asked.head["pending"]["question"]["kind"] == "approval"
    assert asked.state["request"]["text"] == asked.head["pending"]["request"]["text"] == "make it blue"
    assert asked.state["action"]["kind"] == "edit"
    assert (cut.head["pending"]["question"], cut.state) == (None, {})
    assert cut.head["pending"]["request"]["text"] == "draw a blue square"
    assert (talk.head["pending"], len(talk.head["undone"]), talk.state) == (None, 1, {})


def test_one_that_was_put_away_is_not_found_again(folder: Path) -> None:
    store = open_store(folder)
    for name in KEPT:
        _old(store, name).put_away()
        assert store.old(name) is None
        assert not store.exists(name), "no checkpoint was put"
    assert store.names() == []
    files = sorted(file.name for file in (folder / "threads" / "talk").iterdir())
    assert files == ["artifacts", "thread-0.1.sqlite"]
    with closing(sqlite3.connect(folder / "threads" / "cut%20off" / "thread-0.1.sqlite")) as connection:
        assert '"pending":{' in connection.execute("SELECT body FROM head").fetchone()[0], "with what was in its log"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE turns SET body = replace(body, 'circle', 'square')",
        "UPDATE turns SET sum = 'x'",
        "UPDATE turns SET body = CAST(body AS BLOB)",
        "UPDATE turns SET id = id || 'x'",
        "UPDATE turns SET body = (SELECT body FROM turns LIMIT 1), sum = (SELECT sum FROM turns LIMIT 1)",
        "UPDATE head SET body = replace(body, 'turn', 'nurt')",
        "DELETE FROM head",
        "DROP TABLE head",
        "DROP TABLE turns",
        "ALTER TABLE turns RENAME COLUMN body TO bodies",
        "CREATE VIEW v AS SELECT * FROM turns",
    ],
)
def test_damage_is_noticed(change: str, folder: Path) -> None:
    database = folder / "threads" / "talk" / "thread.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(change)
        connection.commit()
    before = database.read_bytes()
    store = open_store(folder)
    with pytest.raises(ThreadQuarantined):
        store.old("talk")
    assert database.read_bytes() == before
    assert _old(store, "branch").history(KEPT["branch"]["head"]["turn"]) == KEPT["branch"]["turns"]


def test_a_missing_turn_is_noticed(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "threads" / "talk" / "thread.sqlite")) as connection:
        connection.execute("DELETE FROM turns WHERE rowid = 2")
        connection.commit()
    old = _old(open_store(folder), "talk")
    with pytest.raises(ThreadQuarantined):
        old.history(old.head["turn"])


def test_a_damaged_state_of_a_waiting_turn(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "threads" / "asked" / "thread.sqlite")) as connection:
        connection.execute("UPDATE checkpoints SET checkpoint = substr(checkpoint, 1, 100)")
        connection.commit()
    with pytest.raises(ThreadQuarantined):
        open_store(folder).old("asked")


def test_deleting_takes_everything(folder: Path) -> None:
    store = open_store(folder)
    for name in KEPT:
        store.delete(name)
    assert store.names() == []
    store.close()
    assert [file for file in folder.rglob("*") if file.is_file()] == []
    shutil.rmtree(folder)
