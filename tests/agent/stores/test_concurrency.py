"""One turn at a time on a thread, whoever asks: every turn that was accepted is in the history, and no other."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashing import in_child
from talking import say

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadBusy
from genllava_agent.threads import Thread

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")

Talk = Callable[..., VisualAgent]
CLIENTS, PROCESSES = 8, 2


def _together(works: list[Callable[[], object]]) -> None:
    """Do all of it at once, each in a process of its own."""
    waiting = [threading.Thread(target=lambda work=work: outcomes.append(in_child(work, 3000))) for work in works]
    outcomes: list[int | None] = []
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    assert outcomes == [None] * len(works)


def _check(thread: Thread, accepted: list[list[Any]]) -> None:
    """`accepted`: (number of the turn, what was asked) as the clients were told."""
    history = thread.history()
    assert [turn.number for turn in history] == list(range(1, len(history) + 1))
    assert [turn.parent for turn in history] == [None, *(turn.id for turn in history[:-1])]
    assert sorted(accepted) == sorted([turn.number, turn.request.text] for turn in history)
    assert thread.unfinished is None


def _compete(talk: Talk, place: str, trials: int, report: Path) -> tuple[int, int]:
    """(accepted, refused) over all trials; every second trial refuses instead of queueing."""
    start = multiprocessing.get_context("fork").Barrier(CLIENTS * PROCESSES)

    def process(number: int) -> None:
        agents = {kind: talk(place, busy=kind) for kind in ("queue", "error")}
        told: dict[int, list[Any]] = {trial: [] for trial in range(trials)}

        def client(name: str) -> None:
            for trial in range(trials):
                agent = agents["error" if trial % 2 else "queue"]
                text = f"say {trial} {name}"
                start.wait(120)
                try:
                    reply = agent.thread(f"trial{trial}")(text, task="understand", seed=1)
                    told[trial].append([reply.turn, text])
                except ThreadBusy:
                    told[trial].append(None)

        clients = [threading.Thread(target=client, args=(f"{number}.{place}",)) for place in range(CLIENTS)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        Path(f"{report}{number}").write_text(json.dumps(told))

    _together([lambda number=number: process(number) for number in range(PROCESSES)])  # type: ignore[misc]
    told = [json.loads(Path(f"{report}{number}").read_text()) for number in range(PROCESSES)]
    agent = talk(place)
    answers = 0
    accepted = 0
    for trial in range(trials):
        all_told = [each for one in told for each in one[str(trial)]]
        taken = [each for each in all_told if each is not None]
        assert len(all_told) == CLIENTS * PROCESSES
        assert taken, "nobody got through"
        assert trial % 2 or len(taken) == len(all_told), "one who queued was refused"
        _check(agent.thread(f"trial{trial}"), taken)
        answers, accepted = answers + len(all_told), accepted + len(taken)
    return accepted, answers - accepted


def test_clients_of_two_processes(talk: Talk, lasting: str, tmp_path: Path) -> None:
    _compete(talk, lasting, 4, tmp_path / "report")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_clients_of_two_processes_in_200_trials(talk: Talk, lasting: str, tmp_path: Path) -> None:
    accepted, refused = _compete(talk, lasting, 200, tmp_path / "report")
    print(f"{CLIENTS} clients x {PROCESSES} processes x 200 trials: {accepted} accepted, {refused} refused, 0 lost")


def test_tasks(talk: Talk, place: str) -> None:
    agent = talk(place)

    async def ask(number: int) -> list[Any]:
        text = f"say {number}"
        return [(await agent.thread("a").acall(text, task="understand")).turn, text]

    async def all_of_them() -> list[list[Any]]:
        return await asyncio.gather(*(ask(number) for number in range(20)))

    _check(agent.thread("a"), asyncio.run(all_of_them()))


def test_a_task_that_is_cancelled_while_it_waits(talk: Talk, place: str) -> None:
    agent = talk(place)

    async def run() -> list[Any]:
        tasks = [asyncio.ensure_future(agent.thread("a").acall(f"say {n}", task="understand")) for n in range(6)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(run())
    assert isinstance(results[3], asyncio.CancelledError)
    accepted = [[reply.turn, f"say {number}"] for number, reply in enumerate(results) if number != 3]
    _check(agent.thread("a"), accepted)


def test_one_thread_object_for_everybody(talk: Talk, place: str) -> None:
    """Reading the history while turns run neither disturbs them nor shows half of one."""
    thread = talk(place).thread("a")
    told, stop, seen = list[list[Any]](), threading.Event(), list[int]()

    def read() -> None:
        while not stop.is_set():
            seen.append(len(thread.history()))

    def ask(number: int) -> None:
        for part in range(4):
            text = f"say {number} {part}"
            told.append([thread(text, task="understand").turn, text])

    reader = threading.Thread(target=read)
    reader.start()
    clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    _check(thread, told)


def test_the_lock_goes_with_the_process(talk: Talk, lasting: str) -> None:
    """A process that is killed in the middle of a turn keeps nobody waiting."""

    def work() -> None:
        for event in talk(lasting).thread("a").stream("draw a circle", task="generate", seed=1):
            if type(event).__name__ == "PlanWritten":
                os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work) == signal.SIGKILL
    thread = talk(lasting, busy="error").thread("a")
    assert thread.unfinished is not None
    deadline = time.monotonic() + 5  # a server needs a moment to notice
    while True:
        try:
            reply = thread.resume()
            break
        except ThreadBusy:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert reply.images[0].record.key == talk(":memory:")("draw a circle", task="generate", seed=1).images[0].record.key


def test_a_child_that_lives_on_does_not_keep_the_lock(talk: Talk, lasting: str) -> None:
    """Forked in the middle of a turn, as a data loader's workers are."""
    ready, agent = os.pipe(), talk(lasting, busy="error")
    for event in agent.thread("a").stream("draw a circle", task="generate", seed=1):
        if type(event).__name__ == "PlanWritten":
            child = os.fork()
            if child == 0:
                os.read(ready[0], 1)
                os._exit(0)
    try:
        assert talk(lasting, busy="error").thread("a")("say", task="understand").turn == 2
    finally:
        os.write(ready[1], b".")
        os.waitpid(child, 0)


def test_an_agent_that_is_used_on_both_sides_of_a_fork(talk: Talk, lasting: str) -> None:
    agent = talk(lasting)
    agent.thread("a")("say 1", task="understand")
    assert in_child(lambda: agent.thread("a")("say 2", task="understand")) is None
    agent.thread("a")("say 3", task="understand")
    _check(agent.thread("a"), [[number, f"say {number}"] for number in (1, 2, 3)])


def test_a_thread_that_another_process_deleted_and_began_again(talk: Talk, lasting: str) -> None:
    """What is said next goes into the new thread, and not into the file of the old one."""
    thread = talk(lasting).thread("a")
    thread("say 1", task="understand")

    def replace() -> None:
        other = talk(lasting).thread("a")
        other.delete()
        other("say other", task="understand")

    assert in_child(replace) is None
    assert [turn.request.text for turn in thread.history()] == ["say other"]
    thread("say 2", task="understand")
    _check(talk(lasting).thread("a"), [[1, "say other"], [2, "say 2"]])


def test_more_threads_than_stay_open(talk: Talk, tmp_path: Path) -> None:
    """Databases are closed in turn, but never under a turn that is running."""
    agent = talk(tmp_path / "store")
    started = threading.Event()

    def others() -> None:
        started.wait(60)
        for number in range(70):
            say(agent.store, f"other{number}", "x")

    busy = threading.Thread(target=others)
    busy.start()
    for event in agent.thread("a").stream("draw a circle", task="generate", seed=1):
        if type(event).__name__ == "PlanWritten":
            started.set()
            busy.join()
    assert len(agent.thread("a").history()) == 1
    assert len(agent.threads()) == 71
