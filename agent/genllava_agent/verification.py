"""Whether a picture shows what was planned, by what the model itself sees in it, and an edit changes anything."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass


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


def doubt(plan: str, before: str, request: str) -> str:
    """What is said of the plan of an edit that would change nothing; empty for any other.

    Args:
        before: caption of the picture that is edited; empty if it is not known.
    """
    if not before or compare(plan, before).mismatches:
        return ""
    return f"it should show what the picture before it shows, so I may have misunderstood {request!r}"


def phrases(text: str) -> list[str]:
    """What a plan or a caption names, piece by piece."""
    parts = re.split(r"[,.;]", " ".join(text.lower().split()))
    return [part.strip() for part in parts if part.strip()]
