"""Tests run in two processes (`-n 2` in pyproject.toml; `pytest -n 0` for one), each with one thread of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: threads of two processes would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")  # the libraries' bars, where a test looks at what our own code prints


@pytest.fixture
def own_tools() -> Iterator[None]:
    """What a test declares is taken off the list again."""
    from genllava_tools.registry import forget, tools

    before = {tool.name for tool in tools()}
    yield
    for tool in tools():
        if tool.name not in before:
            forget(tool.name)
