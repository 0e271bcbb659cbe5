"""What is particular to PostgreSQL: a server that goes away, connections that break, rows that somebody changed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage
from postgresql import Postgres
from talking import NOW, at, graph_of, resume, said, say

from genllava_agent import VisualAgent
from genllava_agent.errors import StoreFailed, ThreadQuarantined
from genllava_agent.stores.faults import storing
from genllava_agent.stores.postgres import PostgresStore
from genllava_agent.stores.waiting import Waiting

Talk = Callable[..., VisualAgent]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def own(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """The server, for tests that stop it; nobody waits for it for long."""
    monkeypatch.setattr("genllava_agent.stores.postgres._PATIENCE", 2.0)
    yield postgres
    postgres.stop(signal.SIGQUIT)
    postgres.start()


def _sql(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_gone_and_back(own: Postgres, talk: Talk) -> None:
    thread = talk(own.database()).thread("a")
    thread("draw a circle", task="generate", seed=1)
    own.stop(signal.SIGQUIT)
    for ask in (thread.history, thread.undo, lambda: thread("say", task="understand"), thread.agent.threads):
        began = time.monotonic()
        with pytest.raises(StoreFailed, match="server"):
            ask()
        assert time.monotonic() - began < 15
    own.start()
    assert len(thread.history()) == 1
    thread.images[1].image.load()
    assert thread("say", task="understand").turn == 2


@pytest.mark.parametrize("moment", ["TurnStarted", "PlanWritten", "ImageReady"])
def test_a_server_that_dies_in_the_middle_of_a_turn(moment: str, own: Postgres, talk: Talk) -> None:
    thread = talk(own.database()).thread("a")
    thread("say", task="understand")
    with pytest.raises(StoreFailed):  # noqa: PT012
        for event in thread.stream("draw a circle", task="generate", seed=1):
            if type(event).__name__ == moment:
                own.stop(signal.SIGQUIT)
    own.start()
    assert [turn.number for turn in thread.history()] == [1]
    reference = talk(":memory:").thread("a")
    reference("say", task="understand")
    reference("draw a circle", task="generate", seed=1)
    if moment == "TurnStarted":
        assert thread.unfinished is None, "nothing was written yet"
        thread("draw a circle", task="generate", seed=1)
    else:
        assert thread.unfinished is not None
        thread.resume()
    assert thread.images[1].record.key == reference.images[1].record.key
    assert [turn.number for turn in thread.history()] == [1, 2]


def test_whoever_lost_the_lock_writes_nothing_more(url: str, talk: Talk) -> None:
    """The connection of a turn breaks, another process takes the thread: the first turn is not kept."""
    slow, quick = talk(url).thread("a"), talk(url).thread("a")
    slow("say", task="understand")
    with pytest.raises(StoreFailed):  # noqa: PT012
        for event in slow.stream("draw a circle", task="generate", seed=1):
            if type(event).__name__ == "PlanWritten":
                mine = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                assert _sql(url, mine)
                _await(lambda: not _sql(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
                quick.discard()
                quick("say more", task="understand")
    assert [turn.request.text for turn in slow.history()] == ["say", "say more"]
    assert slow.unfinished is None


def test_connections_are_given_back(url: str, talk: Talk) -> None:
    agent = talk(url)
    for number in range(5):
        agent.thread(f"t{number}")("say", task="understand")
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'genllava' AND datname = current_database()"
    assert _sql(url, count)[0][0] <= 8
    _await(lambda: not _sql(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
    agent.close()
    _await(lambda: _sql(url, count)[0][0] == 0)
    assert len(agent.threads()) == 5, "a store that was closed is opened again by its use"


def test_many_stores_make_the_tables_at_once(url: str) -> None:
    failures: list[BaseException] = []

    def use(number: int) -> None:
        try:
            store = PostgresStore(url)
            say(store, f"t{number}", "one", waiting=Waiting())
            store.close()
        except BaseException as error:
            failures.append(error)

    users = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert failures == []
    store = PostgresStore(url)
    assert len(store.names()) == 12
    store.close()


def test_a_store_whose_server_is_gone_and_back(own: Postgres) -> None:
    store = PostgresStore(own.database())
    say(store, "a", "one")
    own.stop(signal.SIGQUIT)
    for use in (store.names, lambda: say(store, "a", "x")):
        began = time.monotonic()
        with pytest.raises(StoreFailed, match="server"):
            use()
        assert time.monotonic() - began < 15
    own.start()
    assert said(store, "a") == ["one", "one!"]
    say(store, "a", "two")
    store.close()


def test_whoever_lost_the_lock_puts_nothing_more(url: str) -> None:
    """The connection of a turn breaks between two nodes, and another process takes the thread."""
    slow, quick = PostgresStore(url), PostgresStore(url)
    say(slow, "a", "one")
    with pytest.raises(StoreFailed), slow.lock("a", NOW), storing():  # noqa: PT012
        saver = slow.saver("a")
        graph = graph_of(saver)
        given = {"messages": [HumanMessage("slow", id="slow")], "request": {"text": "slow"}}
        for node in graph.stream(given, at("a"), durability="sync"):
            if "think" in node:
                mine = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                assert _sql(url, mine)
                _await(lambda: not _sql(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
                assert resume(quick, "a")
                say(quick, "a", "two")
    assert said(slow, "a") == ["one", "one!", "slow", "slow!", "two", "two!"]
    for store in (slow, quick):
        store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE checkpoint_blobs SET blob = 'x'",
        "UPDATE checkpoint_blobs SET type = 'pickle'",
        "UPDATE checkpoint_writes SET blob = 'x'",
        "UPDATE checkpoint_writes SET blob = substr(blob, 1, 20)",
        "UPDATE checkpoint_writes SET type = 'json'",
    ],
)
def test_changed_bytes(change: str, url: str) -> None:
    store = PostgresStore(url)
    say(store, "a", "one", "ask two")
    say(store, "b", "one")
    _sql(url, f"{change} WHERE thread_id = 'a' AND type <> 'empty'")
    with pytest.raises(ThreadQuarantined, match="damaged"):
        said(store, "a")
    assert said(store, "b") == ["one", "one!"]
    with store.lock("a", NOW):
        store.delete("a")
    say(store, "a", "anew")
    assert said(store, "a") == ["anew", "anew!"]
    store.close()


def test_deleting_leaves_no_rows(url: str) -> None:
    store = PostgresStore(url)
    say(store, "a", "one", "ask two")
    with store.lock("a", NOW):
        store.artifacts("a").put("0" * 64, "png", b"x")
        with store.lock("b", NOW):
            store.branch("a", "b", [("0" * 64, "png")])
            store.delete("b")
        store.delete("a")
    for table in ("genllava_artifacts", "checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        assert _sql(url, f"SELECT 1 FROM {table}") == [], table
    store.close()


def test_nobody_writes_without_the_lock(url: str) -> None:
    store = PostgresStore(url)
    with pytest.raises(RuntimeError, match="lock"):
        store.artifacts("a").put("0" * 64, "png", b"x")
    given = {"messages": [HumanMessage("one", id="one")], "request": {"text": "one"}}
    with pytest.raises(StoreFailed, match="read-only"), storing():
        graph_of(store.saver("a")).invoke(given, at("a"), durability="sync")
    with store.lock("a", NOW):
        seen: list[str] = []
        reader = threading.Thread(target=lambda: seen.append(type(store.saver("a").conn).__name__))
        reader.start()
        reader.join()
        assert seen == ["ConnectionPool"], "only the thread of execution that took it"
    assert store.names() == []
    store.close()


def test_threads_of_version_0_1_are_not_taken_for_threads(url: str) -> None:
    """It kept states of waiting turns under ids, and in name spaces."""
    store = PostgresStore(url)
    say(store, "a", "one")
    _sql(url, "UPDATE checkpoints SET checkpoint_ns = 'interrupt'")
    assert store.names() == []
    store.close()


def test_a_server_that_was_never_there() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(StoreFailed, match="server"):
        store.names()
    with pytest.raises(StoreFailed, match="server"), store.lock("a", Waiting()):
        pass
    store.close()
