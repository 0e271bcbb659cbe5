"""One loaded model for all tests of the agent, and a browser."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from genllava_agent import VisualAgent

if TYPE_CHECKING:
    from scripted import Scripted

    from genllava import GenLlavaPipeline

sys.path.append(str(Path(__file__).parent))  # for what the tests here share: `installing`
QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars --disable-sync"
ALONE = "--disable-background-networking --disable-component-update"


@pytest.fixture(scope="session")
def pipeline() -> GenLlavaPipeline:
    """The model that ships."""
    from genllava import GenLlavaPipeline

    return GenLlavaPipeline.from_pretrained()


@pytest.fixture
def agent(pipeline: GenLlavaPipeline) -> Iterator[VisualAgent]:
    """An agent whose threads are gone with the test."""
    with VisualAgent(pipeline, store=":memory:") as agent:
        yield agent


@pytest.fixture
def kept(pipeline: GenLlavaPipeline, tmp_path: Path) -> Iterator[VisualAgent]:
    """An agent whose threads are in a folder."""
    with VisualAgent(pipeline, store=tmp_path / "store") as agent:
        yield agent


class Browser:
    """Chromium without a window."""

    def __init__(self, program: str, folder: Path) -> None:
        self._command = [program, *QUIET.split(), *ALONE.split(), f"--user-data-dir={folder / 'profile'}"]
        self._folder = folder

    def picture(self, page: Path, width: int, height: int) -> Image.Image:
        """What it shows in a window of this size."""
        shot = self._folder / "shot.png"
        self._run(f"--window-size={width},{height}", f"--screenshot={shot}", page.as_uri())
        return Image.open(shot).convert("RGB")

    def dom(self, page: Path) -> str:
        """The page as it understands it."""
        return self._run("--dump-dom", page.as_uri())

    def _run(self, *arguments: str) -> str:
        return subprocess.run([*self._command, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """A real browser. The tests that need it are skipped where there is none and none can be installed."""
    from installing import install

    names = ("chromium", "chromium-browser", "google-chrome")
    if not any(map(shutil.which, names)) and not install("chromium"):
        pytest.skip("no Chromium here, and none can be installed by apt-get")
    return Browser(next(filter(None, map(shutil.which, names))), tmp_path)


@pytest.fixture
def planned(pipeline: GenLlavaPipeline) -> Callable[..., tuple[VisualAgent, Scripted]]:
    from scripted import Scripted

    def make(*script: Any, wait: float = 0.0, **options: Any) -> tuple[VisualAgent, Scripted]:
        model = Scripted(script=list(script), wait=wait)
        options = {"tools": (), **options}  # visual tools have tests of their own
        return VisualAgent(pipeline, store=":memory:", seed=1, decider=model, **options), model

    return make
