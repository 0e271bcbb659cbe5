"""The server as a deployment of Ray Serve: two replicas, of which one is killed while both are at work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from drawn import shapes
from openai import OpenAI
from pydantic import ValidationError
from serving import MODEL, Serving, free_port, opened, until, user

from genllava_agent.serving.replicas import ReplicaSettings, application

COLORS = ("red", "blue", "green", "yellow")
REQUESTS = 48
CLIENTS = 8
DOES_NOT_FIT = ({"replica": 2}, {"replicas": 0}, {"replicas": "two"}, {"server": {"requests": 0}})


@pytest.mark.parametrize("options", DOES_NOT_FIT, ids=str)
def test_an_option_that_does_not_fit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReplicaSettings.model_validate(options)


@pytest.fixture(scope="module")
def replicas() -> Iterator[Serving]:
    """A cluster on this machine with two replicas of the server."""
    ray = pytest.importorskip("ray")
    serve = pytest.importorskip("ray.serve")
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application({"replicas": "2"}), name="genllava")
        yield Serving(f"http://127.0.0.1:{port}")
    finally:
        serve.shutdown()
        ray.shutdown()


def pids() -> list[int]:
    """The processes of the replicas."""
    names = {each.pid: " ".join(each.cmdline()) for each in psutil.process_iter()}
    return [pid for pid, name in names.items() if "ServeReplica" in name]


def running() -> int:
    from ray import serve

    states: Any = serve.status().applications["genllava"].deployments["genllava"].replica_states
    return int(states.get("RUNNING", 0))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_one_is_killed_under_load_and_no_request_is_lost(replicas: Serving) -> None:
    asked = replicas.chat(user("what can you do?"))
    assert asked.status_code == 200, asked.text
    assert replicas.post("/v1/images/generations", json={"prompt": "a cat", "n": 100}).status_code == 400
    until(lambda: running() == 2, 300)
    killed, done = list[int](), threading.Event()

    def draw(number: int) -> set[tuple[str, ...]]:
        color = COLORS[number % len(COLORS)]
        client = OpenAI(base_url=f"{replicas.url}/v1", api_key="none", max_retries=20, timeout=600)
        made = client.images.generate(model=MODEL, prompt=f"a large {color} circle at the top left")
        if number >= CLIENTS and not done.is_set():  # all clients have asked, and some wait
            done.set()
            killed.append(pids()[0])
            os.kill(killed[0], signal.SIGKILL)
        return shapes(opened(str((made.data or [])[0].b64_json)))

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(draw, range(REQUESTS)))
    assert found == [{("large", COLORS[n % len(COLORS)], "circle", "top left")} for n in range(REQUESTS)]
    until(lambda: running() == 2 and killed[0] not in pids(), 300)
