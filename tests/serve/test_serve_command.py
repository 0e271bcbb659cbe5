"""`genllava serve` as it is typed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
from serving import until

from genllava_agent.cli import main
from genllava_agent.serving import command


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as left:
        main(["serve", *arguments])
    return left.value.code, capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    probe = """
import sys
from genllava_agent.cli import main
try: main(["serve", "--help"])
except SystemExit: pass
heavy = {"fastapi", "uvicorn", "starlette", "torch", "langchain_core", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "--api-key" in ran.stdout


def test_a_port_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, text = said(["--port", str(taken.getsockname()[1])], capsys)
    assert code == 2
    assert "choose another --port" in text


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "uvicorn" else object())
    code, text = said([], capsys)
    assert code == 2
    assert "pip install 'genllava[serve]'" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "99999"], "cannot listen"),
        (["--host", "no such host"], "cannot listen"),
        (["--seconds", "0"], "--seconds"),
        (["--pixels", "1000000000"], "--pixels"),
        (["--public-url", "here"], "--public-url"),
        (["--model", "/no/such/folder"], "unknown model"),
        (["--store", " "], "folder"),
        (["--nothing"], "unrecognized"),
        (["--api-key", ""], "--api-keys"),
    ],
)
def test_what_cannot_be(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(arguments, capsys)
    assert code == 2
    assert text in told


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    typed = [sys.executable, "-m", "genllava_agent.cli", "serve", "--port", str(port), "--host", "127.0.0.1"]
    key = {**os.environ, "GENLLAVA_API_KEY": "secret"}
    server = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, env=key)

    def answers() -> bool:
        assert server.poll() is None
        try:
            return httpx.get(f"http://localhost:{port}/health").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        until(answers, 180)
        assert httpx.get(f"http://localhost:{port}/v1/models").status_code == 401
        sent = {"Authorization": "Bearer secret"}
        assert httpx.get(f"http://localhost:{port}/v1/models", headers=sent).status_code == 200
    finally:
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=60)
    assert f"serving at http://127.0.0.1:{port}/v1" in told
    assert "Traceback" not in told
