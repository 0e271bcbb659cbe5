"""Who may use a server, and what it says of requests in its log."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
from openai import AuthenticationError
from serving import MODEL, Serving, error, served, until

from genllava_agent.serving import access

if TYPE_CHECKING:
    from genllava_agent import VisualAgent

PAGE = "https://chat.example.org"


@pytest.fixture(scope="module")
def guarded(agent: VisualAgent) -> Iterator[Serving]:
    with served(agent, api_keys=("first", "sécond"), origins=(PAGE,), hosts=("127.0.0.1",)) as server:
        yield server


def test_keys(guarded: Serving) -> None:
    assert [model.id for model in guarded.client("first").models.list()] == [MODEL]
    accented = {"Authorization": "Bearer sécond".encode()}
    assert guarded.get("/v1/models", headers=accented).status_code == 200
    with pytest.raises(AuthenticationError):
        guarded.client("wrong").models.list()
    for headers in ({}, {"Authorization": "first"}, {"Authorization": "Basic first"}, {"Authorization": "Bearer"}):
        answer = guarded.get("/v1/models", headers=headers)
        assert error(answer)[:2] == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_of_the_interface_needs_a_key(guarded: Serving) -> None:
    for path in ("/v1/chat/completions", "/v1/images/generations", "/v1/images/edits", "/v1/nothing"):
        assert error(guarded.post(path, json={}))[0] == 401
    for path in ("/health", "/metrics"):
        assert guarded.get(path).status_code == 200


def test_each_key_is_compared_whole(guarded: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    constant_time = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return constant_time(one, other)

    monkeypatch.setattr(access.hmac, "compare_digest", compare)
    guarded.client("first").models.list()
    assert len(compared) == 2
    assert {len(part) for pair in compared for part in pair} == {32}


def test_pages_of_others(guarded: Serving, server: Serving) -> None:
    key = {"Authorization": "Bearer first"}
    allowed = guarded.get("/v1/models", headers={**key, "Origin": PAGE})
    assert allowed.headers["access-control-allow-origin"] == PAGE
    other = guarded.get("/v1/models", headers={**key, "Origin": "https://other.example"})
    assert error(other)[1] == "origin_not_allowed"
    form = server.post("/v1/images/edits", headers={"Origin": PAGE}, files={"image": b""})
    assert error(form)[1] == "origin_not_allowed"
    asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert httpx.options(f"{guarded.url}/v1/models", headers=asks).status_code == 200
    assert "access-control-allow-origin" not in server.get("/v1/models").headers


def test_names_of_others(guarded: Serving) -> None:
    key = {"Authorization": "Bearer first"}
    for host in ("evil.example", "evil.example:80", "[", ""):
        assert error(guarded.get("/v1/models", headers={**key, "Host": host}))[1] == "host_not_allowed"


def test_no_path_and_no_header_reaches_the_log(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        server.get("/secret-path?secret=query", headers={"X-Secret": "secret-header", "User-Agent": "secret-agent"})
        server.get("/files/secret-file.png")
        server.post("/v1/images/generations", json={"prompt": "secret words", "n": 100}, headers={"X-A": "secret"})
        # A line is written after its answer was sent.
        until(lambda: sum(r.name.startswith("genllava") for r in caplog.records) >= 3)
    names = ("genllava", "uvicorn")
    lines = {name: [r.getMessage() for r in caplog.records if r.name.startswith(name)] for name in names}
    assert [line.split()[:2] for line in lines["genllava"]] == [
        ["none", "404"], ["/files/{name}", "404"], ["/v1/images/generations", "400"],
    ]  # fmt: skip
    assert "secret" not in str(lines)


def test_figures(server: Serving) -> None:
    before = server.figure("genllava_requests_total")
    server.get("/v1/models")
    assert server.figure("genllava_requests_total") >= before + 1
    text = server.get("/metrics").text
    for name in ("genllava_request_seconds_bucket", "genllava_batch_size_bucket", "genllava_pictures_waiting"):
        assert name in text
