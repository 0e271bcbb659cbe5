"""The report: every figure with its interval, as data and as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genllava_finetune.evaluate.intervals import Share
from genllava_finetune.evaluate.scoring import Score
from genllava_finetune.evaluate.suites import ROUTING, Case
from genllava_finetune.worlds.shapes.dialogue import EditCheck, SceneCheck, StepsCheck, Turn

Shares = dict[str, Share]

_FAMILY: Final = "questions."


@dataclass(slots=True)
class Report:
    """Figures by suite.

    Attributes:
        suites: every suite's share of right cases.
        details: finer shares by suite: families, tags, operations, turns, routing.
        confusion: chosen tasks by right task, over every request that opens a conversation.
        baselines: by suite and kind.
        fingerprints: SHA-256 of every suite.
        frozen: by suite, whether it is what was recorded (see `freezing.check_frozen`).
    """

    split: str
    suites: Shares = field(default_factory=dict)
    details: dict[str, Shares] = field(default_factory=dict)
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    baselines: dict[str, Shares] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)

    def add_routes(self, name: str, cases: Sequence[Case], routes: Sequence[str]) -> None:
        """Book a suite of which only the first task was asked for."""
        right = [route == case.turn.steps[0].task for case, route in zip(cases, routes, strict=True)]
        self.suites[name] = Share.of(right)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, route, hit in zip(cases, routes, right, strict=True):
            details[_kind(case.turn)].append(hit)
            self._confuse(case, route)
        self.details[name] = _shares(details)

    def add_single(self, name: str, cases: Sequence[Case], scores: Sequence[Score]) -> None:
        """Book a suite of single turns."""
        self.suites[name] = Share.of(score.right for score in scores)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, score in zip(cases, scores, strict=True):
            for detail, value in _details(case.turn, score):
                details[detail].append(value)
            self._confuse(case, score.routes[0] if score.routes else "none")
        self.details[name] = _shares(details)

    def add_conversations(self, name: str, cases: Sequence[Case], conversations: Sequence[Sequence[Score]]) -> None:
        """Book a suite of conversations: right where every turn is."""
        self.suites[name] = Share.of(all(score.right for score in scores) for scores in conversations)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, scores in zip(cases, conversations, strict=True):
            so_far = True
            for number, (turn, score) in enumerate(zip(case.dialogue.turns, scores, strict=True), 1):
                details["all turns"].append(score.right)
                details["routing"].append(score.routed)
                details[f"turn {number}"].append(score.right)
                if so_far and number > 1:
                    details[f"turn {number} after right ones"].append(score.right)
                details[f"turns of {_kind(turn)}"].append(score.right)
                if isinstance(turn.check, StepsCheck) and name.startswith("tasks"):
                    for place in range(len(turn.steps)):
                        reached = place < len(score.steps)
                        details[f"step {place + 1}"].append(reached and score.steps[place])
                so_far = so_far and score.right
        self.details[name] = _shares(details)

    def _confuse(self, case: Case, route: str) -> None:
        row = self.confusion.setdefault(case.turn.steps[0].task, {})
        row[route] = row.get(route, 0) + 1

    @property
    def families(self) -> Shares:
        """The iid questions, by family."""
        return {n.removeprefix(_FAMILY): s for n, s in self.suites.items() if n.startswith(_FAMILY)}

    def headlines(self) -> Shares:
        """The figures the model is judged by."""
        rows = {name: share for name, share in self.suites.items() if name in ROUTING}
        routed = [details["routing"] for details in self.details.values() if "routing" in details]
        if routed:
            rows["routing/every turn of every other suite"] = total(routed)
        if self.families:
            rows["questions"] = total(self.families.values())
            worst = min(self.families, key=lambda family: self.families[family].value)
            rows[f"questions: worst family ({worst})"] = self.families[worst]
        others = {n: s for n, s in self.suites.items() if n not in ROUTING and not n.startswith(_FAMILY)}
        return rows | others

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""

        def plain(shares: Shares) -> dict[str, Any]:
            return {name: share.as_dict() for name, share in shares.items()}

        return {
            "split": self.split,
            "headlines": plain(self.headlines()),
            "suites": plain(self.suites),
            "details": {name: plain(shares) for name, shares in self.details.items()},
            "confusion": self.confusion,
            "baselines": {name: plain(shares) for name, shares in self.baselines.items()},
            "fingerprints": self.fingerprints,
            "frozen": self.frozen,
        }

    def markdown(self) -> str:
        """All tables."""
        parts = [self._figures(), self._by_family()]
        parts += [
            _table(f"{name}: details", shares)
            for name, shares in self.details.items()
            if not name.startswith(_FAMILY) and len(shares) > 1
        ]
        parts += [_confusion_table(self.confusion) if self.confusion else ""]
        parts += [
            _table(f"{name}: baselines", shares)
            for name, shares in self.baselines.items()
            if shares and not name.startswith(_FAMILY)
        ]
        parts += [self._about_frozen()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _figures(self) -> str:
        rows = []
        for name, share in self.headlines().items():
            known = self.baselines.get(name, {})
            beside = ", ".join(f"{kind} {100 * value.value:.1f}%" for kind, value in known.items())
            rows.append(f"| {name} | {share} | {share.n} | {beside} |")
        head = ["| | right [95% interval] | n | baselines |", "|---|---|---|---|"]
        return "\n".join([f"### Figures on the {self.split} split", "", *head, *rows])

    def _by_family(self) -> str:
        rows = []
        for family, share in self.families.items():
            beside = self.baselines.get(_FAMILY + family, {})
            others = [f"{100 * beside[kind].value:.1f}%" if kind in beside else "" for kind in _BESIDE]
            rows.append(f"| {family} | {share} | {share.n} | {' | '.join(others)} |")
        head = [f"| | right [95% interval] | n | {' | '.join(_BESIDE)} |", "|---|---|---|---|---|"]
        return "\n".join(["### Questions by family", "", *head, *rows]) if rows else ""

    def _about_frozen(self) -> str:
        if not self.frozen:
            return ""
        changed = [name for name, state in self.frozen.items() if state == "changed"]
        if changed:
            return f"Not the frozen suites, and not to be compared with earlier figures: {', '.join(changed)}."
        short = [name for name, state in self.frozen.items() if state != "as recorded"]
        if short:
            which = "all of them" if len(short) == len(self.frozen) else ", ".join(short)
            return f"Too short to compare with the frozen suites: {which}."
        return "The suites are the frozen ones."


_BESIDE: Final = ("majority", "chance")


def total(shares: Iterable[Share]) -> Share:
    """All cases together."""
    listed = list(shares)
    return Share(sum(share.right for share in listed), sum(share.n for share in listed))


def _kind(turn: Turn) -> str:
    """What kind of request it is, in one word; what cannot be done goes by its reason."""
    if isinstance(turn.check, EditCheck):
        return "edit"
    if isinstance(turn.check, SceneCheck):
        return "generation"
    if isinstance(turn.check, StepsCheck) or turn.family.startswith(("outside", "edit")):
        return turn.family.partition(".")[0] if turn.family.startswith("outside") else turn.family
    return "question"


def _details(turn: Turn, score: Score) -> Iterable[tuple[str, bool]]:
    yield "routing", score.routed
    if score.changed is not None:
        yield "change made", score.changed
        yield "all else kept", bool(score.preserved)
    if score.planned is not None:
        yield "plan right", score.planned
        if score.planned and score.routed:
            yield "right where the plan is", score.right
            yield "unparsed where the plan is right", score.unparsed
    if score.declined is not None:
        yield "answers in words, draws nothing", score.declined
    if isinstance(turn.check, SceneCheck):
        yield from ((f"tag {tag}", score.right) for tag in turn.check.tags)
    elif isinstance(turn.check, EditCheck):
        several = len(turn.check.operations) > 1
        for operation in ["two operations"] if several else turn.check.operations:
            yield f"operation {operation}", score.right
            yield f"operation {operation}: change made", bool(score.changed)
            yield f"operation {operation}: all else kept", bool(score.preserved)
    else:
        yield f"family {turn.family}", score.right


def _shares(details: dict[str, list[bool]]) -> Shares:
    return {name: Share.of(values) for name, values in sorted(details.items(), key=_order)}


def _order(item: tuple[str, list[bool]]) -> tuple[bool, str]:
    """Families, tags and operations after what there is one of, by name."""
    named = item[0].startswith(("family ", "tag ", "operation "))
    return (named, item[0] if named else "")


def _table(title: str, shares: Shares) -> str:
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
