"""Importing the package costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import genllava

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import sys
import genllava
dir(genllava)
genllava.CheckpointError, genllava.Drawing
heavy = {"torch", "transformers", "diffusers", "numpy", "PIL", "langgraph"} & set(sys.modules)
assert not heavy, heavy
import genllava.protocols.shapes.tokens, genllava.protocols.shapes.layout, genllava.errors
heavy = {"torch", "transformers", "diffusers", "numpy", "PIL", "langgraph"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_loads_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", PROBE], check=True, cwd=ROOT)


def test_every_name_can_be_had() -> None:
    for name in genllava.__all__:
        assert getattr(genllava, name) is not None
        assert name in dir(genllava)
    assert len(genllava.__all__) <= 16
    with pytest.raises(AttributeError, match="no attribute"):
        genllava.nothing  # noqa: B018
