"""Threads in a folder: each has one of its own, with a SQLite database and its artifacts.

    locks/NAME                        who writes the thread holds this file
    threads/NAME/checkpoints.sqlite   see `checkpoints`
    threads/NAME/artifacts/KEY.png    pictures, KEY.jpg where they came so; KEY.safetensors: latents
    threads/NAME/unfinished.*         being written, or left by a process that ended; removed at the end of a turn

A thread that is damaged hurts no other, and one that is deleted takes with it what only it had.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Final

from genllava_agent.errors import StoreFailed, ThreadNotFound
from genllava_agent.stores import version_0_1
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.base import Artifacts, Store
from genllava_agent.stores.checkpoints import DATABASE, UNFINISHED, FolderSaver, sync_folder
from genllava_agent.stores.faults import storing
from genllava_agent.stores.names import artifact_name, file_name, thread_name
from genllava_agent.stores.waiting import Locks, Waiting

try:
    import fcntl
except ImportError:  # Windows: turns are in order within a process, and not across processes
    fcntl = None  # type: ignore[assignment]

_OPEN: Final = 64
"""Databases kept open; the one that was used longest ago is closed."""
_BEGUN: Final = "begun"
"""Stands in the folder of a thread from when it branches off another until it is settled."""
_INHERITED: Final[list[object]] = []
"""Savers with databases that were open when the process was forked: they are the parent's, and must not be closed."""


class FolderStore(Store):
    """Threads in the folder `root`.

    Args:
        sweep: remove what is there of threads without a checkpoint whose branching off was cut off.

    Raises:
        StoreFailed: the folder cannot be made or written.
    """

    def __init__(self, root: Path, *, sweep: bool = True) -> None:
        self.root = root
        self._open: dict[str, FolderSaver] = {}
        self._begin()
        try:
            with storing():
                for folder in ("threads", "locks"):
                    (root / folder).mkdir(parents=True, exist_ok=True)
                for rest in (root / "threads").glob(".*"):  # of threads whose deletion was cut off
                    shutil.rmtree(rest, ignore_errors=True)
                if sweep:
                    self._sweep()
        except ValueError as error:  # a NUL in the path
            raise StoreFailed(f"{root!r} cannot be a folder: {error}") from None

    def _sweep(self) -> None:
        for begun in (self.root / "threads").glob(f"*/{_BEGUN}"):
            path = self.root / "locks" / begun.parent.name
            with path.open("ab") as file:
                if fcntl is None or not _try_flock(file) or (begun.parent / DATABASE).is_file():
                    continue
                shutil.rmtree(begun.parent, ignore_errors=True)
                path.unlink(missing_ok=True)

    def names(self) -> list[str]:
        with storing():
            files = [*self._threads.glob(f"*/{DATABASE}"), *self._threads.glob(f"*/{version_0_1.DATABASE}")]
            names = {thread_name(file.parent.name) for file in files}
            return sorted(name for name in names if name is not None)

    def exists(self, name: str) -> bool:
        folder = self._folder(name)
        with storing():
            return (folder / DATABASE).is_file() or (folder / version_0_1.DATABASE).is_file()

    def saver(self, name: str) -> FolderSaver:
        folder = self._folder(name)
        self._own()
        with self._guard:
            saver = self._open.pop(name, None) or FolderSaver(folder)
            self._open[name] = saver
            if len(self._open) > _OPEN:
                idle = (other for other in self._open if other != name and not self._locks.used(other))
                if (oldest := next(idle, None)) is not None:
                    self._open.pop(oldest).close()
            return saver

    def artifacts(self, name: str) -> Artifacts:
        return FolderArtifacts(self._folder(name))

    def settle(self, name: str) -> None:
        folder = self._folder(name)
        self.saver(name).settle()
        with storing():
            for rest in [*folder.glob(f"{UNFINISHED}*"), folder / _BEGUN]:
                rest.unlink(missing_ok=True)

    def branch(self, name: str, other: str, named: Collection[tuple[str, str]]) -> None:
        self.refuse_taken(other)
        source, target = FolderArtifacts(self._folder(name)), FolderArtifacts(self._folder(other))
        try:
            with storing():
                target.folder.mkdir(parents=True, exist_ok=True)
                (target.folder.parent / _BEGUN).touch()
                for key, kind in dict.fromkeys(named):
                    target.link(source, key, kind)
                sync_folder(target.folder)
        except BaseException:
            shutil.rmtree(target.folder.parent, ignore_errors=True)
            raise

    def delete(self, name: str) -> None:
        folder = self._folder(name)
        self._own()
        with self._guard:
            saver = self._open.pop(name, None)
        if saver is not None:
            saver.close()
        gone = folder.with_name(f".{uuid.uuid4().hex}")
        with storing():
            if folder.is_dir():
                folder.rename(gone)  # at once; what a crash leaves below is no thread, and removed by the next store
                sync_folder(folder.parent)
                with suppress(FileNotFoundError):  # a store that was opened just now may be removing it as well
                    shutil.rmtree(gone)
            self._lock_file(name).unlink(missing_ok=True)

    def old(self, name: str) -> version_0_1.OldThread | None:
        return version_0_1.read_thread(self._folder(name))

    @contextmanager
    def lock(self, name: str, waiting: Waiting) -> Iterator[None]:
        path = self._lock_file(name)
        self._own()
        with self._locks.of(name).held(waiting):
            if fcntl is None:
                yield
                return
            with _locked(path, waiting) as file:
                try:
                    yield
                finally:  # a child of this process may have the file too, so that closing it is not enough
                    fcntl.flock(file.fileno(), fcntl.LOCK_UN)

    def close(self) -> None:
        self._own()
        with self._guard:
            for saver in self._open.values():
                saver.close()
            self._open.clear()

    @property
    def _threads(self) -> Path:
        return self.root / "threads"

    def _folder(self, name: str) -> Path:
        return self._threads / file_name(name)

    def _lock_file(self, name: str) -> Path:
        return self.root / "locks" / file_name(name)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._locks = Locks()
        self._guard = threading.Lock()

    def _own(self) -> None:
        """Begin anew after a fork."""
        if self._process != os.getpid():
            _INHERITED.append(self._open)
            self._open = {}
            self._begin()


class FolderArtifacts(Artifacts):
    """Artifacts of the thread in `thread`."""

    def __init__(self, thread: Path) -> None:
        self.folder = thread / "artifacts"

    def put(self, key: str, kind: str, data: bytes) -> None:
        target = self.folder / artifact_name(key, kind)
        with storing():
            if not (target.is_file() and target.read_bytes() == data):
                self.folder.mkdir(parents=True, exist_ok=True)
                unfinished = self.folder.parent / f"{UNFINISHED}{uuid.uuid4().hex}"
                try:
                    with unfinished.open("xb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    unfinished.replace(target)
                except BaseException:
                    unfinished.unlink(missing_ok=True)
                    raise
            sync_folder(self.folder)  # also where it is there already: whoever put it may not have come this far

    def get(self, key: str, kind: str) -> bytes:
        target = self.folder / artifact_name(key, kind)
        with storing():
            try:
                return target.read_bytes()
            except FileNotFoundError:
                if not self.folder.parent.is_dir():
                    raise ThreadNotFound(f"the thread of {target.name} was deleted") from None
                raise damaged(f"{target.name} is missing in {self.folder}") from None

    def has(self, key: str, kind: str) -> bool:
        with storing():
            return (self.folder / artifact_name(key, kind)).is_file()

    def link(self, other: FolderArtifacts, key: str, kind: str) -> None:
        """Have an artifact of another thread under a name of our own, since files are never changed; a copy of it
        where the disk has no links."""
        name = artifact_name(key, kind)
        try:
            os.link(other.folder / name, self.folder / name)
        except OSError:
            self.put(key, kind, other.get(key, kind))


def _locked(path: Path, waiting: Waiting) -> BufferedWriter:
    """The file at `path`, locked; the lock goes with the process, however that ends."""
    while True:
        with storing():
            file = path.open("ab")
        try:
            waiting.until(lambda: _try_flock(file))  # noqa: B023
            if _same(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it deleted the thread, and the file with it


def _try_flock(file: BufferedWriter) -> bool:
    with storing():
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _same(file: BufferedWriter, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
