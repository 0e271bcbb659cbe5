"""The report: every figure with its interval, as data and as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genllava_finetune.intervals import Share
from genllava_finetune.worlds.base import Case, Score, World

Shares = dict[str, Share]


@dataclass(slots=True)
class Report:
    """Figures by suite.

    Attributes:
        world: whose suites they are.
        suites: every suite's share of right cases.
        details: finer shares by suite: families, tags, operations, turns, routing.
        confusion: chosen tasks by right task, over every request that opens a conversation.
        baselines: by suite and kind.
        fingerprints: SHA-256 of every suite.
        frozen: by suite, whether it is what was recorded (see `World.frozen`).
    """

    world: World
    split: str
    suites: Shares = field(default_factory=dict)
    details: dict[str, Shares] = field(default_factory=dict)
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)
    baselines: dict[str, Shares] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)

    def add_routes(self, name: str, cases: Sequence[Case], routes: Sequence[str]) -> None:
        """Book a suite of which only the first task was asked for."""
        right = [route == case.turns[0].tasks[0] for case, route in zip(cases, routes, strict=True)]
        self.suites[name] = Share.of(right)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, route, hit in zip(cases, routes, right, strict=True):
            details[self.world.kind(case.turns[0])].append(hit)
            self._confuse(case, route)
        self.details[name] = _shares(details)

    def add_single(self, name: str, cases: Sequence[Case], scores: Sequence[Score]) -> None:
        """Book a suite of single turns."""
        self.suites[name] = Share.of(score.right for score in scores)
        details: dict[str, list[bool]] = defaultdict(list)
        asked: dict[str, list[bool]] = defaultdict(list)
        for case, score in zip(cases, scores, strict=True):
            for detail, value in _details(score):
                details[detail].append(value)
            for detail, value in self.world.details(case.turns[0], score):
                asked[detail].append(value)
            self._confuse(case, score.routes[0] if score.routes else "none")
        self.details[name] = _shares(details) | _shares(dict(sorted(asked.items())))

    def add_conversations(self, name: str, cases: Sequence[Case], conversations: Sequence[Sequence[Score]]) -> None:
        """Book a suite of conversations: right where every turn is."""
        self.suites[name] = Share.of(all(score.right for score in scores) for scores in conversations)
        details: dict[str, list[bool]] = defaultdict(list)
        for case, scores in zip(cases, conversations, strict=True):
            so_far = True
            for number, (turn, score) in enumerate(zip(case.turns, scores, strict=True), 1):
                details["all turns"].append(score.right)
                details["routing"].append(score.routed)
                details[f"turn {number}"].append(score.right)
                if so_far and number > 1:
                    details[f"turn {number} after right ones"].append(score.right)
                details[f"turns of {self.world.kind(turn)}"].append(score.right)
                if self.world.suites[name].by_step and len(turn.tasks) > 1:
                    for place in range(len(turn.tasks)):
                        reached = place < len(score.steps)
                        details[f"step {place + 1}"].append(reached and score.steps[place])
                so_far = so_far and score.right
        self.details[name] = _shares(details)

    def _confuse(self, case: Case, route: str) -> None:
        row = self.confusion.setdefault(case.turns[0].tasks[0], {})
        row[route] = row.get(route, 0) + 1

    @property
    def families(self) -> dict[str, Shares]:
        """The suites with a family (see `worlds.base.Suite`), by that and by what follows in their names."""
        found: dict[str, Shares] = {}
        for name, share in self.suites.items():
            if family := self.world.suites[name].family:
                found.setdefault(family, {})[name.removeprefix(f"{family}.")] = share
        return found

    def headlines(self) -> Shares:
        """The figures the model is judged by."""
        suites = self.world.suites
        rows = {name: share for name, share in self.suites.items() if suites[name].asked == "first task"}
        routed = [details["routing"] for details in self.details.values() if "routing" in details]
        if routed:
            rows["routing/every turn of every other suite"] = total(routed)
        for family, shares in self.families.items():
            rows[family] = total(shares.values())
            worst = min(shares, key=lambda name: shares[name].value)
            rows[f"{family}: worst family ({worst})"] = shares[worst]
        others = {n: s for n, s in self.suites.items() if suites[n].asked != "first task" and not suites[n].family}
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
            "withheld": self.withheld,
        }

    def markdown(self) -> str:
        """All tables."""
        parts = [self._figures(), *self._by_family()]
        parts += [
            _table(f"{name}: details", shares)
            for name, shares in self.details.items()
            if not self.world.suites[name].family and len(shares) > 1
        ]
        parts += [_confusion_table(self.confusion) if self.confusion else ""]
        parts += [
            _table(f"{name}: baselines", shares)
            for name, shares in self.baselines.items()
            if shares and not (name in self.suites and self.world.suites[name].family)
        ]
        parts += [self._about_withheld(), self._about_frozen()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _figures(self) -> str:
        rows = []
        for name, share in self.headlines().items():
            known = self.baselines.get(name, {})
            beside = ", ".join(f"{kind} {100 * value.value:.1f}%" for kind, value in known.items())
            rows.append(f"| {name} | {share} | {share.n} | {beside} |")
        head = ["| | right [95% interval] | n | baselines |", "|---|---|---|---|"]
        return "\n".join([f"### Figures on the {self.split} split", "", *head, *rows])

    def _by_family(self) -> list[str]:
        tables = []
        for family, shares in self.families.items():
            rows = []
            for name, share in shares.items():
                beside = self.baselines.get(f"{family}.{name}", {})
                others = [f"{100 * beside[kind].value:.1f}%" if kind in beside else "" for kind in _BESIDE]
                rows.append(f"| {name} | {share} | {share.n} | {' | '.join(others)} |")
            head = [f"| | right [95% interval] | n | {' | '.join(_BESIDE)} |", "|---|---|---|---|---|"]
            tables.append("\n".join([f"### {family.capitalize()} by family", "", *head, *rows]))
        return tables

    @property
    def withheld(self) -> dict[str, str]:
        """By suite, what of it a model of the world's research setting has not seen."""
        return {name: text for name in self.suites if (text := self.world.suites[name].withheld)}

    def _about_withheld(self) -> str:
        rows = [f"- {name}: {text}" for name, text in self.withheld.items()]
        head = "### What a model trained with the research setting has not seen"
        return "\n".join([head, "", *rows]) if rows else ""

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


def _details(score: Score) -> Iterable[tuple[str, bool]]:
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


def _shares(details: dict[str, list[bool]]) -> Shares:
    return {name: Share.of(values) for name, values in details.items()}


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
