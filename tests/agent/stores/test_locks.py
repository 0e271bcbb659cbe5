"""One writer at a time on a thread, in threads, tasks and processes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from crashing import in_child
from talking import NOW, said, say, together

from genllava.errors import Cancelled
from genllava_agent.errors import ThreadBusy
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store
from genllava_agent.stores.folder import FolderStore
from genllava_agent.stores.waiting import Waiting

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")


def test_a_lock_that_was_let_go_is_free_at_once(store: Store) -> None:
    for _ in range(50):
        with store.lock("a", NOW):
            pass


def test_locks_keep_others_out_and_others_only(store: Store) -> None:
    outcomes: list[str] = []

    def other() -> None:
        try:
            with store.lock("a", NOW):
                outcomes.append("in")
        except ThreadBusy:
            outcomes.append("busy")
        with store.lock("b", NOW):
            outcomes.append("b")

    with store.lock("a", NOW):
        together([other])
        with pytest.raises(ThreadBusy), store.lock("a", Waiting()):
            pass
    together([other])
    assert outcomes == ["busy", "b", "in", "b"]


def test_waiting_can_be_cancelled(store: Store) -> None:
    wanted, outcomes = threading.Event(), list[str]()

    def other() -> None:
        try:
            with store.lock("a", Waiting(None, wanted.is_set)):
                outcomes.append("in")
        except Cancelled:
            outcomes.append("cancelled")

    with store.lock("a", NOW):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        wanted.set()
        thread.join(5)
    assert outcomes == ["cancelled"]
    with store.lock("a", NOW):
        pass


def test_whoever_comes_first_is_served_first(store: Store) -> None:
    served: list[int] = []

    def wait(number: int) -> None:
        with store.lock("a", Waiting()):
            served.append(number)

    waiting = []
    with store.lock("a", NOW):
        for number in range(6):
            waiting.append(threading.Thread(target=wait, args=(number,)))
            waiting[-1].start()
            waiting[-1].join(0.15)  # long enough to stand in line
    for thread in waiting:
        thread.join()
    assert served == list(range(6))


def test_threads_and_tasks_queue(store: Store) -> None:
    def speak(number: int) -> None:
        for part in range(3):
            say(store, "a", f"{number}.{part}", waiting=Waiting())

    async def tasks() -> None:
        await asyncio.gather(*(asyncio.to_thread(speak, number) for number in range(4)))

    together([lambda number=number: speak(number) for number in range(4, 8)] + [lambda: asyncio.run(tasks())])  # type: ignore[misc]
    expected = [f"{number}.{part}" for number in range(8) for part in range(3)]
    assert sorted(said(store, "a")[::2]) == expected
    assert [text.rstrip("!") for text in said(store, "a")[1::2]] == said(store, "a")[::2]


def test_looking_while_others_write(store: Store) -> None:
    """It neither disturbs them nor shows half of a turn's end."""
    done, seen = threading.Event(), list[int]()

    def read() -> None:
        while not done.is_set():
            seen.append(len(said(store, "a")))
            time.sleep(0.001)  # or there is little time left to write

    def write() -> None:
        for number in range(10):
            say(store, "a", f"{number}", waiting=Waiting())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        write()
    finally:
        done.set()
        reader.join()
    assert seen == sorted(seen)
    assert len(said(store, "a")) == 20


@forking
def test_processes_queue(lasting: str) -> None:
    def speak(number: int) -> None:
        store = open_store(lasting)
        together([lambda part=part: say(store, "a", f"{number}.{part}", waiting=Waiting()) for part in range(4)])  # type: ignore[misc]
        store.close()

    outcomes: list[int | None] = []
    together([lambda number=number: outcomes.append(in_child(lambda: speak(number))) for number in range(4)])  # type: ignore[misc]
    assert outcomes == [None] * 4
    heard = said(open_store(lasting), "a")
    assert sorted(heard[::2]) == [f"{number}.{part}" for number in range(4) for part in range(4)]
    assert [text.rstrip("!") for text in heard[1::2]] == heard[::2]


@forking
def test_the_lock_goes_with_the_process(lasting: str) -> None:
    def work() -> None:
        store = open_store(lasting)
        say(store, "a", "one")
        with store.lock("a", NOW):
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work) == signal.SIGKILL
    store, deadline = open_store(lasting), time.monotonic() + 5  # a server needs a moment to notice
    while True:
        try:
            say(store, "a", "two")
            break
        except ThreadBusy:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert said(store, "a") == ["one", "one!", "two", "two!"]


@forking
def test_a_child_that_lives_on_does_not_keep_the_lock(lasting: str) -> None:
    """Forked in the middle of a turn, as a data loader's workers are."""
    ready, store = os.pipe(), open_store(lasting)
    with store.lock("a", NOW):
        child = os.fork()
        if child == 0:
            os.read(ready[0], 1)
            os._exit(0)
    try:
        say(open_store(lasting), "a", "one")
    finally:
        os.write(ready[1], b".")
        os.waitpid(child, 0)


@forking
def test_a_store_that_is_used_on_both_sides_of_a_fork(lasting: str) -> None:
    store = open_store(lasting)
    saver = store.saver("a")
    say(store, "a", "one")
    assert in_child(lambda: say(store, "a", "two")) is None
    assert in_child(lambda: said(store, "a").index("two!")) is None
    say(store, "a", "three")
    assert said(store, "a")[::2] == ["one", "two", "three"]
    assert saver.get_tuple({"configurable": {"thread_id": "a"}}) is not None


@forking
def test_a_thread_that_another_process_deleted_and_began_again(lasting: str) -> None:
    """What is said next goes into the new thread, and not into the file of the old one."""
    store = open_store(lasting)
    say(store, "a", "one")

    def replace() -> None:
        other = open_store(lasting)
        with other.lock("a", NOW):
            other.delete("a")
        say(other, "a", "other")

    assert in_child(replace) is None
    assert said(store, "a") == ["other", "other!"]
    say(store, "a", "two")
    assert said(open_store(lasting), "a") == ["other", "other!", "two", "two!"]


def test_more_threads_than_stay_open(tmp_path: Path) -> None:
    """Databases are closed in turn, and opened again by their use."""
    store = open_store(tmp_path)
    assert isinstance(store, FolderStore)
    say(store, "a", "one")
    saver = store.saver("a")
    with store.lock("b", NOW):
        held = store.saver("b")
        for number in range(70):
            say(store, f"other{number}", "x")
        assert store.saver("b") is held, "never under somebody who writes"
    assert store.saver("a") is not saver
    assert len(list(saver.list({"configurable": {"thread_id": "a"}}))) == 4
    say(store, "a", "two")
    assert said(store, "a") == ["one", "one!", "two", "two!"]
    assert len(store.names()) == 71
    store.close()
    saver.close()  # type: ignore[union-attr]
    assert list(tmp_path.rglob("*-wal")) == []
