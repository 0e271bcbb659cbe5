"""Checkpoints that the tests of the whole model share."""

from __future__ import annotations

import pytest

from tests.genllava.forced import Layouts


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    """Small random checkpoints in public layouts."""
    return Layouts(tmp_path_factory.mktemp("layouts"))
