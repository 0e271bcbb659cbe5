"""`genllava serve` and `genllava web` as they are typed: what cannot be is one line, before anything is loaded."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import free_port, until

from genllava_agent.cli import main
from genllava_agent.serving import listening

ALIKE = (
    (["--port", "99999"], "cannot listen"),
    (["--host", "no such host"], "cannot listen"),
    (["--public-url", "here"], "--public-url"),
    (["--model", "/no/such/folder"], "unknown model"),
    (["--store", " "], "folder"),
    (["--nothing"], "unrecognized"),
)
OWN = {
    "serve": (
        (["--seconds", "0"], "--seconds"),
        (["--pixels", "1000000000"], "--pixels"),
        (["--api-key", ""], "--api-keys"),
    ),
    "web": (
        (["--turns", "0"], "--turns"),
        (["--auth", "nobody"], "--auth: a login is USER:PASSWORD"),
        (["--share"], "unrecognized"),
    ),
}
REFUSED = [(command, *each) for command, own in OWN.items() for each in (*ALIKE, *own)]
HEAVY = {"gradio", "fastapi", "uvicorn", "starlette", "torch", "langchain_core", "pydantic"}
both = pytest.mark.parametrize("command", OWN)


def said(command: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as left:
        main([command, *arguments])
    return left.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("command", "option"), [("serve", "--api-key"), ("web", "--auth")])
def test_help_loads_nothing_heavy(command: str, option: str) -> None:
    probe = f"""
import sys
from genllava_agent.cli import main
try: main(["{command}", "--help"])
except SystemExit: pass
heavy = {HEAVY} & set(sys.modules)
assert not heavy, heavy
"""
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for each in (option, "--model", "--port", "--public-url"):
        assert each in ran.stdout


@both
def test_a_port_in_use(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, text = said(command, ["--port", str(taken.getsockname()[1])], capsys)
    assert code == 2
    assert "choose another --port" in text


@pytest.mark.parametrize(("command", "package"), [("serve", "prometheus_client"), ("web", "gradio")])
def test_what_is_missing_is_named(
    command: str, package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "find_spec", lambda name: None if name == package else object())
    code, text = said(command, [], capsys)
    assert code == 2
    assert f"genllava {command} needs {package}: pip install 'genllava[{command}]'" in text


@pytest.mark.parametrize(("command", "arguments", "text"), REFUSED)
def test_what_cannot_be(command: str, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = said(command, arguments, capsys)
    assert code == 2
    assert text in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize(("command", "quiet"), [("serve", []), ("web", ["--no-browser"])])
def test_a_model_that_cannot_be_loaded_is_one_line(
    command: str, quiet: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "GenLlavaPipeline"}')
    code, told = said(command, ["--model", str(tmp_path), "--port", "0", "--store", ":memory:", *quiet], capsys)
    assert code == 2
    assert told.strip().splitlines()[-1].startswith("error:")
    assert "Traceback" not in told


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_end() -> None:
    port = free_port()
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
