"""A full disk, a folder without permission, a server that is gone: one typed error, nothing lost, and on afterwards."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashing import Breaker, Recorder, in_child, points

from genllava_agent import VisualAgent
from genllava_agent.errors import StoreFailed
from genllava_agent.stores import open_store
from genllava_agent.threads import Thread

Talk = Callable[..., VisualAgent]


def _draw(thread: Thread, seed: int = 11) -> object:
    return thread("draw a circle", task="generate", seed=seed)


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


def _whole(thread: Thread, turns: int) -> None:
    """`turns` turns with all of their pictures."""
    assert [turn.number for turn in thread.history()] == list(range(1, turns + 1))
    assert len(thread.images) == turns, "a turn without its picture"
    for image in thread.images.values():
        image.image.load()
        if image.record.latents is not None:
            thread.agent.store.artifacts(thread.name).latents(image.record.latents)


def _rest(folder: Path) -> list[str]:
    return [file.name for file in (folder / "threads").rglob("*") if file.name.startswith("unfinished")]


ACTS: dict[str, Callable[[Thread], object]] = {
    "draw": _draw,
    "ask": lambda thread: thread("draw", task="generate", seed=11, approve="generate"),
    "answer": Thread.approve,
    "undo": Thread.undo,
    "branch": lambda thread: thread.branch("b"),
    "delete": Thread.delete,
}


def _prepared(talk: Talk, place: Path | str, act: str) -> Thread:
    thread = talk(place).thread("a")
    _draw(thread, 1)
    if act == "answer":
        ACTS["ask"](thread)
    return thread


def _go_on(thread: Thread, turns: int) -> None:
    """Take one more turn, after `turns` of them."""
    _whole(thread, turns)
    _finish(thread, 2)
    _whole(thread, turns + 1)


def _finish(thread: Thread, seed: int) -> None:
    """End the turn that has not ended, or take one."""
    if thread.unfinished is None:
        _draw(thread, seed)
    elif thread.pending is not None or thread.resume().pending is not None:
        thread.approve()  # and what was resumed was cut off, with no room to put the thread back to where it was


def _fail_at_points(act: str, fault: Callable[[str], Exception], talk: Talk, quick_path: Path, step: int) -> int:
    """Let every `step`th point of an act fail; returns how often it was told."""
    recorder = Recorder()
    with points(recorder):
        ACTS[act](_prepared(talk, quick_path / "count", act))
    total = len([name for name in recorder.names if not name.startswith("after ")])
    begin = Recorder()
    with points(begin):
        _prepared(talk, quick_path / "prepared", act)
    first = len([name for name in begin.names if not name.startswith("after ")])
    failed = 0
    for at in range(first, total, step):
        place = quick_path / str(at)
        breaker = Breaker(at, fault)
        with points(breaker):
            thread = _prepared(talk, place, act)
            try:
                ACTS[act](thread)
            except StoreFailed as error:
                failed += 1
                assert "Nothing that was stored is lost" in str(error), breaker.name  # noqa: PT017
        assert breaker.name, f"there is no point {at}"
        if act == "delete" and not thread.agent.store.exists("a"):
            continue
        # The same process goes on, and so does another one.
        for again in (thread, talk(place).thread("a")):
            _go_on(again, len(again.history()))
        assert _rest(place) == [], breaker.name
        shutil.rmtree(place)
    return failed


@pytest.mark.parametrize("act", ACTS)
def test_writes_may_fail(act: str, talk: Talk, quick_path: Path) -> None:
    assert _fail_at_points(act, _full, talk, quick_path, 5) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", [_full, _broken])
@pytest.mark.parametrize("act", ACTS)
def test_every_write_may_fail(act: str, fault: Callable[[str], Exception], talk: Talk, quick_path: Path) -> None:
    failed = _fail_at_points(act, fault, talk, quick_path, 1)
    print(f"{act}: {failed} faults told")
    assert failed > 3, "hardly anything failed"


class ServerDisk:
    """The disk of a PostgreSQL server, which is full from a given write on: every change of a table is one, and so is
    every commit."""

    _FULL = 1_000_000
    _TABLES = ("genllava_artifacts", "checkpoints", "checkpoint_blobs", "checkpoint_writes")

    def __init__(self, url: str) -> None:
        self._url = url
        open_store(url).names()  # makes the tables
        _sql(url, "CREATE SEQUENCE written")
        _sql(
            url,
            "CREATE FUNCTION write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF nextval('written') >= {self._FULL} THEN "
            "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END IF; "
            "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$",
        )
        for table in self._TABLES:
            when = f"INSERT OR UPDATE OR DELETE ON {table}"
            _sql(url, f"CREATE TRIGGER now BEFORE {when} FOR EACH STATEMENT EXECUTE FUNCTION write()")
            _sql(
                url,
                f"CREATE CONSTRAINT TRIGGER commit AFTER {when} DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION write()",
            )

    def fill(self, writes: int) -> None:
        """After so many writes there is no room for another."""
        _sql(self._url, f"SELECT setval('written', {self._FULL - writes - 1})")

    def make_room(self) -> int:
        """Let everything be written; returns how many writes there were since then."""
        done = _sql(self._url, "SELECT last_value FROM written")
        _sql(self._url, "SELECT setval('written', 1)")
        return int(done) - 1


def _fail_on_a_full_server(act: str, talk: Talk, url: str, step: int) -> int:
    """Let every `step`th write of an act and all after it fail; returns how often it was told."""
    disk = ServerDisk(url)
    thread = _prepared(talk, url, act)
    disk.make_room()
    ACTS[act](thread)
    points = range(0, disk.make_room(), step)
    for writes in points:
        for name in thread.agent.threads():
            thread.agent.thread(name).delete()
        thread = _prepared(talk, url, act)
        turns = thread.history()
        disk.fill(writes)
        with pytest.raises(StoreFailed, match="Nothing that was stored is lost: make room on the disk of the database"):
            ACTS[act](thread)
        disk.make_room()
        after = thread.history()  # the last write of all may have failed, and then there is no room to take it back
        assert after == turns or (after[:-1] == turns and thread.unfinished is None)
        assert thread.agent.threads() == ["a"]
        # The same process goes on, and so does another one.
        for again in (thread, talk(url).thread("a")):
            _go_on(again, len(again.history()))
    return len(points)


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_the_disk_of_the_server_may_be_full(act: str, talk: Talk, postgres: Any) -> None:
    assert _fail_on_a_full_server(act, talk, postgres.database(), 8) > 0


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_the_disk_of_the_server_may_be_full_at_every_write(act: str, talk: Talk, postgres: Any) -> None:
    failed = _fail_on_a_full_server(act, talk, postgres.database(), 1)
    print(f"{act}: {failed} faults told")
    assert failed > 2


def test_a_new_database_on_a_full_disk(postgres: Any) -> None:
    url = postgres.database()
    full = "BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END"
    _sql(url, f"CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ {full} $$")
    _sql(url, "CREATE EVENT TRIGGER full_disk ON ddl_command_start EXECUTE FUNCTION refuse()")
    store = open_store(url)
    with pytest.raises(StoreFailed, match="make room on the disk of the database"):
        store.names()
    _sql(url, "DROP EVENT TRIGGER full_disk")
    assert store.names() == []
    store.close()


def _sql(url: str, statement: str) -> Any:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(path)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def _fill(disk: Path, left: int) -> None:
    """Leave `left` bytes of room."""
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(b"\0" * max(0, room.f_bavail * room.f_frsize - left))


def test_a_disk_that_is_really_full(talk: Talk, small_disk: Path) -> None:
    """With so much room, and some pages more, until a turn fits: what fails is SQLite's own writes as well."""
    thread = talk(small_disk / "store").thread("a")
    _draw(thread, 1)
    done, failures = 1, 0
    for left in range(0, 1_000_000, 5 * 4096):
        _fill(small_disk, left)
        try:
            _draw(thread, left + 2)
            assert len(thread.history()) == done + 1
        except StoreFailed as error:
            failures += 1
            assert "make room" in str(error)  # noqa: PT017
        (small_disk / "ballast").unlink()
        if thread.unfinished is not None:  # there was no room to put the thread back either
            thread.discard()
        assert len(thread.history()) in (done, done + 1), "what could not be made durable may be there all the same"
        done = len(thread.history())
        _whole(thread, done)
        if done > 3:
            break
    assert failures >= 3
    assert done > 3, "it never fitted"
    _draw(thread, 5)
    with talk(small_disk / "store") as other:
        _whole(other.thread("a"), done + 1)
    assert _rest(small_disk / "store") == []


def test_a_new_thread_on_a_full_disk(talk: Talk, small_disk: Path) -> None:
    agent = talk(small_disk / "store")
    failures = 0
    for left in range(0, 1_000_000, 7 * 4096):
        _fill(small_disk, left)
        name = f"t{left}"
        try:
            _draw(agent.thread(name), left)
        except StoreFailed:
            failures += 1
        (small_disk / "ballast").unlink()
        if agent.store.exists(name):
            thread = agent.thread(name)
            if thread.unfinished is not None:
                thread.resume()
            _whole(thread, 1)
            thread.delete()
    assert failures >= 3


def test_files_that_may_not_grow(talk: Talk, tmp_path: Path) -> None:
    """A quota, for those who may not mount."""
    place = tmp_path / "store"
    with talk(place) as agent:
        _draw(agent.thread("a"), 1)

    def limited() -> None:
        size = max(file.stat().st_size for file in place.rglob("*"))
        for limit in range(512, size, 8 * 512):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            thread = talk(place).thread("a")
            with pytest.raises(StoreFailed):
                _draw(thread, limit)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            _whole(thread, 1)
            thread.agent.close()

    assert in_child(limited) is None
    thread = talk(place).thread("a")
    _finish(thread, 2)
    _whole(thread, 2)


def test_a_database_that_may_not_grow(talk: Talk, tmp_path: Path) -> None:
    thread = talk(tmp_path / "store").thread("a")
    _draw(thread, 1)
    saver: Any = thread.agent.store.saver("a")
    (pages,) = saver.conn.execute("PRAGMA page_count").fetchone()
    saver.conn.execute(f"PRAGMA max_page_count={pages}")
    done = 1
    with pytest.raises(StoreFailed, match="make room"):  # noqa: PT012
        while done < 100:
            _draw(thread, 1 + done)
            done += 1
    _whole(thread, done)
    saver.conn.execute("PRAGMA max_page_count=1000000")
    _finish(thread, done + 2)
    _whole(thread, done + 1)


@pytest.mark.parametrize(
    "place", ["", "  ", "\0", "mysql://x/y", "~nobody-of-this-name/x", "postgresql://:::/", "postgres://%"]
)
def test_places_that_cannot_be(place: str) -> None:
    with pytest.raises(StoreFailed):
        open_store(place).names()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed):
        open_store(tmp_path / "file")
    with pytest.raises(StoreFailed):
        open_store(tmp_path / "file" / "store")


@pytest.mark.skipif(os.name == "nt" or os.getuid() != 0, reason="another user's rights are taken on by root")
def test_a_folder_that_may_not_be_written(talk: Talk, tmp_path: Path) -> None:
    place = tmp_path / "store"
    with talk(place) as agent:
        _draw(agent.thread("a"), 1)

    def nobody() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        agent = talk(place)
        for ask in (lambda: _draw(agent.thread("a")), lambda: _draw(agent.thread("new")), agent.thread("a").delete):
            with pytest.raises(StoreFailed, match="right to write"):
                ask()

    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    assert in_child(nobody) is None
    _whole(talk(place).thread("a"), 1)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "genllava_agent.stores.postgres", raising=False)
    with pytest.raises(StoreFailed, match=re.escape("pip install 'genllava[postgres]'")):
        open_store("postgresql://localhost/x")
