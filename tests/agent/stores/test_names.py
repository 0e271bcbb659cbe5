"""Names of threads: whatever they are, nothing is written outside of the store, and no two threads are one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from talking import NOW, at, said, say

from genllava.errors import InvalidRequest
from genllava_agent.stores.base import Store
from genllava_agent.stores.folder import FolderStore
from genllava_agent.stores.names import file_name, thread_name

NASTY = [
    *("..", ".", "...", "../x", "../../etc/passwd", "/etc/passwd", "/", "\\", "..\\x", "C:\\x", "C:", "~", "~root"),
    *("a/b", "a\\b", "a\0b", "\0", "\n", "a\rb", "a b", " ", " a", "a ", "a.", ".a", "-", "--help", "-rf", "$HOME"),
    *("//", "`id`", "%2e%2e", "%2F", "%", "%%", "%00", "a%2fb", "*", "?", "<", ">", "|", '"', "'", ";", "&", "#"),
    *("a:b", "con", "CON", "nul", "prn", "aux", "com1", "lpt9", "con.txt", "COM1", "locks", "threads", "artifacts"),
    *("thread.sqlite", "unfinished.", "A", "a", "Alice", "alice", "ALICE", "\u00c4", "a\u0308", "\u00e4", "\u2025"),
    *("\uff0e\uff0e", "\u2215", "\u202e", "\ufeff", "\U0001f600", "\u0130", "\u0131", "\u1e9e", "\u00df", "ss"),
    *("a" * 200, "\u212a", "k", "K", "postgresql://x", "'; DROP TABLE x"),
]


def _names() -> list[str]:
    """1,000 different ones."""
    numbers = random.Random(1)
    parts = ["..", "/", "\\", "\0", "a", "A", ".", "%2e", "%", "~", " ", "\u00e9", "con", ":", "-", "\n", "\U0001f600"]
    names = dict.fromkeys(NASTY)
    while len(names) < 1000:
        names["".join(numbers.choices(parts, k=numbers.randint(1, 9)))] = None
    return list(names)


@pytest.mark.slow
def test_a_thousand_names_stay_inside_and_apart(quick_path: Path) -> None:
    store = FolderStore(quick_path / "outer" / "store")
    kept = []
    for name in _names():
        with store.lock(name, NOW):
            store.artifacts(name).put("0" * 64, "png", name.encode())
            store.saver(name).put(at(name), empty_checkpoint(), {}, {})
        kept.append(name)
    store.close()
    again = FolderStore(quick_path / "outer" / "store")
    assert again.names() == sorted(kept)
    for name in kept:
        kept_there = again.saver(name).get_tuple(at(name))
        assert kept_there is not None
        assert kept_there.config["configurable"]["thread_id"] == name
        assert again.artifacts(name).get("0" * 64, "png") == name.encode()
    assert [path.name for path in quick_path.iterdir()] == ["outer"]
    assert [path.name for path in (quick_path / "outer").iterdir()] == ["store"]
    assert sorted(path.name for path in again.root.iterdir()) == ["locks", "threads"]
    folders = [path.name for path in (again.root / "threads").iterdir()]
    assert len(folders) == len({name.lower() for name in folders}) == len(kept), "one on a disk that ignores case"
    for name in kept:
        again.delete(name)
    assert [path for path in quick_path.rglob("*") if path.is_file()] == []


def test_nasty_names_on_every_store(store: Store) -> None:
    names = [name for name in NASTY if "\0" not in name or type(store).__name__ != "PostgresStore"]
    for name in set(NASTY) - set(names):
        for use in (store.exists, store.saver, store.artifacts, lambda name: store.lock(name, NOW).__enter__()):
            with pytest.raises(InvalidRequest):
                use(name)
    for name in names:
        say(store, name, "one")
    assert store.names() == sorted(names)
    for name in names:
        assert said(store, name) == ["one", "one!"]
        with store.lock(name, NOW):
            store.delete(name)
    assert store.names() == []


@pytest.mark.parametrize("name", ["", "a" * 201, "/" * 67, "\ud800", "a\udfff", None, 1, b"a", ["a"]])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidRequest):
        file_name(name)


@pytest.mark.parametrize("file", ["..", ".x", "a b", "A", "%", "%zz", "%2", "%ff", "con", "%61", "a%2f", "%C3"])
def test_files_that_are_no_threads(file: str) -> None:
    assert thread_name(file) is None


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "threads" / "README.txt").write_text("mine")
    (tmp_path / "threads" / "My Folder").mkdir()
    (tmp_path / "threads" / "empty").mkdir()
    assert store.names() == []
    assert FolderStore(tmp_path).names() == []
    assert (tmp_path / "threads" / "README.txt").read_text() == "mine"
