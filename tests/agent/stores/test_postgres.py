"""What is particular to PostgreSQL: a server that goes away, connections that break, rows that somebody changed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from conftest import Postgres

from genllava_agent import VisualAgent
from genllava_agent.errors import StoreFailed, ThreadQuarantined
from genllava_agent.records import Head
from genllava_agent.stores.postgres import PostgresStore
from genllava_agent.stores.waiting import Waiting

Talk = Callable[..., VisualAgent]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def own(postgres: Postgres) -> Iterator[Postgres]:
    """The server, for tests that stop it."""
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
    assert thread.unfinished is not None
    reference = talk(":memory:").thread("a")
    reference("say", task="understand")
    reference("draw a circle", task="generate", seed=1)
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
            with store.lock(f"t{number}", Waiting()):
                store.open(f"t{number}").save_head(Head(name=f"t{number}"))
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


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE genllava_turns SET body = replace(body, 'say', 'yas')",
        "UPDATE genllava_turns SET id = 'x'",
        "DELETE FROM genllava_turns",
        "UPDATE genllava_threads SET sum = ''",
        "UPDATE genllava_threads SET body = '{}'",
    ],
)
def test_changed_rows(change: str, url: str, talk: Talk) -> None:
    agent = talk(url)
    agent.thread("b")("say", task="understand")
    agent.thread("a")("say", task="understand")
    _sql(url, f"{change} WHERE {'name' if 'threads' in change else 'thread'} = 'a'")
    with pytest.raises(ThreadQuarantined):
        talk(url).thread("a").history()
    assert len(agent.thread("b").history()) == 1
    agent.thread("a").delete()
    assert agent.threads() == ["b"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE checkpoint_blobs SET blob = 'x'",
        "UPDATE checkpoint_blobs SET type = 'pickle'",
        "UPDATE checkpoints SET checkpoint = '{}'",
        "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,session}', '\"other\"')",
        "UPDATE checkpoint_writes SET blob = 'x'",
        "DELETE FROM checkpoint_writes",
        "DELETE FROM checkpoint_blobs",
        "DELETE FROM checkpoints",
    ],
)
def test_a_changed_state(change: str, url: str, talk: Talk) -> None:
    thread = talk(url).thread("a")
    thread("draw a circle", task="generate", seed=1, approve="generate")
    _sql(url, change)
    with pytest.raises(ThreadQuarantined, match="discard"):
        thread.approve()
    thread.discard()
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        assert _sql(url, f"SELECT 1 FROM {table}") == []
    assert thread("say", task="understand").turn == 1


def test_deleting_a_thread_leaves_no_rows(url: str, talk: Talk) -> None:
    thread = talk(url).thread("a")
    thread("draw a circle", task="generate", seed=1)
    thread.branch("b")
    thread("draw a circle", task="generate", seed=2, approve="generate")
    thread.delete()
    talk(url).thread("b").delete()
    for table in ("genllava_threads", "genllava_turns", "genllava_artifacts", "checkpoints", "checkpoint_blobs"):
        assert _sql(url, f"SELECT 1 FROM {table}") == [], table


def test_nobody_writes_without_the_lock(url: str) -> None:
    store = PostgresStore(url)
    with pytest.raises(RuntimeError, match="lock"):
        store.open("a").save_head(Head(name="a"))
    store.close()


def test_a_server_that_was_never_there() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(StoreFailed, match="server"):
        store.names()
    with pytest.raises(StoreFailed, match="server"), store.lock("a", Waiting()):
        pass
    store.close()
