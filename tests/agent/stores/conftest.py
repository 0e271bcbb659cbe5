"""Stores of every kind, a model of random weights whose turns take milliseconds, and a real PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from installing import install
from langgraph.checkpoint.memory import InMemorySaver

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
    if _memory() is None:
        yield tmp_path
        return
    path = Path(tempfile.mkdtemp(prefix="genllava-test-", dir=_memory()))
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


class Postgres:
    """A server of our own, on a socket in its folder.

    Attributes:
        folder: where everything of it is.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="genllava-pg-", dir=_memory()))
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:  # it refuses to run as root
            import pwd

            user = pwd.getpwnam("postgres" if _user_exists("postgres") else "nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "tester", "-E", "UTF8", "--locale=C")
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = ["-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=200"]
        self._server = subprocess.Popen(
            [self._programs / "postgres", "-D", self.folder / "data", *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            **self._user,
        )
        for _ in range(600):
            answer = subprocess.run(
                [self._programs / "pg_isready", "-q", "-h", self.folder, "-U", "tester"], check=False, **self._user
            )
            if answer.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it: SIGINT in order, SIGQUIT at once."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(60)
            self._server = None

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """The URL of a new database."""
        import psycopg

        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments], cwd=self.folder, check=True, capture_output=True, **self._user
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL. The tests that need it are skipped where there is none and none can be installed."""
    pytest.importorskip("psycopg")
    programs = _programs() or (_programs() if install("postgresql") else None)
    if programs is None:
        pytest.skip("no PostgreSQL server here (initdb), and none can be installed by apt-get")
    server = Postgres(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


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


def _memory() -> Path | None:
    """A disk in memory, if there is one."""
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None


def _user_exists(name: str) -> bool:
    import pwd

    return any(user.pw_name == name for user in pwd.getpwall())


def _programs() -> Path | None:
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    found += [file.parent for file in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    found = [folder for folder in found if (folder / "postgres").exists() and (folder / "pg_isready").exists()]
    return found[0] if found else None
