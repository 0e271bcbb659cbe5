"""Stores of every kind, a model of random weights whose turns take milliseconds, and a real PostgreSQL."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from langgraph.checkpoint.memory import InMemorySaver
from postgresql import Postgres, disk_in_memory, running

from genllava_agent import VisualAgent
from genllava_agent.stores import open_store
from genllava_agent.stores.base import Store
from genllava_agent.stores.serializer import serializer

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests here share: `crashing`, and this `conftest`
SETTINGS: dict[str, Any] = {"verify": 0, "margin": 0.0, "num_inference_steps": 1}


def build_terse() -> GenLlavaPipeline:
    """Random weights, and a liking for special tokens: whatever is written ends soon."""
    from genllava.protocols.shapes.tokens import SPECIAL_TOKENS

    path = Path(__file__).parents[2] / "genllava" / "shapes" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_pipeline", path)
    assert spec is not None
    assert spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    pipeline = tiny.build_pipeline()
    ids = pipeline.protocol.language.tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    with torch.no_grad():
        pipeline.vlm.lm_head.weight[ids] *= 10
    pipeline.protocol.refresh_null_embeds()
    return pipeline  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def terse() -> GenLlavaPipeline:
    """A small model for many turns. Processes are forked from this one, so that it works in one thread."""
    torch.set_num_threads(1)
    return build_terse()


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: for tests that write so much that a disk would be waited for."""
    if disk_in_memory() is None:
        yield tmp_path
        return
    path = Path(tempfile.mkdtemp(prefix="genllava-test-", dir=disk_in_memory()))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def talk(terse: GenLlavaPipeline) -> Iterator[Callable[..., VisualAgent]]:
    """Makes agents of the small model; they are closed with the test."""
    agents: list[VisualAgent] = []

    def make(store: Any, **options: Any) -> VisualAgent:
        agents.append(VisualAgent(terse, store=store, **SETTINGS | options))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL. The tests that need it are skipped where there is none and none can be installed."""
    with running() as server:
        yield server


@pytest.fixture(params=["memory", "folder", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for threads, of every kind."""
    if request.param == "memory":
        return ":memory:"
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("postgres").database()


@pytest.fixture(params=["folder", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that outlives the process."""
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("postgres").database()


@pytest.fixture(params=["memory", "folder", "postgres", "a saver of the user's own"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of every kind."""
    if request.param == "postgres":
        store = open_store(request.getfixturevalue("postgres").database())
    elif request.param == "memory":
        store = open_store(":memory:")
    else:
        own = InMemorySaver(serde=serializer()) if request.param != "folder" else None
        store = open_store(tmp_path / "store", own)
    yield store
    store.close()
