"""How far the preparation of a data set is: written to the disk after each shard."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from genllava.errors import InvalidRequest
from genllava_finetune.data.durable_files import sync, whole_file
from genllava_finetune.data.errors import DataError
from genllava_finetune.data.storing import UNFINISHED, Shard

_STATE: Final = "state.json"
_IDS: Final = "ids"


class Progress(BaseModel):
    """How far a preparation is.

    Attributes:
        options: what it was called with, which must be the same when it goes on.
        records: of the source that are dealt with.
        rows: in finished shards.
        shards: the finished ones.
        rejects_size: of the list of rejects, in bytes.
        rejected: how many there are by reason.
        finished: whether the source is at its end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any]
    records: int = 0
    rows: int = 0
    shards: tuple[Shard, ...] = ()
    rejects_size: int = 0
    rejected: dict[str, int] = {}
    finished: bool = False


def read_state(output: Path, options: Mapping[str, Any]) -> Progress:
    """The state on the disk; that of a beginning where there is none.

    Raises:
        InvalidRequest: it is of a preparation with other options.
        DataError: it cannot be read.
    """
    path = output / UNFINISHED / _STATE
    if not path.exists():
        return Progress(options=dict(options))
    try:
        state = Progress.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    for name, value in options.items():
        before = state.options.get(name)
        if before != value:
            says = f"{output} was begun with another {name}"
            changed = "it has changed" if name == "source file" else f"{before}, not {value}"
            raise InvalidRequest(f"{says}: {changed}. Give the same command to go on, or another folder")
    return state


def write_state(output: Path, state: Progress) -> None:
    """Replace the state on the disk."""
    with whole_file(output / UNFINISHED / _STATE) as file:
        file.write(state.model_dump_json().encode())


class SeenIds:
    """Which ids there were, by hashes of 64 bits, in memory and in a file."""

    def __init__(self, output: Path, rows: int) -> None:
        """Go on with the file.

        Args:
            rows: in finished shards; what the file has more is dropped.
        """
        path = output / UNFINISHED / _IDS
        known = array("Q")
        if rows:
            with path.open("rb") as file:
                known.fromfile(file, rows)
        self._seen = set(known)
        self._file = path.open("ab")
        self._file.truncate(rows * known.itemsize)

    def add(self, id: str) -> bool:
        """Whether the id is a new one."""
        digest = blake2b(id.encode(), digest_size=8).digest()
        number = array("Q", digest)[0]
        if number in self._seen:
            return False
        self._seen.add(number)
        self._file.write(digest)
        return True

    def save(self) -> None:
        """See that the file is on the disk."""
        sync(self._file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
