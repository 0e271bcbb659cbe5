"""One loaded model for the tests that need an agent, and tools that are gone with the test that declares them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small random checkpoint of a layout (`tiny_checkpoints.KINDS`), written when first asked for."""
    home = tmp_path_factory.mktemp("checkpoints")

    def written(kind: str) -> Path:
        from tiny_checkpoints import save

        folder = home / kind.replace(" ", "-")
        return folder if folder.is_dir() else save(kind, folder)

    return written


@pytest.fixture
def using(tiny: Callable[[str], Path]) -> Iterator[Callable[..., None]]:
    """Choose the layouts of tools' models for one test: `using(detection="owlv2")`; None: it is not here."""
    from genllava_tools import use_model
    from genllava_tools.models import models

    def choose(**kinds: str | None) -> None:
        for name, kind in kinds.items():
            use_model(name, tiny(kind) if kind else "nobody/nothing")

    yield choose
    for each in models():
        use_model(each.name, None)
