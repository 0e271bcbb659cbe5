"""The database of a thread in a folder: damaged, cut off in the middle of writing, on a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from crashing import Breaker, Killer, Recorder, in_child, points
from damaging import Damage, cuts, flips, swaps, zeros
from langgraph.checkpoint.sqlite import SqliteSaver
from talking import NOW, answer, at, graph_of, resume, said, say, state

from genllava_agent.errors import StoreFailed, ThreadQuarantined
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store
from genllava_agent.stores.folder import FolderStore
from genllava_agent.stores.serializer import serializer

DATABASE = "threads/a/checkpoints.sqlite"


@pytest.fixture
def sound(quick_path: Path) -> Path:
    """A store with a thread of eight turns that asks something, and another one."""
    store = open_store(quick_path / "sound")
    say(store, "a", *(f"turn {number}" for number in range(8)), "ask nine")
    say(store, "b", "other")
    store.close()
    assert list(quick_path.rglob("*-wal")) == [], "closing leaves a log"
    return quick_path / "sound"


def _content(store: Store, name: str) -> Any:
    """All that can be read of a thread."""
    said(store, name)
    now = state(store, name)
    history = [(kept.metadata, kept.config) for kept in store.saver(name).list(at(name))]
    return repr((now.values, now.next, now.interrupts, now.config, now.metadata, now.parent_config, history))


def _reads(sound: Path, place: Path, damages: list[Damage]) -> tuple[int, int]:
    """(noticed, harmless) after each damage to the database of thread a."""
    store = open_store(sound)
    truth, other = _content(store, "a"), _content(store, "b")
    store.close()
    noticed = 0
    for damage in damages:
        shutil.copytree(sound, place)
        data = bytearray((place / DATABASE).read_bytes())
        damage(data)
        (place / DATABASE).write_bytes(data)
        store = open_store(place)
        try:
            assert _content(store, "a") == truth, "a wrong answer, and nobody was told"
        except ThreadQuarantined:
            noticed += 1
        assert _content(store, "b") == other
        assert store.names() == ["a", "b"]
        store.close()
        shutil.rmtree(place)
    return noticed, len(damages) - noticed


def test_flipped_bits_and_cut_databases(sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    noticed, harmless = _reads(sound, quick_path / "copy", flips(size, 80) + cuts(size, 20))
    assert noticed > 60, f"{noticed} noticed, {harmless} harmless"


@pytest.mark.slow
def test_a_thousand_flipped_bits_and_a_hundredcuts(sound: Path, quick_path: Path) -> None:
    size = (sound / DATABASE).stat().st_size
    flipped = _reads(sound, quick_path / "copy", flips(size, 1000))
    cut = _reads(sound, quick_path / "copy", cuts(size, 100))
    print(f"database: {sum(flipped)} flips {flipped}, {sum(cut)} cuts {cut} (noticed, harmless)")
    assert cut[0] == 100


def test_pages_of_zeros_and_of_others(sound: Path, quick_path: Path) -> None:
    """What a disk does that loses or mixes up pages."""
    pages = (sound / DATABASE).stat().st_size // 4096
    noticed, _ = _reads(sound, quick_path / "copy", zeros(pages) + swaps(pages))
    assert noticed > 1.5 * pages


CHANGES = [
    "UPDATE writes SET channel = 'massages' WHERE rowid = 3",
    "UPDATE writes SET idx = idx + 1 WHERE rowid = 3",
    "UPDATE writes SET value = (SELECT value FROM writes WHERE rowid = 1) WHERE channel = 'messages'",
    "UPDATE writes SET value = NULL",
    "UPDATE writes SET channel = 7, type = 'pickle'",
    "DELETE FROM writes WHERE rowid = 3",
    "DELETE FROM writes",
    "UPDATE checkpoints SET checkpoint_id = checkpoint_id || 'x' WHERE rowid = 3",
    "UPDATE checkpoints SET checkpoint_id = '' WHERE rowid = 3",
    "UPDATE checkpoints SET parent_checkpoint_id = NULL WHERE rowid > 9",
    "UPDATE checkpoints SET checkpoint = x'00'",
    "UPDATE checkpoints SET type = 'json', checkpoint = '{}'",
    "UPDATE checkpoints SET metadata = 'x'",
    "DELETE FROM checkpoints WHERE rowid > 9",
    "DELETE FROM checkpoints",
    "INSERT INTO checkpoints SELECT thread_id, checkpoint_ns, 'zzz', parent_checkpoint_id, type, checkpoint, metadata "
    "FROM checkpoints LIMIT 1",
    "UPDATE settled SET sum = 'x'",
    "DROP TABLE checkpoints",
    "DROP TABLE writes",
    "DROP TABLE settled",
    "ALTER TABLE writes RENAME COLUMN value TO values_",
    "CREATE TRIGGER t AFTER INSERT ON writes BEGIN DELETE FROM writes; END",
    "CREATE VIEW v AS SELECT * FROM writes",
    "CREATE TABLE more (x)",
]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_rows(change: str, sound: Path) -> None:
    with closing(sqlite3.connect(sound / DATABASE)) as connection:
        connection.execute(change)
        connection.commit()
    store = open_store(sound)
    for use in (lambda: said(store, "a"), lambda: say(store, "a", "x"), lambda: store.settle("a")):
        with pytest.raises(ThreadQuarantined, match="damaged"):
            use()
    say(store, "b", "goes on")
    assert store.names() == ["a", "b"]
    with store.lock("a", NOW):
        store.delete("a")
    say(store, "a", "anew")
    assert said(store, "a") == ["anew", "anew!"]
    store.close()


def test_a_damaged_log_of_a_killed_process(quick_path: Path) -> None:
    """What is settled is not in the log any more."""
    store = open_store(quick_path / "open")
    say(store, "a", "one", "two")
    shutil.copytree(quick_path / "open", quick_path / "killed")  # as it is in the middle of everything
    store.close()
    for log in (quick_path / "killed/threads/a").glob("*-wal"):
        assert log.stat().st_size == 0
        log.write_bytes(b"\xff" * 8192)
    store = open_store(quick_path / "killed")
    assert said(store, "a") == ["one", "one!", "two", "two!"]
    store.close()


def test_the_log_stays_short_while_the_thread_is_open(quick_path: Path) -> None:
    store = open_store(quick_path)
    for number in range(10):
        say(store, "a", f"{number}")
        assert [file.stat().st_size for file in quick_path.rglob("*-wal")] in ([], [0])
    store.close()


def test_settings_of_the_database(quick_path: Path) -> None:
    store = open_store(quick_path)
    assert isinstance(store, FolderStore)
    say(store, "a", "one")
    connection = store.saver("a").conn
    for setting, expected in (("synchronous", 1), ("journal_mode", "wal"), ("trusted_schema", 0)):
        assert connection.execute(f"PRAGMA {setting}").fetchone() == (expected,)
    store.close()


def test_a_database_of_langgraphs_own(quick_path: Path) -> None:
    """What the agent wrote can be read with the saver as it comes from LangGraph, given the serializer."""

    store = open_store(quick_path)
    say(store, "a", "one", "two")
    store.close()
    with closing(sqlite3.connect(quick_path / DATABASE, check_same_thread=False)) as connection:
        graph = graph_of(SqliteSaver(connection, serde=serializer()))
        assert len(graph.get_state(at("a")).values["messages"]) == 4
    assert said(store, "a") == ["one", "one!", "two", "two!"]
    store.close()


# --- cut off, and full ---


def _three(store: Store) -> None:
    say(store, "a", "one")
    say(store, "a", "two", "ask three")
    answer(store, "a", "four")


FULL = ["one", "one!", "two", "two!", "ask three", "four!"]


def _sound_after(place: Path, fault: str) -> None:
    """What there is is the beginning of what was said, and the thread goes on."""
    store = open_store(place)
    heard = said(store, "a")
    assert heard == FULL[: len(heard)], fault
    resume(store, "a")
    heard, now = said(store, "a"), state(store, "a")
    assert len(heard) % 2 == 0 or now.interrupts, (fault, heard)
    assert heard == FULL[: len(heard)], fault
    if not now.interrupts:
        say(store, "a", "more")
        assert said(store, "a") == [*heard, "more", "more!"], fault
    with store.lock("a", NOW):
        store.settle("a")
    rest = [file.name for file in (place / "threads").rglob("*") if file.name.startswith("unfinished")]
    assert rest == [], fault
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")
@pytest.mark.parametrize("step", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_point(step: int, quick_path: Path) -> None:
    recorder = Recorder()
    with points(recorder):
        _three(open_store(quick_path / "count"))
    total = len(recorder.names)
    assert total > 300
    for at_point in range(0, total, step):
        place = quick_path / str(at_point)

        def work(place: Path = place, at_point: int = at_point) -> None:
            with points(Killer(at_point)):
                _three(open_store(place))

        assert in_child(work) is not None
        _sound_after(place, recorder.names[at_point])
        shutil.rmtree(place)


def _full(name: str) -> Exception:
    if name.startswith("before sqlite"):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        return error
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(name: str) -> Exception:
    if name.startswith("before sqlite"):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        return error
    return OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", [_full, _broken])
def test_a_disk_that_fails_at_every_point(fault: Callable[[str], Exception], step: int, quick_path: Path) -> None:
    recorder = Recorder()
    with points(recorder):
        _three(open_store(quick_path / "count"))
    total = len([name for name in recorder.names if not name.startswith("after ")])
    told = 0
    for at_point in range(0, total, step):
        place, breaker = quick_path / str(at_point), Breaker(at_point, fault)
        stores: list[Store] = []
        with points(breaker):
            try:
                stores.append(open_store(place))
                _three(stores[0])
            except StoreFailed as error:
                told += 1
                assert "Nothing that was stored is lost" in str(error), breaker.name  # noqa: PT017
            for store in stores:  # the same process goes on
                said(store, "a")
                store.close()
        assert breaker.name, f"there is no point {at_point}"
        _sound_after(place, breaker.name)
        shutil.rmtree(place)
    assert told > total / step * 0.6
