"""The report: every figure with its interval, as data and as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.scoring import Score
from genllava_finetune.evaluate.suites import Case
from genllava_finetune.shapes.dialogue import EditCheck, SceneCheck

GROUPS = ("questions", "generation", "editing", "conversation", "outside")


@dataclass(slots=True)
class Report:
    """Figures by suite.

    Attributes:
        suites: every suite's share of right cases.
        details: finer shares by suite: families, tags, operations, turns, routing.
        confusion: chosen tasks by right task, over the single-turn cases.
        baselines: by suite and kind.
        fingerprints: SHA-256 of every suite.
    """

    split: str
    suites: dict[str, Share] = field(default_factory=dict)
    details: dict[str, dict[str, Share]] = field(default_factory=dict)
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    baselines: dict[str, dict[str, Share]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)

    def add_single(self, name: str, cases: Sequence[Case], scores: Sequence[Score]) -> None:
        """Book a suite of single turns."""
        self.suites[name] = Share.of(score.right for score in scores)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, score in zip(cases, scores, strict=True):
            turn = case.dialogue.turns[0]
            details["routing"].append(score.routed)
            row = self.confusion.setdefault(turn.steps[0].task, {})
            route = score.routes[0] if score.routes else "none"
            row[route] = row.get(route, 0) + 1
            if score.planned is not None:
                details["plan right"].append(score.planned)
                details["picture can be read"].append(not score.unparsed)
            if isinstance(turn.check, SceneCheck):
                for tag in turn.check.tags:
                    details[f"tag {tag}"].append(score.right)
            elif isinstance(turn.check, EditCheck):
                details["change made"].append(bool(score.changed))
                details["all else kept"].append(bool(score.preserved))
                for operation in dict.fromkeys(turn.check.operations):
                    details[f"operation {operation}"].append(score.right)
            elif "/" in name:
                details[f"family {turn.family}"].append(score.right)
        self.details[name] = {key: Share.of(values) for key, values in details.items()}

    def add_conversations(self, name: str, conversations: Sequence[Sequence[Score]]) -> None:
        """Book a suite of conversations: right where every turn is."""
        self.suites[name] = Share.of(all(score.right for score in scores) for scores in conversations)
        turns: dict[str, list[bool]] = defaultdict(list)
        for scores in conversations:
            for number, score in enumerate(scores, 1):
                turns[f"turn {number}"].append(score.right)
                turns["every turn"].append(score.right)
                turns["routing"].append(score.routed)
        self.details[name] = {key: Share.of(values) for key, values in turns.items()}

    def headlines(self) -> dict[str, Share]:
        """The figures the model is judged by."""
        rows: dict[str, Share] = {}
        routing = [d["routing"] for n, d in self.details.items() if "routing" in d and "/" not in n]
        withheld = [d["routing"] for n, d in self.details.items() if "routing" in d and "/" in n]
        families = [share for name, share in self.suites.items() if name.startswith("questions.")]
        for title, shares in (
            ("routing", routing),
            ("routing, held out", withheld),
            ("questions, all families", families),
        ):
            if shares:
                rows[title] = Share(sum(s.right for s in shares), sum(s.n for s in shares))
        if families:
            rows["questions, worst family"] = min(families, key=lambda share: share.value)
        rows |= {name: share for name, share in self.suites.items() if not name.startswith("questions.")}
        return rows

    def as_dict(self) -> dict[str, Any]:
        def plain(shares: dict[str, Share]) -> dict[str, Any]:
            return {name: share.as_dict() for name, share in shares.items()}

        return {
            "split": self.split,
            "headlines": plain(self.headlines()),
            "suites": plain(self.suites),
            "details": {name: plain(shares) for name, shares in self.details.items()},
            "confusion": self.confusion,
            "baselines": {name: plain(shares) for name, shares in self.baselines.items()},
            "fingerprints": self.fingerprints,
        }

    def markdown(self) -> str:
        """All tables."""
        parts = [_table(f"Figures on the {self.split} split", self.headlines())]
        families = {n.split(".")[1]: s for n, s in self.suites.items() if n.startswith("questions.")}
        if families:
            parts.append(_table("Questions by family", families))
        parts += [
            _table(f"{name}: details", shares)
            for name, shares in self.details.items()
            if not name.startswith("questions.") and len(shares) > 1
        ]
        if self.confusion:
            parts.append(_confusion_table(self.confusion))
        parts += [_table(f"Baselines: {name}", shares) for name, shares in self.baselines.items()]
        return "\n\n".join(parts) + "\n"


def _table(title: str, shares: dict[str, Share]) -> str:
    rows = [f"| {name} | {share} | {share.n} |" for name, share in shares.items()]
    return "\n".join([f"### {title}", "", "| | share [95% interval] | n |", "|---|---|---|", *rows])


def _confusion_table(confusion: dict[str, dict[str, int]]) -> str:
    tasks = sorted({*confusion, *(route for row in confusion.values() for route in row)})
    rows = [
        f"| {right} | " + " | ".join(str(confusion[right].get(task, 0)) for task in tasks) + " |"
        for right in sorted(confusion)
    ]
    head = ["### Routing: right task by row, chosen task by column", "", "| | " + " | ".join(tasks) + " |"]
    return "\n".join([*head, "|---" * (len(tasks) + 1) + "|", *rows])
