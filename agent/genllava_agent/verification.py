"""Whether a picture shows what was planned, by what the model itself sees in it, and the plan what was asked."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

DOUBTED: Final = 0.6
"""A plan less certain than this may be a misunderstanding: below it lay 69% of the wrong plans of edits, and 8% of the
right ones (dev, docs/log.md)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a picture should show and does not, and what it shows besides."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def mismatches(self) -> int:
        """How much is wrong; 0 where nothing is."""
        return max(len(self.missing), len(self.extra))

    @property
    def unsure(self) -> str:
        """That in words; empty where nothing is wrong."""
        wanted, found = " and ".join(self.missing), " and ".join(self.extra)
        if wanted and found:
            return f"it should show {wanted}, and seems to show {found} instead"
        if wanted:
            return f"{wanted} seems to be missing"
        return f"{found} seems to be too much" if found else ""


def compare(plan: str, caption: str) -> Comparison:
    """Compare the plan of a picture with a caption of it, phrase by phrase; their order does not matter."""
    planned, seen = Counter(phrases(plan)), Counter(phrases(caption))
    return Comparison(tuple((planned - seen).elements()), tuple((seen - planned).elements()))


def doubt(certainty: float | None, request: str) -> str:
    """What is said of a plan that is hardly certain (`Drawing.certainty`); empty for any other."""
    return "" if certainty is None or certainty >= DOUBTED else f"I may have misunderstood {request!r}"


def phrases(text: str) -> list[str]:
    """What a plan or a caption names, piece by piece."""
    parts = re.split(r"[,.;]", " ".join(text.lower().split()))
    return [part.strip() for part in parts if part.strip()]
