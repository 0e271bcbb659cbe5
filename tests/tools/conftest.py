"""One loaded model for the tests that need an agent, and tools that are gone with the test that declares them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

sys.path.append(str(Path(__file__).parent))  # for what the tests here share: `photos`, `script`


@pytest.fixture(scope="session")
def pipeline() -> GenLlavaPipeline:
    """The model that ships."""
    from genllava import GenLlavaPipeline

    return GenLlavaPipeline.from_pretrained()


@pytest.fixture
def own_tools() -> Iterator[None]:
    """What a test declares is taken off the list again."""
    from genllava_tools.registry import forget, tools

    before = {tool.name for tool in tools()}
    yield
    for tool in tools():
        if tool.name not in before:
            forget(tool.name)
