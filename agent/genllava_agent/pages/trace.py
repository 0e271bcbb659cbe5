"""A page about a turn: what was asked, what the model saw and chose, what came of it, and what it took."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.protocols.task_tokens import I2I, I2T, T2I, TOOL
from genllava_agent.outputs import check_output, write_bytes
from genllava_agent.pages import markup
from genllava_agent.pages.lineage import Lineage
from genllava_agent.pages.markup import counted, escaped
from genllava_agent.records import Question, Region, Step, Turn

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.stores.base import Artifacts

_SIDE, _STORED = 192, 512
"""Longer side of a picture on the page, and at most in its file."""
_SMALL, _TURNS = 96, 20
"""Side of a picture, and turns at most, in a notebook."""
_CHOICES: Final = {"understand": "answer", "generate": "draw", "edit": "edit", "tool": "call a tool"}
_TOKENS: Final = {I2T: "answer", T2I: "draw", I2I: "edit", "</s>": "end the turn", TOOL: "call a tool"}
_OUTCOMES: Final = {"ok": ("done", "Said"), "error": ("failed", "What went wrong"), "rejected": ("rejected", "Why not")}
"""The badge of a step, and the name of its text."""
_NOTE: Final = re.compile(r"\s(?=in image \d+,|image \d+:)")
"""Where one note of the model ends and the next begins."""


def write_trace(path: Path, name: str, pictures: Artifacts, turns: Sequence[Turn], turn: Turn) -> Path:
    """Write a page about `turn`, one of the `turns` of the thread `name`, whole or not at all; returns where it is.

    The page needs nothing but itself, and runs nothing.

    Raises:
        InvalidRequest: the place cannot be written to.
        ThreadQuarantined: what is stored of a picture is damaged.
    """
    target = check_output(path)
    write_bytes(target, _Page(name, pictures, turns).of(turn).encode())
    return target


def thread_html(name: str, pictures: Artifacts, turns: Sequence[Turn], question: Question | None) -> str:
    """The thread `name` for a notebook: what was said and shown, with small pictures; of a long one the end.

    Args:
        question: that the last turn waits with, if it does.
    """
    records = {record.id: record for turn in turns for record in turn.images}
    parts = [markup.aside(f"thread {name}, {counted(len(turns), 'turn')}, {counted(len(records), 'picture')}")]
    if len(turns) > _TURNS:
        parts.append(markup.aside(f"the last {_TURNS} turns:"))
    for turn in turns[-_TURNS:]:
        made = [step.image for step in turn.steps if step.image is not None]
        for who, text, names in (("You:", turn.request.text, turn.request.images), ("Assistant:", turn.text, made)):
            parts.append(markup.paragraph(text, who))
            shown = [records[each] for each in names]
            parts += [markup.figure(pictures.picture(record), record, _SMALL, text) for record in shown]
    if question is not None:
        parts += [markup.paragraph(question.text, "Assistant:"), markup.waiting(question)]
    return "".join(parts)


class _Page:
    """Pages about the turns of a thread."""

    def __init__(self, name: str, pictures: Artifacts, turns: Sequence[Turn]) -> None:
        self._name = name
        self._pictures = pictures
        self._turns = turns
        self._records = {record.id: record for turn in turns for record in turn.images}

    def of(self, turn: Turn) -> str:
        """The whole page."""
        style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
        allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
        title = escaped(f"Turn {turn.number} of {len(self._turns)} on {self._name}")
        facts = [
            datetime.fromtimestamp(turn.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            f"{turn.seconds:.2f} s",
            counted(len(turn.steps), "step"),
            *_spent(sum(step.tokens for step in turn.steps), sum(step.unet_rows for step in turn.steps)),
            f"seed {turn.seed}",
            *(f"model {model}" for model in dict.fromkeys(record.model for record in turn.images if record.model)),
        ]
        steps = "".join(self._step(number, step) for number, step in enumerate(turn.steps, start=1))
        stopped = f'<p class="error">Stopped early: {escaped(turn.stopped)}.</p>' if turn.stopped else ""
        made = _gallery(self._figure(step.image) for step in turn.steps if step.image is not None)
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style></head><body><main>
<h1>{title}</h1>{_facts(facts)}
<h2>Request</h2><div class="card mine">{_said(turn.request.text)}{self._asked(turn)}</div>
<h2>Steps</h2>
{f'<ol class="steps">{steps}</ol>' if steps else _facts(["None."])}
<h2>Reply</h2><div class="card">{_said(turn.text)}{stopped}{made}</div>
{self._origin(turn.images[-1].id) if turn.images else ""}
</main></body></html>
"""

    def _asked(self, turn: Turn) -> str:
        """What was given with the words of a request."""
        region, task, facts = turn.request.region, turn.request.task, []
        shown = {name: "" for name in turn.request.images if name in self._records}
        if task is not None:
            facts.append(f"asked to {_CHOICES[task]}, not left to the model")
        if region is not None:
            kind = "box" if region.box else "point" if region.point else "mask"
            facts.append(f"about a part of {region.image}, given by a {kind}")
            shown[region.image] = _mark(region)
        figures = [self._figure(name, mark) for name, mark in shown.items()]
        if region is not None and region.mask is not None:
            figures.append(_figure(self._pictures.image(region.mask), "the part in question, in white", "a mask"))
        return _facts(facts) + _gallery(figures)

    def _step(self, number: int, step: Step) -> str:
        badge, says = _OUTCOMES[step.outcome]
        arrow = '<span class="arrow" aria-hidden="true">→</span>'
        pictures = arrow.join(self._figure(name) for name in (step.source, step.image) if name is not None)
        looked = ""
        if step.image is not None and step.action != "tool":
            looked = "nothing found that differs from the plan" if step.verified else "not looked at"
        called = json.dumps(step.arguments, indent=2, default=str, ensure_ascii=False) if step.arguments else ""
        tried = _gallery(
            _figure(
                self._pictures.image(each.key),
                f"seed {each.seed}" + (f": {each.unsure}" if each.unsure else ""),
                "a drawing that was not kept",
            )
            for each in step.tried
        )
        entries = {
            "For": escaped(step.request),
            "Noted before": escaped(_NOTE.sub("\n", step.seen)),
            "Plan: what the picture should show": escaped(step.plan or ""),
            "Attempts": f"{step.attempts} drawn, the best kept" if step.attempts > 1 else "",
            "Called with": escaped(called),
            says: escaped(step.text),
            "Verification": f'<span class="unsure">not sure: {escaped(step.unsure)}</span>' if step.unsure else looked,
            "Drawn and not kept": tried,
            "How likely each action was": _bars(step),
        }
        rows = "".join(f"<div><dt>{name}</dt><dd>{told}</dd></div>" for name, told in entries.items() if told)
        facts = " · ".join([f"{step.seconds:.2f} s", *_spent(step.tokens, step.unet_rows)])
        return (
            f'<li class="card"><div class="head"><h3>{number}. {escaped(_title(step))}'
            f'<span class="badge {step.outcome}">{badge}</span></h3><span class="facts">{facts}</span></div>'
            f'<div class="body">{_gallery([pictures])}<dl>{rows}</dl></div></li>'
        )

    def _figure(self, name: str, mark: str = "") -> str:
        """A picture with its name and where it comes from; `mark` is drawn over it."""
        record = self._records[name]
        told = record.plan or record.label or record.instruction or name
        caption = f"{name}, {markup.origin(record)}" + (f": {record.label}" if record.label else "")
        return _figure(self._pictures.picture(record), caption, told, mark)

    def _origin(self, name: str) -> str:
        tree = Lineage(name, self._records, lambda each: self._pictures.picture(self._records[each])).svg()
        return f'<h2>Where {name} comes from</h2><div class="scroll">{tree}</div>'


def _title(step: Step) -> str:
    """What was done in a step."""
    what = f"call {step.tool}" if step.action == "tool" and step.tool else _CHOICES[step.action]
    if step.outcome != "ok":
        return f"{'Could' if step.outcome == 'error' else 'Did'} not {what}"
    if step.action in ("generate", "edit") and step.image is None:
        return f"Declined to {what}"
    edited = f"Edited {step.source} into {step.image}"
    return {"tool": f"Called {step.tool}", "understand": "Answered", "edit": edited}.get(
        step.action, f"Drew {step.image}"
    )


def _bars(step: Step) -> str:
    bars = ""
    for token, probability in step.probabilities.items():
        share = f"{100 * min(max(probability, 0.0), 1.0):.1f}%"
        bars += (
            f'<span>{escaped(_TOKENS.get(token, token))}</span><svg aria-hidden="true"><rect class="track" '
            f'width="100%" height="100%"/><rect class="fill" width="{share}" height="100%"/></svg><span>{share}</span>'
        )
    return f'<div class="chances">{bars}</div>' if bars else ""


def _figure(image: Image.Image, caption: str, told: str, mark: str = "") -> str:
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    data = markup.data_uri(markup.fitted(image, _STORED))
    return (
        f'<figure><span class="shown"><img src="{data}" width="{width}" height="{height}" alt="{escaped(told)}">'
        f"{mark}</span><figcaption>{escaped(caption)}</figcaption></figure>"
    )


def _mark(region: Region) -> str:
    """A box or a point over a picture."""
    if region.box is not None:
        left, top, right, bottom = (100 * part for part in region.box)
        shape = f'<rect class="region" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"/>'
    elif region.point is not None:
        x, y = (100 * part for part in region.point)
        shape = f'<ellipse class="region" cx="{x:g}" cy="{y:g}" rx="4" ry="4"/>'
    else:
        return ""
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shape}</svg>'


def _said(text: str) -> str:
    return f'<p class="said">{escaped(text)}</p>'


def _gallery(figures: Iterable[str]) -> str:
    inside = "".join(figures)
    return f'<div class="pictures">{inside}</div>' if inside else ""


def _facts(facts: Sequence[str]) -> str:
    return f'<p class="facts">{escaped(" · ".join(facts))}</p>' if facts else ""


def _spent(tokens: int, rows: int) -> list[str]:
    return [counted(number, what) for number, what in ((tokens, "token"), (rows, "UNet row")) if number]
