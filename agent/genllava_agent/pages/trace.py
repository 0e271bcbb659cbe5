"""A page about a turn: what was asked, what the model saw and chose, what came of it, and what it took."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava.protocols.task_tokens import I2I, I2T, T2I, TOOL
from genllava_agent.outputs import check_output, write_bytes
from genllava_agent.pages import notebook
from genllava_agent.pages.lineage import Lineage
from genllava_agent.pages.markup import Pictures, data_uri, escaped, fitted, origin
from genllava_agent.pages.page_style import STYLE
from genllava_agent.records import Question, Region, Request, Step, Tried, Turn

if TYPE_CHECKING:
    from PIL import Image

_SIDE: Final = 192
"""Longer side of a picture on the page."""
_STORED: Final = 512
"""Longer side of a picture in the file, at most."""
_SMALL: Final = 96
_TURNS: Final = 20
"""Side of a picture, and turns at most, in a notebook."""
_CHOICES: Final = {"understand": "answer", "generate": "draw", "edit": "edit", "tool": "call a tool"}
_NOTE: Final = re.compile(r"\s(?=in image \d+,|image \d+:)")
"""Where one note of the model ends and the next begins."""
_TOKENS: Final = {I2T: "answer", T2I: "draw", I2I: "edit", "</s>": "end the turn", TOOL: "call a tool"}
_OUTCOMES: Final = {"ok": ("done", "Said"), "error": ("failed", "What went wrong"), "rejected": ("rejected", "Why not")}
"""The badge of a step, and the name of its text."""


def write_trace(path: Path, name: str, pictures: Pictures, turns: Sequence[Turn], turn: Turn) -> Path:
    """Write the page, whole or not at all. It needs nothing but itself, and runs nothing.

    Args:
        name: of the thread.
        pictures: of the thread.
        turns: of the thread, `turn` among them.

    Returns:
        where it is.

    Raises:
        InvalidRequest: the place cannot be written to.
        ThreadQuarantined: what is stored of a picture is damaged.
    """
    target = check_output(path)
    write_bytes(target, _page(name, _Figures(pictures, turns), len(turns), turn).encode())
    return target


def thread_html(name: str, pictures: Pictures, turns: Sequence[Turn], question: Question | None) -> str:
    """The conversation for a notebook: what was said and shown, with small pictures; of a long one the end.

    Args:
        name: of the thread.
        pictures: of the thread.
        turns: of the thread.
        question: that the last turn waits with, if it does.
    """
    records = {record.id: record for turn in turns for record in turn.images}
    parts = [notebook.aside(f"thread {name}, {_count(len(turns), 'turn')}, {_count(len(records), 'picture')}")]
    if len(turns) > _TURNS:
        parts.append(notebook.aside(f"the last {_TURNS} turns:"))
    for turn in turns[-_TURNS:]:
        made = [step.image for step in turn.steps if step.image is not None]
        for who, text, names in (("You:", turn.request.text, turn.request.images), ("Assistant:", turn.text, made)):
            parts.append(notebook.paragraph(text, who))
            shown = [records[each] for each in names]
            parts += [notebook.figure(pictures.picture(record), record, _SMALL, text) for record in shown]
    if question is not None:
        parts += [notebook.paragraph(question.text, "Assistant:"), notebook.waiting(question)]
    return "".join(parts)


def _page(name: str, figures: _Figures, turns: int, turn: Turn) -> str:
    allowed = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    title = f"Turn {turn.number} of {turns} on {name}"
    facts = [
        datetime.fromtimestamp(turn.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        f"{turn.seconds:.2f} s",
        _count(len(turn.steps), "step"),
        *_spent(sum(step.tokens for step in turn.steps), sum(step.unet_rows for step in turn.steps)),
        f"seed {turn.seed}",
        *(f"model {model}" for model in dict.fromkeys(record.model for record in turn.images if record.model)),
    ]
    steps = "".join(_step(number, step, figures) for number, step in enumerate(turn.steps, start=1))
    stopped = f'<p class="error">Stopped early: {escaped(turn.stopped)}.</p>' if turn.stopped else ""
    made = figures.figures(step.image for step in turn.steps)
    last = turn.images[-1].id if turn.images else ""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escaped(title)}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{escaped(title)}</h1>{_facts(facts)}",
        _request(turn.request, figures),
        "<h2>Steps</h2>",
        f'<ol class="steps">{steps}</ol>' if steps else _facts(["None."]),
        f'<h2>Reply</h2><div class="card">{_said(turn.text)}{stopped}{made}</div>',
        f'<h2>Where {last} comes from</h2><div class="scroll">{figures.lineage(last)}</div>' if last else "",
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


class _Figures:
    """The pictures of a thread, as figures."""

    def __init__(self, pictures: Pictures, turns: Sequence[Turn]) -> None:
        self.records = {record.id: record for turn in turns for record in turn.images}
        self._pictures = pictures

    def figure(self, name: str, region: Region | None = None) -> str:
        """A picture with its name and where it comes from, and with a region marked on it."""
        record = self.records[name]
        told = record.plan or record.label or record.instruction or name
        caption = f"{name}, {origin(record)}" + (f": {record.label}" if record.label else "")
        figure = _figure(self._pictures.picture(record), _mark(region), caption, told)
        if region is None or region.mask is None:
            return figure
        return figure + _figure(self._pictures.image(region.mask), "", "the part in question, in white", "a mask")

    def figures(self, names: Iterable[str | None]) -> str:
        """Those of them that there are."""
        return _gallery("".join(self.figure(name) for name in names if name is not None))

    def tried(self, tried: Tried) -> str:
        """A drawing that was not kept, with what is wrong with it."""
        told = f"seed {tried.seed}" + (f": {tried.unsure}" if tried.unsure else "")
        return _figure(self._pictures.image(tried.key), "", told, "a drawing that was not kept")

    def lineage(self, name: str) -> str:
        """Where a picture comes from."""
        return Lineage(name, self.records, lambda each: self._pictures.picture(self.records[each])).svg()


def _request(request: Request, figures: _Figures) -> str:
    region, facts = request.region, []
    shown = [name for name in request.images if name in figures.records]
    if request.task is not None:
        facts.append(f"asked to {_CHOICES[request.task]}, not left to the model")
    if region is not None:
        kind = "box" if region.box else "point" if region.point else "mask"
        facts.append(f"about a part of {region.image}, given by a {kind}")
        shown += [region.image] * (region.image not in shown)
    marked = [figures.figure(name, region if region is not None and region.image == name else None) for name in shown]
    gallery = _gallery("".join(marked))
    return f'<h2>Request</h2><div class="card mine">{_said(request.text)}{_facts(facts)}{gallery}</div>'


def _step(number: int, step: Step, figures: _Figures) -> str:
    badge, says = _OUTCOMES[step.outcome]
    arrow = '<span class="arrow" aria-hidden="true">→</span>' if step.source and step.image else ""
    pictures = arrow.join(figures.figure(name) for name in (step.source, step.image) if name is not None)
    looked = ""
    if step.image is not None and step.action != "tool":
        looked = "nothing found that differs from the plan" if step.verified else "not looked at"
    called = json.dumps(step.arguments, indent=2, default=str, ensure_ascii=False)
    entries = [
        ("For", escaped(step.request)),
        ("Noted before", escaped(_NOTE.sub("\n", step.seen))),
        ("Plan: what the picture should show", escaped(step.plan or "")),
        ("Attempts", f"{step.attempts} drawn, the best kept" if step.attempts > 1 else ""),
        ("Called with", escaped(called) if step.arguments else ""),
        (says, escaped(step.text)),
        ("Verification", f'<span class="unsure">not sure: {escaped(step.unsure)}</span>' if step.unsure else looked),
        ("Drawn and not kept", _gallery("".join(map(figures.tried, step.tried)))),
        ("How likely each action was", _bars(step)),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{told}</dd></div>" for name, told in entries if told)
    facts = " · ".join([f"{step.seconds:.2f} s", *_spent(step.tokens, step.unet_rows)])
    return (
        f'<li class="card"><div class="head"><h3>{number}. {escaped(_title(step))}'
        f'<span class="badge {step.outcome}">{badge}</span></h3><span class="facts">{facts}</span></div>'
        f'<div class="body">{_gallery(pictures)}<dl>{rows}</dl></div></li>'
    )


def _title(step: Step) -> str:
    if step.outcome != "ok":
        verb = "Could not" if step.outcome == "error" else "Did not"
        what = f"call {step.tool}" if step.action == "tool" and step.tool else _CHOICES[step.action]
        return f"{verb} {what}"
    if step.action == "tool":
        return f"Called {step.tool}"
    if step.action == "understand":
        return "Answered"
    if step.image is None:
        return f"Declined to {_CHOICES[step.action]}"
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


def _figure(image: Image.Image, mark: str, caption: str, told: str) -> str:
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return (
        f'<figure><span class="shown"><img src="{data_uri(fitted(image, _STORED))}" width="{width}" height="{height}" '
        f'alt="{escaped(told)}">{mark}</span><figcaption>{escaped(caption)}</figcaption></figure>'
    )


def _mark(region: Region | None) -> str:
    """A box or a point over a picture."""
    if region is not None and region.box is not None:
        left, top, right, bottom = (100 * part for part in region.box)
        shape = f'<rect class="region" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"/>'
    elif region is not None and region.point is not None:
        x, y = (100 * part for part in region.point)
        shape = f'<ellipse class="region" cx="{x:g}" cy="{y:g}" rx="4" ry="4"/>'
    else:
        return ""
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shape}</svg>'


def _said(text: str) -> str:
    return f'<p class="said">{escaped(text)}</p>'


def _gallery(figures: str) -> str:
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _facts(facts: Sequence[str]) -> str:
    return f'<p class="facts">{escaped(" · ".join(facts))}</p>' if facts else ""


def _spent(tokens: int, rows: int) -> list[str]:
    return [_count(number, what) for number, what in ((tokens, "token"), (rows, "UNet row")) if number]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
