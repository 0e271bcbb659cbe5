"""A front end that others wrote: `llm`, a program for chats in a terminal, as docs/serving.md has it set up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from drawn import shapes
from serving import MODEL, RED, Serving, opened, served

if TYPE_CHECKING:
    from genllava_agent import VisualAgent

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
KEY = "secret"
EDITED = {("large", "green", "circle", "top left")}


@dataclass(frozen=True)
class FrontEnd:
    """The program, with a folder of its own for settings and conversations."""

    program: Path
    folder: Path

    def run(self, *words: str, said: str = "", code: int = 0) -> str:
        """What is printed, to both outputs, when this is typed, and the lines of `said` then."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["LLM_USER_PATH"] = str(self.folder)
        done = subprocess.run(
            [self.program, *words],
            input=said,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def last(self) -> dict[str, Any]:
        """What it kept of its last request."""
        kept: dict[str, Any] = json.loads(self.run("logs", "-n", "1", "--json"))[0]
        return kept


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, newly installed; skipped where no packages can be had."""
    folder = tmp_path_factory.mktemp("llm")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", "llm"]
    try:
        subprocess.run(install, capture_output=True, text=True, timeout=300, check=True)
    except (subprocess.SubprocessError, OSError) as fault:
        pytest.skip(f"llm cannot be installed here: {fault}")
    return programs / ("llm.exe" if sys.platform == "win32" else "llm")


@pytest.fixture(scope="module")
def guarded(agent: VisualAgent) -> Iterator[Serving]:
    """A server that asks for a key."""
    with served(agent, api_keys=(KEY,)) as server:
        yield server


@pytest.fixture
def llm(program: Path, guarded: Serving, tmp_path: Path) -> FrontEnd:
    """The program with the settings that the documentation shows."""
    settings = TEXT.partition("```yaml\n")[2].partition("```")[0]
    assert settings.count("http://localhost:8000") == 1
    (tmp_path / "extra-openai-models.yaml").write_text(settings.replace("http://localhost:8000", guarded.url))
    front_end = FrontEnd(program, tmp_path)
    front_end.run("keys", "set", "genllava", "--value", KEY)
    return front_end


def link(printed: str) -> str:
    """The address of the last picture in what was printed."""
    assert "](" in printed, printed
    return printed.rpartition("](")[2].partition(")")[0]


@pytest.mark.slow
def test_it_lists_the_model(llm: FrontEnd) -> None:
    assert f"OpenAI Chat: {MODEL}" in llm.run("models").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_a_prompt_is_answered(llm: FrontEnd, streams: bool) -> None:
    more = [] if streams else ["--no-stream"]
    printed = llm.run("-m", MODEL, "-o", "seed", "1", *more, f"{RED}, then tell me what is at the top left")
    assert printed.strip().endswith("A large red circle.")
    assert shapes(opened(httpx.get(link(printed)).content)) == {("large", "red", "circle", "top left")}
    kept = llm.last()
    assert kept["response"] == printed.removesuffix("\n")
    assert (kept["response_json"]["object"] == "chat.completion.chunk") is streams
    assert min(kept["input_tokens"], kept["output_tokens"]) > 0


@pytest.mark.slow
def test_a_picture_is_attached(llm: FrontEnd, drawing: bytes, tmp_path: Path) -> None:
    (tmp_path / "drawing.png").write_bytes(drawing)
    printed = llm.run("-m", MODEL, "-a", str(tmp_path / "drawing.png"), "What colour is the circle?")
    assert printed == "The circle is red.\n"


@pytest.mark.slow
def test_the_link_of_a_reply_is_attached(llm: FrontEnd) -> None:
    drawn = llm.run("-m", MODEL, "-o", "seed", "1", RED)
    assert llm.run("-m", MODEL, "-a", link(drawn), "What colour is the circle?") == "The circle is red.\n"


@pytest.mark.slow
def test_a_conversation_goes_on(llm: FrontEnd) -> None:
    llm.run("-m", MODEL, "-o", "seed", "1", RED)
    edited = llm.run("-c", "-o", "seed", "1", "make it green")
    assert shapes(opened(httpx.get(link(edited)).content)) == EDITED
    assert llm.run("-c", "What colour is the circle?") == "The circle is green.\n"


@pytest.mark.slow
def test_a_chat(llm: FrontEnd) -> None:
    printed = llm.run("chat", "-m", MODEL, "-o", "seed", "1", said=f"{RED}\nmake it green\nquit\n")
    assert printed.count("](") == 2
    assert shapes(opened(httpx.get(link(printed)).content)) == EDITED


@pytest.mark.slow
def test_what_is_refused_is_said_in_a_line(llm: FrontEnd) -> None:
    assert llm.run("-m", MODEL, "--key", "wrong", RED, code=1) == "Error: Error code: 401 - the API key is wrong\n"
    assert "replies are text" in llm.run("-m", MODEL, "-o", "json_object", "1", RED, code=1)
