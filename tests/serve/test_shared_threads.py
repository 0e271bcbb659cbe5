"""Two servers on one PostgreSQL, as docs/deploy.md has them: threads go on in either, and after a restart."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from drawn import shapes
from postgresql import running
from serving import RED, Serving, opened, until, user

GREEN = {("large", "green", "circle", "top left")}
STARTS, STOPS = 600.0, 120.0
"""Seconds for a server to load its model, and to end, on a machine that is busy."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a database whose owner may do nothing else."""
    import psycopg

    with running() as server:
        url = server.database()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE genllava LOGIN")
            connection.execute(f"ALTER DATABASE {connection.info.dbname} OWNER TO genllava")
        yield url.replace("tester@", "genllava@")


@contextmanager
def serves(store: str) -> Iterator[Serving]:
    """`genllava serve` in a process of its own, on a port that is free."""
    typed = [sys.executable, "-m", "genllava_agent.cli", "serve", "--port", "0", "--store", store]
    process = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True)
    lines = list[str]()
    assert process.stderr is not None
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()

    def address() -> str | None:
        assert process.poll() is None, lines
        found = [line.partition("serving at ")[2].strip() for line in lines if "serving at " in line]
        return found[0].removesuffix("/v1") if found else None

    try:
        until(address, STARTS)
        yield Serving(str(address()))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(STOPS) in (0, 130)  # 130: by Ctrl-C
        finally:
            process.kill()  # one that does not end is not left behind
            reader.join(10)
    assert "Traceback" not in "".join(lines)


def say(server: Serving, text: str) -> dict[str, Any]:
    """The reply to this on one and the same thread."""
    answer = server.chat(user(text), user="alice", seed=1)
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return message


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thread_goes_on_in_another_server_and_after_a_restart(database: str) -> None:
    with serves(database) as second:
        with serves(database) as first:
            say(first, RED)
            edited = say(second, "make it green")
            assert shapes(opened(edited["images"][0]["image_url"]["url"])) == GREEN
        with serves(database) as first:
            assert say(first, "what colour is the circle?")["content"] == "The circle is green."
            with ThreadPoolExecutor(2) as pool:  # one turn waits for the other, though they are in two processes
                replies = list(pool.map(say, [first, second], ["draw a small blue star at the bottom right", RED]))
            names = {reply["content"].partition("![")[2].partition("]")[0] for reply in replies}
            assert names == {"image_3", "image_4"}
