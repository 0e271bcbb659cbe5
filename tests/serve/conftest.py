"""One model and one server for all tests that need no other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "agent"):  # for what tests share
    sys.path.append(str(folder))

if TYPE_CHECKING:
    from serving import Serving

    from genllava import GenLlavaPipeline
    from genllava_agent import VisualAgent


@pytest.fixture(scope="session")
def pipeline() -> GenLlavaPipeline:
    """The model that ships."""
    from genllava import GenLlavaPipeline

    return GenLlavaPipeline.from_pretrained()


@pytest.fixture(scope="session")
def agent(pipeline: GenLlavaPipeline) -> Iterator[VisualAgent]:
    """An agent whose threads are in memory."""
    from genllava_agent import VisualAgent

    with VisualAgent(pipeline, store=":memory:") as agent:
        yield agent


@pytest.fixture(scope="session")
def server(agent: VisualAgent) -> Iterator[Serving]:
    """A server as `genllava serve` has it by default."""
    from serving import served

    with served(agent) as server:
        yield server


@pytest.fixture(scope="session")
def drawing(pipeline: GenLlavaPipeline) -> bytes:
    """The file of a picture: a large red circle at the top left, a small blue square in the middle."""
    from drawn import CIRCLE
    from serving import png

    image = pipeline.generate(CIRCLE, seed=1).image
    assert image is not None
    return png(image)
