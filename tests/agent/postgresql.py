"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from installing import install


class Postgres:
    """A server of our own, on a socket in its folder.

    Attributes:
        folder: where everything of it is.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="genllava-pg-", dir=disk_in_memory()))
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


@contextmanager
def running() -> Iterator[Postgres]:
    """A running PostgreSQL. The test that asks for it is skipped where there is none and none can be installed."""
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


def disk_in_memory() -> Path | None:
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
