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
from string import Template
from typing import TYPE_CHECKING, Final

from genllava.protocols.task_tokens import I2I, I2T, T2I, TOOL
from genllava_agent.files import check_output, write_bytes
from genllava_agent.pages import markup
from genllava_agent.pages.lineage import Lineage
from genllava_agent.pages.markup import counted, escaped
from genllava_agent.records import Question, Region, Step, Turn

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.stores.base import Artifacts

_SIDE, _STORED, _SMALL, _TURNS = 192, 512, 96, 20
"""Longer side of a picture on the page, in its file, and in a notebook, and turns there at most."""
_CHOICES: Final = {"understand": "answer", "generate": "draw", "edit": "edit", "tool": "call a tool"}
_TOKENS: Final = {I2T: "answer", T2I: "draw", I2I: "edit", "</s>": "end the turn", TOOL: "call a tool"}
_OUTCOMES: Final = {"ok": ("done", "Said"), "error": ("failed", "What went wrong"), "rejected": ("rejected", "Why not")}
"""The badge of a step, and the name of its text."""
_NOTE: Final = re.compile(r"\s(?=in image \d+,|image \d+:)")
"""Where one note of the model ends and the next begins."""


def thread_html(name: str, pictures: Artifacts, turns: Sequence[Turn], question: Question | None) -> str:
    """The thread `name` for a notebook: what was said and shown, with small pictures; of a long one the end, and the
    question that it waits with."""
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


def write_trace(path: Path, name: str, pictures: Artifacts, turns: Sequence[Turn], turn: Turn) -> Path:
    """Write a page about `turn`, one of the `turns` of the thread `name`, whole or not at all; returns where it is.

    The page needs nothing but itself, and runs nothing.

    Raises:
        InvalidRequest: the place cannot be written to.
        ThreadQuarantined: what is stored of a picture is damaged.
    """
    target = check_output(path)
    write_bytes(target, _Page(name, pictures, turns).about(turn).encode())
    return target


class _Page:
    def __init__(self, name: str, pictures: Artifacts, turns: Sequence[Turn]) -> None:
        self._title = f"of {len(turns)} on {name}"
        self._pictures = pictures
        self._records = {record.id: record for turn in turns for record in turn.images}

    def about(self, turn: Turn) -> str:
        files = resources.files(__package__)
        page, style = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
        begun = datetime.fromtimestamp(turn.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        facts = [begun, f"{turn.seconds:.2f} s", counted(len(turn.steps), "step"), *_spent(turn.steps)]
        models = dict.fromkeys(record.model for record in turn.images if record.model)
        facts += [f"seed {turn.seed}", *(f"model {model}" for model in models)]
        steps = "".join(self._step(number, step) for number, step in enumerate(turn.steps, start=1))
        stopped = f'<p class="error">Stopped early: {escaped(turn.stopped)}.</p>' if turn.stopped else ""
        made = _gallery(self._figure(step.image) for step in turn.steps if step.image is not None)
        tree = ""
        if turn.images:
            last = turn.images[-1].id
            svg = Lineage(last, self._records, lambda each: self._pictures.picture(self._records[each])).svg()
            tree = f'<h2>Where {last} comes from</h2><div class="scroll">{svg}</div>'
        return Template(page).substitute(
            hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            style=style,
            title=escaped(f"Turn {turn.number} {self._title}"),
            facts=_facts(facts),
            request=self._request(turn),
            steps=f'<ol class="steps">{steps}</ol>' if steps else _facts(["None."]),
            reply=f'<p class="said">{escaped(turn.text)}</p>{stopped}{made}',
            origin=tree,
        )

    def _request(self, turn: Turn) -> str:
        region, task, facts = turn.request.region, turn.request.task, []
        marks = {name: "" for name in turn.request.images if name in self._records}
        if task is not None:
            facts.append(f"asked to {_CHOICES[task]}, not left to the model")
        if region is not None:
            kind = "box" if region.box else "point" if region.point else "mask"
            facts.append(f"about a part of {region.image}, given by a {kind}")
            marks[region.image] = _mark(region)
        figures = [self._figure(name, mark) for name, mark in marks.items()]
        if region is not None and region.mask is not None:
            figures.append(_figure(self._pictures.image(region.mask), "the part in question, in white", "a mask"))
        return f'<p class="said">{escaped(turn.request.text)}</p>{_facts(facts)}{_gallery(figures)}'

    def _step(self, number: int, step: Step) -> str:
        badge, says = _OUTCOMES[step.outcome]
        arrow = '<span class="arrow" aria-hidden="true">→</span>'
        pictures = arrow.join(self._figure(name) for name in (step.source, step.image) if name is not None)
        looked = ""
        if step.image is not None and step.action != "tool":
            looked = "nothing found that differs from the plan" if step.verified else "not looked at"
        tried = []
        for each in step.tried:
            told = f"seed {each.seed}" + (f": {each.unsure}" if each.unsure else "")
            tried.append(_figure(self._pictures.image(each.key), told, "a drawing that was not kept"))
        called = json.dumps(step.arguments, indent=2, default=str, ensure_ascii=False) if step.arguments else ""
        entries = {
            "For": escaped(step.request),
            "Noted before": escaped(_NOTE.sub("\n", step.seen)),
            "Plan: what the picture should show": escaped(step.plan or ""),
            "Attempts": f"{step.attempts} drawn, the best kept" if step.attempts > 1 else "",
            "Called with": escaped(called),
            says: escaped(step.text),
            "Verification": f'<span class="unsure">not sure: {escaped(step.unsure)}</span>' if step.unsure else looked,
            "Drawn and not kept": _gallery(tried),
            "How likely each action was": _bars(step),
        }
        rows = "".join(f"<div><dt>{name}</dt><dd>{told}</dd></div>" for name, told in entries.items() if told)
        facts = " · ".join([f"{step.seconds:.2f} s", *_spent([step])])
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


def _title(step: Step) -> str:
    """What was done in a step."""
    what = f"call {step.tool}" if step.action == "tool" and step.tool else _CHOICES[step.action]
    if step.outcome != "ok":
        return f"{'Could' if step.outcome == 'error' else 'Did'} not {what}"
    if step.action in ("understand", "tool"):
        return "Answered" if step.action == "understand" else f"Called {step.tool}"
    if step.image is None:
        return f"Declined to {what}"
    return f"Edited {step.source} into {step.image}" if step.action == "edit" else f"Drew {step.image}"


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
    width, height = (max(1, round(side * _SIDE / max(image.size))) for side in image.size)
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


def _gallery(figures: Iterable[str]) -> str:
    inside = "".join(figures)
    return f'<div class="pictures">{inside}</div>' if inside else ""


def _facts(facts: Sequence[str]) -> str:
    return f'<p class="facts">{escaped(" · ".join(facts))}</p>' if facts else ""


def _spent(steps: Sequence[Step]) -> list[str]:
    spent = {"token": sum(step.tokens for step in steps), "UNet row": sum(step.unet_rows for step in steps)}
    return [counted(number, what) for what, number in spent.items() if number]
