"""Whether a picture shows what was planned and asked for, by what the model itself sees in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from genllava.protocols.shapes.layout import phrases

PLAUSIBLE: Final = 0.15
"""Of the words of a picture, how likely they are as a plan, from where it can be what was asked for. On dev what a
request left open, drawn otherwise than planned, came to 0.16 at least, and what contradicted it to 0.13 at most."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a picture compares with its plan and with the request.

    Attributes:
        missing, extra: what was planned and is not there, and what is there besides.
        asked: whether it is what was asked for; what differs from the plan alone was the model's own choice.
    """

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    asked: bool = True

    @property
    def mismatches(self) -> int:
        """How much is not as planned; 0 where nothing is."""
        return max(len(self.missing), len(self.extra))

    @property
    def badness(self) -> tuple[bool, int]:
        """The less, the better."""
        return not self.asked, self.mismatches

    @property
    def unsure(self) -> str:
        """What is wrong, in words; empty where nothing is."""
        if self.asked:
            return ""
        if not self.mismatches:
            return "it shows what I planned, and I may have misunderstood what you asked for"
        wanted, found = " and ".join(self.missing), " and ".join(self.extra)
        if wanted and found:
            return f"it should show {wanted}, and seems to show {found} instead"
        if wanted:
            return f"{wanted} seems to be missing"
        return f"{found} seems to be too much" if found else ""


def compare(plan: str, caption: str, likelihood: float | None = None) -> Comparison:
    """Compare the plan of a picture with a caption of it, phrase by phrase; their order does not matter.

    Args:
        likelihood: how likely the model is to plan the caption for what was asked (`Conversation.likelihood`); where it
            is not known, what was planned is taken for what was asked.
    """
    planned, seen = Counter(phrases(plan)), Counter(phrases(caption))
    asked = planned == seen if likelihood is None else likelihood >= PLAUSIBLE
    return Comparison(tuple((planned - seen).elements()), tuple((seen - planned).elements()), asked)


def as_planned(plan: str, caption: str) -> str:
    """A caption in the order of the plan: what is there instead of something planned comes in its place."""
    comparison, parts = compare(plan, caption), []
    missing, extra = Counter(comparison.missing), list(comparison.extra)
    for phrase in phrases(plan):
        if not missing[phrase]:
            parts.append(phrase)
            continue
        missing[phrase] -= 1
        if extra:
            parts.append(extra.pop(0))
    parts[-1:-1] = extra  # the background comes last
    return ", ".join(parts)


def doubt(plan: str, before: str, request: str) -> str:
    """What is said of the plan of an edit that would change nothing; empty for any other.

    Args:
        before: caption of the picture that is edited; empty if it is not known.
    """
    if not before or compare(plan, before).mismatches:
        return ""
    return f"it should show what the picture before it shows, so I may have misunderstood {request!r}"
