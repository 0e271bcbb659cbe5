"""Too much at once, clients that go away, and clients that do not listen."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import RateLimitError
from serving import MODEL, RED, Serving, error, served, until, user

from genllava_agent.serving.kept_pictures import KeptPictures

if TYPE_CHECKING:
    from genllava_agent import VisualAgent

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(agent: VisualAgent) -> Iterator[Serving]:
    """A server with room for two requests."""
    with served(agent, requests=2, batch=1, threads=2, seconds=60.0) as server:
        yield server


def test_one_too_many_is_told_when_to_come_again(small: Serving, agent: VisualAgent) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(small.post("/v1/images/generations", json={"prompt": "a large red circle"}))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    with agent.engine.lock:  # the model is busy
        for thread in threads:
            thread.start()
        until(lambda: small.figure("genllava_requests_at_work") == 2)
        refused = small.post("/v1/images/generations", json={"prompt": "a large red circle"})
        assert error(refused)[:2] == (429, "rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        with pytest.raises(RateLimitError):
            small.client().chat.completions.create(model=MODEL, messages=[user(RED)])
        assert small.get("/health").status_code == 200
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]


def test_openais_client_comes_again_by_itself(small: Serving, agent: VisualAgent) -> None:
    def hold() -> None:
        small.post("/v1/images/generations", json={"prompt": "a large red circle"})

    threads = [threading.Thread(target=hold) for _ in range(2)]
    with agent.engine.lock:
        for thread in threads:
            thread.start()
        until(lambda: small.figure("genllava_requests_at_work") == 2)
    made = small.client(retries=100).images.generate(prompt="a large red circle")
    assert made.data
    for thread in threads:
        thread.join()


def test_what_a_client_that_is_gone_asked_for_is_not_drawn(small: Serving, agent: VisualAgent) -> None:
    drawn = small.figure("genllava_batch_size_sum")
    with agent.engine.lock:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{small.url}/v1/images/generations", json={"prompt": "a large red circle", "n": 5}, timeout=0.5)
        until(lambda: small.figure("genllava_requests_at_work") == 0)
    assert small.post("/v1/images/generations", json={"prompt": "a large blue circle"}).status_code == 200
    assert small.figure("genllava_batch_size_sum") - drawn <= 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_whose_client_is_gone_stops(small: Serving, agent: VisualAgent, stream: bool) -> None:
    sent = {"model": MODEL, "messages": [user(RED)], "stream": stream}
    with agent.engine.lock:
        with (
            pytest.raises(httpx.ReadTimeout),  # where it is streamed, its beginning comes after a second
            httpx.stream("POST", f"{small.url}/v1/chat/completions", json=sent, timeout=1.5) as answer,
        ):
            list(answer.iter_lines())
        until(lambda: small.figure("genllava_requests_at_work") == 0)
    assert small.chat(user(RED)).status_code == 200


def test_a_request_has_so_much_time(agent: VisualAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genllava_agent.serving.gate._GRACE", 0.0)
    with served(agent, seconds=0.5) as server, agent.engine.lock:
        answer = server.post("/v1/images/generations", json={"prompt": "a large red circle"})
        assert error(answer)[:2] == (504, "timeout")
        until(lambda: server.figure("genllava_requests_at_work") == 0)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
            slow.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())  # and no more
            assert b" 504 " in slow.recv(1000)


def test_clients_that_never_read(agent: VisualAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """They ask again and again on one connection and take no answer: they lose it, and others are served meanwhile."""
    monkeypatch.setattr("genllava_agent.serving.command._UNREAD", 2)
    with served(agent, send_buffer=4096) as server:
        sent = {"prompt": "a large red circle", "response_format": "url"}
        address = server.post("/v1/images/generations", json=sent).json()["data"][0]["url"]
        ask = f"GET {address.removeprefix(server.url)} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            silent.connect(("127.0.0.1", server.port))
            silent.settimeout(60)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):  # and not that it took too long
                _send_for_ever(silent, ask * 100)
            assert server.chat(user("hello")).status_code == 200


def _send_for_ever(client: socket.socket, data: bytes) -> None:
    while True:
        client.sendall(data)


def test_bodies_together_have_a_limit(agent: VisualAgent) -> None:
    with served(agent, bodies_bytes=1_000_000) as server:
        headers = {"Content-Type": "application/json"}
        answer = server.post("/v1/chat/completions", content=b" " * 1_100_000, headers=headers)
        assert error(answer)[:2] == (429, "rate_limit_exceeded")
        assert server.chat(user("hello")).status_code == 200


def test_threads_in_memory_have_a_limit(small: Serving, agent: VisualAgent) -> None:
    before = len(agent.threads())
    for name in ("a", "b", "c"):
        assert small.chat(user("hello"), user=name).status_code == 200
    assert len(agent.threads()) == before + 2


def test_kept_pictures_have_a_limit() -> None:
    kept = KeptPictures("http://here", 250)
    first, second, third = (kept.put(bytes([place]) * 100) for place in range(3))
    names = [address.rpartition("/")[2] for address in (first, second, third)]
    assert [kept.get(name) is not None for name in names] == [False, True, True]
    text, files = kept.take_out(f"Look: ![image_1]({second})\n\nand ![image_2]({third}) and ![x](http://other/a.png)")
    assert text == "Look: \n\nand  and ![x](http://other/a.png)"
    assert files == [bytes([1]) * 100, bytes([2]) * 100]


def test_a_turn_of_many_chats_at_once(agent: VisualAgent) -> None:
    """Each gets its own answer."""
    colors = ["red", "blue", "green", "yellow"] * 2
    found: dict[int, Any] = {}
    with served(agent) as server:

        def ask(place: int) -> None:
            said = server.chat(user(f"draw a large {colors[place]} circle at the top left"), seed=place).json()
            found[place] = said["choices"][0]["message"]["content"]

        threads = [threading.Thread(target=ask, args=[place]) for place in range(len(colors))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [color in found[place] for place, color in enumerate(colors)] == [True] * len(colors)
