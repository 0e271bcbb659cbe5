"""Shares with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `n`, with Wilson's 95% interval (Wilson 1927)."""

    right: int
    n: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Share:
        values = list(outcomes)
        return cls(sum(values), len(values))

    @property
    def value(self) -> float:
        return self.right / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high); (0, 1) for no cases."""
        if not self.n:
            return 0.0, 1.0
        share, z2 = self.value, Z95**2
        middle = share + z2 / (2 * self.n)
        half = Z95 * math.sqrt(share * (1 - share) / self.n + z2 / (4 * self.n**2))
        scale = 1 + z2 / self.n
        low = 0.0 if self.right == 0 else (middle - half) / scale
        high = 1.0 if self.right == self.n else (middle + half) / scale
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"

    def as_dict(self) -> dict[str, float]:
        low, high = self.interval
        return {"share": self.value, "low": low, "high": high, "right": self.right, "n": self.n}
