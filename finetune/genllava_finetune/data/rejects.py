"""Records that give no row: a line of JSON each in `rejects.jsonl`, and how many there are by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from genllava_finetune.data.durable_files import sync
from genllava_finetune.data.records import Origin, Rejected

REJECTS: Final = "rejects.jsonl"
_REASONS: Final = 50
_OTHERS: Final = "other reasons"


class Rejects:
    """The list, which is added to.

    Attributes:
        counts: by reason; what stands behind a colon is particular to one record and left out, and reasons after the
            fiftieth are counted together.
    """

    def __init__(self, folder: Path, size: int, counts: Mapping[str, int]) -> None:
        """Go on with the list.

        Args:
            size: of the file in bytes; what it has more is dropped.
            counts: of what is in it.
        """
        self.counts = Counter(counts)
        self._file = (folder / REJECTS).open("ab")
        self._file.truncate(size)

    def add(self, origin: Origin, rejected: Rejected) -> None:
        """Add a record."""
        line = {"file": origin.file, "line": origin.line, "reason": rejected.reason, "id": rejected.id}
        self._file.write(json.dumps(line).encode() + b"\n")
        reason = rejected.reason.split(": ")[0]
        self.counts[reason if reason in self.counts or len(self.counts) < _REASONS else _OTHERS] += 1

    def save(self) -> int:
        """See that the list is on the disk; its size in bytes."""
        sync(self._file)
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
