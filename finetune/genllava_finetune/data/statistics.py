"""What a data set consists of: counts, sizes of pictures, lengths, licences, sources and duplicates."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from genllava_finetune.data.row_facts import LENGTHS, RowFacts
from genllava_finetune.data.row_kinds import ROW_KINDS

PERCENTILES: Final = (5, 25, 50, 75, 95, 99)
DUPLICATES: Final = ("rows", "pictures", "questions")
"""Rows with the messages and pictures of an earlier row; pictures with the bytes of an earlier one; questions that
were asked of the same pictures before."""


class Statistics:
    """Counts over rows, each of which is looked at once and not kept.

    It takes 16 bytes and an entry of a set for every row, question and picture, and 4 bytes for every length.

    Attributes:
        invalid: how many stored rows are none; `first_invalid` says what is wrong with the first.
        rejects: records that gave no row when the data set was prepared, by reason.
    """

    def __init__(self) -> None:
        self.rows = self.picture_bytes = self.unreadable = self.invalid = 0
        self.first_invalid = ""
        self.rejects = Counter[str]()
        self.roles, self.kinds, self.sources, self.licenses = (Counter[str]() for _ in range(4))
        self.pictures_per_row, self.sizes = Counter[int](), Counter[tuple[int, int]]()
        self.words, self.tokens = ({name: array("I") for name in LENGTHS} for _ in range(2))
        self.duplicates = Counter[str]()
        self._seen: dict[str, set[bytes]] = {name: set() for name in DUPLICATES}

    def add(self, facts: RowFacts) -> None:
        """Count a row."""
        self.rows += 1
        self.kinds[facts.kind] += 1
        self.licenses[facts.license] += 1
        self.sources[facts.source] += 1
        self.roles.update(facts.roles)
        self.pictures_per_row[len(facts.sizes)] += 1
        self.sizes.update(size for size in facts.sizes if size is not None)
        self.unreadable += facts.sizes.count(None)
        self.picture_bytes += facts.picture_bytes
        for name in LENGTHS:
            self.words[name].extend(facts.words[name])
            self.tokens[name].extend(facts.tokens[name])
        for name, digests in facts.digests.items():
            for key in digests:
                self.duplicates[name] += key in self._seen[name]
                self._seen[name].add(key)

    def add_invalid(self, reason: str) -> None:
        """Count what is stored as a row and is none."""
        self.invalid += 1
        self.first_invalid = self.first_invalid or reason

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        widths, heights = ([size[side] for size in self.sizes.elements()] for side in (0, 1))
        report: dict[str, Any] = {
            "rows": self.rows,
            "invalid": self.invalid,
            "first_invalid": self.first_invalid or None,
            "messages": self.roles.total(),
            "turns": self.roles["user"],
            "roles": _by_count(self.roles),
            "kinds": {kind: self.kinds[kind] for kind in ROW_KINDS},
            "sources": _by_count(self.sources),
            "licenses": _by_count(self.licenses),
            "pictures": {
                "count": len(widths) + self.unreadable,
                "different": len(self._seen["pictures"]),
                "unreadable": self.unreadable,
                "bytes": self.picture_bytes,
                "per_row": {str(count): rows for count, rows in sorted(self.pictures_per_row.items())},
                "width": distribution(widths),
                "height": distribution(heights),
                "commonest_sizes": {f"{wide}x{high}": n for (wide, high), n in self.sizes.most_common(8)},
            },
            "words": {name: distribution(values) for name, values in self.words.items()},
            "duplicates": {name: self.duplicates[name] for name in DUPLICATES},
            "rejects": {"count": self.rejects.total(), "reasons": _by_count(self.rejects)},
        }
        if any(self.tokens.values()):
            report["tokens"] = {name: distribution(values) for name, values in self.tokens.items()}
        return report


def distribution(values: Sequence[int]) -> dict[str, float]:
    """Count, sum, mean, least, percentiles and most of numbers; the count alone where there are none."""
    import numpy as np

    if not len(values):
        return {"count": 0}
    numbers = np.asarray(values, np.int64)
    shares = np.percentile(numbers, PERCENTILES, method="inverted_cdf")
    return {
        "count": len(numbers),
        "sum": int(numbers.sum()),
        "mean": round(float(numbers.mean()), 2),
        "min": int(numbers.min()),
        **{f"p{share}": int(value) for share, value in zip(PERCENTILES, shares, strict=True)},
        "max": int(numbers.max()),
    }


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
