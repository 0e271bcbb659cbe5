"""One loaded model for all tests of the agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genllava_agent import VisualAgent

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline


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
