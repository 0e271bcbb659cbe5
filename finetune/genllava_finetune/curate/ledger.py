"""The ledger of a curation: a file to which a line is added for each answer, and that is never rewritten.

    {"key": "9c1f...", "step": "llava.detail", "attempt": 1, "status": "ok", "answer": "...", "parsed": {...},
     "reason": "", "usage": {"input_tokens": 210, "output_tokens": 64}, "latency": 1.91, "prompt": "...", "model": ".."}

A line is on the disk (fsync) before what it says is used. A process that is killed while it writes leaves a last line
without an end: it is taken away when the ledger is next opened, and its request is asked again. Which answers there are
is known from an index of places in the file; the answers themselves stay on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

from genllava.errors import InvalidRequest
from genllava_finetune.data.errors import DataError

Status = Literal["ok", "invalid", "refused", "error"]
ANSWERED: frozenset[str] = frozenset(("ok", "invalid", "refused"))
"""What the model answered, well or not; after an `error` there is no answer, and the request is asked again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Attributes:
        key: of the request, see `request_key`.
        step: of the pipeline.
        attempt: 1 for the request itself, 2 for the first that asks to put an invalid answer right, and so on.
        status: "ok"; "invalid": the answer is not of the form that was asked for; "refused": the model declined;
            "error": there was no answer.
        answer: the model's words as they came.
        parsed: what they say, where they could be read.
        reason: why it is not "ok".
        usage: tokens, as the provider counts them; None where it does not say.
        latency: seconds from the request to the answer.
        prompt: name, version and hash of the prompt.
        model: provider and name.
    """

    key: str
    step: str
    attempt: int
    status: Status
    answer: str = ""
    parsed: Any = None
    reason: str = ""
    usage: dict[str, int] | None = None
    latency: float = 0.0
    prompt: str = ""
    model: str = ""


def request_key(parts: Mapping[str, Any]) -> str:
    """The name of a request: SHA-256 (hexadecimal) of all that its answer depends on, as JSON in a fixed form."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class Ledger:
    """A ledger that is open for writing; one process has it at a time. Use it in a `with` block.

    Attributes:
        path: the file.
        reads: further ledgers that are only read: those of other processes that work on the same folder.
    """

    path: Path
    reads: tuple[Path, ...] = ()
    _places: dict[tuple[str, int], tuple[Path, int, int]] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)
    _read_to: dict[Path, int] = field(default_factory=dict)
    _file: int = -1
    _lock: Any = None

    def __enter__(self) -> Self:
        """Open it, with what earlier runs wrote.

        Raises:
            InvalidRequest: another process has it open.
            DataError: it cannot be read or written; the message names file and line.
        """
        from filelock import FileLock, Timeout

        self._lock = FileLock(f"{self.path}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise InvalidRequest(f"another process is writing {self.path}: let it end, or choose another -o") from None
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror or error}") from None
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._mend()
            self.refresh()
        except OSError as error:
            self.close()
            raise DataError(f"cannot read {self.path}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._lock.release()

    def refresh(self) -> None:
        """Take in what other processes have written to the ledgers that are only read.

        Raises:
            DataError: a line of one is damaged; the message says which.
        """
        for path in (self.path, *self.reads):
            for place, size, entry in _lines(path, self._read_to.get(path, 0)):
                self._know(entry, path, place, size)
                self._read_to[path] = place + size

    def __contains__(self, key: object) -> bool:
        return key in self._last

    def __len__(self) -> int:
        return len(self._last)

    def latest(self, key: str) -> Entry | None:
        """The last answer to a request, also one that is invalid; None where there is none yet."""
        attempt = self._last.get(key)
        if attempt is None:
            return None
        path, place, size = self._places[key, attempt]
        with path.open("rb") as file:
            file.seek(place)
            return _entry(file.read(size))

    def add(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            DataError: it could not be written, as where the disk is full. The file is as it was before.
        """
        line = json.dumps(asdict(entry), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        place = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, place)
            raise DataError(
                f"cannot write {self.path}: {error.strerror or error}. What it holds is kept: make room, and run the "
                "same command again to go on"
            ) from None
        self._know(entry, self.path, place, len(line))
        self._read_to[self.path] = place + len(line)

    def _know(self, entry: Entry, path: Path, place: int, size: int) -> None:
        if entry.status in ANSWERED:
            self._places.setdefault((entry.key, entry.attempt), (path, place, size))
            self._last[entry.key] = max(entry.attempt, self._last.get(entry.key, 0))

    def _mend(self) -> None:
        """Take away a last line that was not written to its end."""
        size = os.fstat(self._file).st_size
        end = size
        with self.path.open("rb") as file:
            while end > 0:
                start = max(0, end - (1 << 16))
                file.seek(start)
                found = file.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
        if end < size:
            os.ftruncate(self._file, end)
            os.fsync(self._file)


def merge(into: Ledger, shards: tuple[Path, ...]) -> int:
    """Add to a ledger what it lacks of other ledgers; how many lines that were.

    Raises:
        DataError: a shard is damaged, or the ledger cannot be written.
    """
    count = 0
    for shard in shards:
        for _, _, entry in _lines(shard, 0):
            if entry.status not in ANSWERED or (entry.key, entry.attempt) not in into._places:
                into.add(entry)
                count += 1
    return count


def _lines(path: Path, start: int) -> Iterator[tuple[int, int, Entry]]:
    """The whole lines of a ledger from a place on: place, size in bytes, entry."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        place = start
        for line in file:
            if not line.endswith(b"\n"):  # its writer has not finished it, or was killed
                return
            try:
                entry = _entry(line)
            except (ValueError, TypeError, RecursionError):
                number = _line_number(path, place)
                raise DataError(
                    f"{path}, line {number}: it is no entry of a ledger. The file was changed by another program: "
                    "take the line out, and its request is asked again"
                ) from None
            yield place, len(line), entry
            place += len(line)


def _entry(line: bytes) -> Entry:
    value = json.loads(line)
    entry = Entry(**value)
    if not isinstance(entry.key, str) or not isinstance(entry.attempt, int):
        raise TypeError("a key is a string, and an attempt a number")
    return entry


def _line_number(path: Path, place: int) -> int:
    with path.open("rb") as file:
        return file.read(place).count(b"\n") + 1
