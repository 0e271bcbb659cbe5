"""One model, one page and one browser for all tests that need no other."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from genllava_agent.addresses import is_loopback

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "agent"):  # for what tests share
    sys.path.append(str(folder))

if TYPE_CHECKING:
    from visiting import Visit

    from genllava import GenLlavaPipeline
    from genllava_agent import VisualAgent

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
"""Without these a browser calls home, and as root or without a graphics card it does not start."""


@pytest.fixture(scope="session")
def pipeline() -> GenLlavaPipeline:
    """The model that ships."""
    from genllava import GenLlavaPipeline

    return GenLlavaPipeline.from_pretrained()


@pytest.fixture(scope="session")
def agent(pipeline: GenLlavaPipeline) -> Iterator[VisualAgent]:
    """An agent whose threads are in memory."""
    from genllava_agent import VisualAgent

    with VisualAgent(pipeline, store=":memory:", previews=8) as agent:
        yield agent


@pytest.fixture(scope="session")
def address(agent: VisualAgent) -> Iterator[str]:
    """Where a page as `genllava web` has it is served. This process connects to nothing outside of the machine."""
    pytest.importorskip("gradio", reason="the page needs genllava[web]")
    from visiting import served

    outside, connect = list[Any](), socket.socket.connect

    def connected(self: socket.socket, where: Any) -> None:
        if isinstance(where, tuple) and not is_loopback(str(where[0])):
            outside.append(where)
        connect(self, where)

    with patch.object(socket.socket, "connect", connected), served(agent) as address:
        yield address
    assert outside == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser that is on this machine; none is fetched."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium on this machine; CHROMIUM may name one")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(address: str, browser: Any) -> Iterator[Callable[..., Visit]]:
    """Opens the page as somebody new; what was asked for from elsewhere, or went wrong in the page, fails the test."""
    from visiting import Visit

    open_visits = list[Visit]()

    def one(**options: Any) -> Visit:
        open_visits.append(Visit(browser, options.pop("address", address), **options))
        return open_visits[-1]

    yield one
    for each in open_visits:
        each.leave()
    for each in open_visits:
        assert each.elsewhere == []
        assert each.faults == []
