"""The drawings of things, prepared once and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from genllava_finetune.worlds.things.art.archives import NotFetched
from genllava_finetune.worlds.things.art.preparing import prepare_art


@pytest.fixture(scope="session")
def things_art() -> Path:
    """The folder of drawings. Of several processes one makes it, and the others wait; what was made stays."""
    try:
        return prepare_art()
    except NotFetched as error:
        pytest.skip(f"no drawings of things: {error}")
