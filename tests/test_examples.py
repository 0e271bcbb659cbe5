"""The notebooks run from top to bottom, check what they show, and are stored with pictures and nothing else."""

from __future__ import annotations

import ast
import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))

needs_weights = pytest.mark.skipif(
    not (ROOT / "genllava" / "shipped" / "model_index.json").is_file(), reason="this checkout has no shipped weights"
)


SLOW = dict.fromkeys(("03", "05", "06", "07"), pytest.mark.slow)
"""Notebooks whose tools run trained networks on photographs, or that draw many pictures."""


RUNS = [pytest.param(path, marks=SLOW.get(path.name[:2], ())) for path in NOTEBOOKS]


def named(path: Path) -> str:
    return path.stem


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook: Any) -> list[Image.Image]:
    found = [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    """One process for all of them, so that the libraries are loaded once; nothing outside can be reached from it."""
    roots = [str(ROOT), *(str(ROOT / source) for source in ("agent", "finetune", "tools"))]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(roots), "HF_HUB_OFFLINE": "1"}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=env, cwd=str(tmp_path_factory.mktemp("examples")))
    yield manager
    manager.shutdown_kernel(now=True)


def test_there_are_all() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07", "08"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_what_is_stored_is_clean(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell.metadata for cell in notebook.cells if cell.metadata] == []
    assert "assert " in code[-1].source  # each checks what it shows
    for output in outputs(notebook):
        assert output.output_type in ("stream", "execute_result", "display_data")
        assert output.get("name", "stdout") == "stdout"  # no warnings, no progress bars
    assert pictures(notebook)
    assert path.stat().st_size < 500_000
    assert not re.search(r"/home/|/root/|/work/|/tmp/|https?://", path.read_text())
    for cell in code:
        ast.parse(cell.source.replace("%%capture", ""), type_comments=False)


@needs_weights
@pytest.mark.parametrize("path", RUNS, ids=named)
def test_notebooks_run(path: Path, kernel: KernelManager) -> None:
    stored, notebook = read(path), read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    NotebookClient(notebook, km=kernel, timeout=300).execute()
    assert [output for output in outputs(notebook) if output.get("name") == "stderr"] == []
    assert len(pictures(notebook)) == len(pictures(stored))
    for now, then in zip(pictures(notebook), pictures(stored), strict=True):
        assert now.size == then.size
