"""Small random pipelines in public layouts, saved once per session by diffusers itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest

from benchmarks.layouts.decoders import LAYOUTS
from genllava.image_decoder import load_diffusion

OWN_CLASSES = {"dreamlite": "DreamLitePipeline", "longcat_image": "LongCatImagePipeline"}
"""Layouts whose pipelines older versions of diffusers lack."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a layout, by its name."""
    root = tmp_path_factory.mktemp("decoders")

    def folder(name: str) -> Path:
        for start, kind in OWN_CLASSES.items():
            if name.startswith(start) and not hasattr(diffusers, kind):
                pytest.skip(f"this diffusers has no {kind}")
        if not (root / name).exists():
            LAYOUTS[name](root / name)
        return root / name

    return folder


@pytest.fixture(scope="session")
def shared(checkpoint: Callable[[str], Path]) -> Callable[[str], Any]:
    """A loaded pipeline, by its layout's name; tests that change one load their own."""
    loaded: dict[str, Any] = {}

    def pipeline(name: str) -> Any:
        if name not in loaded:
            loaded[name] = load_diffusion(checkpoint(name))
        return loaded[name]

    return pipeline


@pytest.fixture
def own(shared: Callable[[str], Any]) -> Callable[[str], Any]:
    """A pipeline that the test may change."""
    return lambda name: copy.deepcopy(shared(name))
