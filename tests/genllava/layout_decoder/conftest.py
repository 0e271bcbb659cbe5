"""The small decoder of layouts."""

from __future__ import annotations

import copy

import pytest

from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from tests.genllava.layout_decoder import small


@pytest.fixture(scope="session")
def pipeline() -> LayoutDecoderPipeline:
    """For tests that leave it as it is."""
    return small.pipeline()


@pytest.fixture
def own(pipeline: LayoutDecoderPipeline) -> LayoutDecoderPipeline:
    """One that the test may change."""
    return copy.deepcopy(pipeline)
