"""A page about a turn: what was asked, what the model saw and chose, what came of it, and what it took."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava_agent.outputs import check_output, write_bytes
from genllava_agent.pages import notebook
from genllava_agent.pages.lineage import Lineage
from genllava_agent.pages.markup import data_uri, escaped, fitted
from genllava_agent.pages.page_style import STYLE
from genllava_agent.records import ImageRecord, Region, Step, Tried, Turn
from genllava_agent.workers import KINDS

if TYPE_CHECKING:
    from PIL import Image

    from genllava_agent.stores.base import ThreadStore
    from genllava_agent.threads import Thread

_SIDE: Final = 192
"""Longer side of a picture on the page."""
_STORED: Final = 512
"""Longer side of a picture in the file, at most."""
_SMALL: Final = 96
_TURNS: Final = 20
"""Side of a picture, and turns at most, in a notebook."""
_CHOICES: Final = {"understand": "answer", "generate": "draw", "edit": "edit", "tool": "call a tool"}
_NOTE: Final = re.compile(r"\s(?=in image \d+,|image \d+:)")
"""Where one note ends and the next begins."""
_ENDS: Final = "</s>"
_ORIGINS: Final = {"user": "from you", "region": "the part in question", "generate": "drawn", "edit": "edited"}


def write_trace(path: Path, thread: Thread, history: Sequence[Turn], turn: Turn) -> Path:
    """Write the page, whole or not at all. It needs nothing but itself, and runs nothing.

    Args:
        history: the turns of the thread, `turn` among them.

    Returns:
        where it is.

    Raises:
        InvalidRequest: the place cannot be written to.
        ThreadQuarantined: what is stored of a picture is damaged.
    """
    target = check_output(path)
    write_bytes(target, _page(thread, history, turn).encode())
    return target


def thread_html(thread: Thread, history: Sequence[Turn]) -> str:
    """The conversation for a notebook: what was said and shown, with small pictures; of a long one the end."""
    pictures = _Pictures(thread.agent.store.open(thread.name), history)
    facts = [f"thread {thread.name}", _count(len(history), "turn"), _count(len(pictures.records), "picture")]
    parts = [notebook.aside(", ".join(facts))]
    if len(history) > _TURNS:
        parts.append(notebook.aside(f"the last {_TURNS} turns:"))
    for turn in history[-_TURNS:]:
        made = [step.image for step in turn.steps if step.image is not None]
        for who, text, names in (("You:", turn.request.text, turn.request.images), ("Assistant:", turn.text, made)):
            parts.append(notebook.paragraph(text, who))
            parts += [notebook.figure(pictures.image(name), pictures.records[name], _SMALL, text) for name in names]
    question = thread.pending
    if question is not None:
        parts += [notebook.paragraph(question.text, "Assistant:"), notebook.waiting(question)]
    return "".join(parts)


def _page(thread: Thread, history: Sequence[Turn], turn: Turn) -> str:
    pictures = _Pictures(thread.agent.store.open(thread.name), history)
    allowed = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    title = f"Turn {turn.number} of {len(history)} on {thread.name}"
    tokens, rows = sum(step.tokens for step in turn.steps), sum(step.unet_rows for step in turn.steps)
    began = datetime.fromtimestamp(turn.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    facts = [began, _seconds(turn.seconds), _count(len(turn.steps), "step"), *_spent(tokens, rows), f"seed {turn.seed}"]
    models = dict.fromkeys(record.model for record in turn.images if record.model)
    facts += [f"model {model}" for model in models]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escaped(title)}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        f'<h1>{escaped(title)}</h1><p class="facts">{escaped(" · ".join(facts))}</p>',
        _request(turn, pictures),
        "<h2>Steps</h2>",
        f'<ol class="steps">{"".join(_step(n, step, pictures) for n, step in enumerate(turn.steps, start=1))}</ol>'
        if turn.steps
        else '<p class="facts">None.</p>',
        _reply(turn, pictures),
        _lineage(turn, pictures),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


class _Pictures:
    """The pictures of a thread, as figures."""

    def __init__(self, store: ThreadStore, history: Sequence[Turn]) -> None:
        self.records = {record.id: record for turn in history for record in turn.images}
        self._store = store

    def image(self, name: str) -> Image.Image:
        return self._store.picture(self.records[name])

    def tried(self, tried: Tried) -> str:
        """A drawing that was not kept, with what is wrong with it."""
        told = f"seed {tried.seed}" + (f": {tried.unsure}" if tried.unsure else "")
        return _figure(self._store.image(tried.key), "", told, "a drawing that was not kept")

    def figure(self, name: str, region: Region | None = None) -> str:
        """A picture with its name and where it comes from, and with a region marked on it."""
        record = self.records[name]
        mark = "" if region is None else _mark(region)
        figure = _figure(self.image(name), mark, f"{name}, {_origin(record)}", _told(record))
        if region is None or region.mask is None:
            return figure
        return figure + _figure(self._store.image(region.mask), "", "the part in question, in white", "a mask")


def _request(turn: Turn, pictures: _Pictures) -> str:
    request, region = turn.request, turn.request.region
    facts = []
    if request.task is not None:
        facts.append(f"asked to {_CHOICES[request.task]}, not left to the model")
    if region is not None:
        kind = "box" if region.box else "point" if region.point else "mask"
        facts.append(f"about a part of {region.image}, given by a {kind}")
    shown = [name for name in request.images if name in pictures.records]
    if region is not None and region.image not in shown:
        shown.append(region.image)
    figures = "".join(
        pictures.figure(name, region if region is not None and region.image == name else None) for name in shown
    )
    return (
        f'<h2>Request</h2><div class="card mine"><p class="said">{escaped(turn.request.text)}</p>'
        f"{_facts(facts)}{_gallery(figures)}</div>"
    )


def _step(number: int, step: Step, pictures: _Pictures) -> str:
    badge = {"ok": "done", "error": "failed", "rejected": "rejected"}[step.outcome]
    facts = [_seconds(step.seconds), *_spent(step.tokens, step.unet_rows)]
    figures = "" if step.source is None else pictures.figure(step.source)
    if step.image is not None:
        arrow = '<span class="arrow" aria-hidden="true">→</span>' if figures else ""
        figures += arrow + pictures.figure(step.image)
    called = json.dumps(step.arguments, indent=2, default=str, ensure_ascii=False) if step.arguments else ""
    entries = [
        ("For", step.request),
        ("Noted before", _NOTE.sub("\n", step.seen)),
        ("Plan: what the picture should show", step.plan),
        ("Attempts", f"{step.attempts} drawn, the best kept" if step.attempts > 1 else ""),
        ("Called with", called),
        ({"ok": "Said", "error": "What went wrong", "rejected": "Why not"}[step.outcome], step.text),
    ]
    rows = [f"<div><dt>{name}</dt><dd>{escaped(text)}</dd></div>" for name, text in entries if text]
    if step.image is not None and step.action != "tool":
        found = "nothing found that differs from the plan" if step.verified else "not looked at"
        found = f"not sure: {step.unsure}" if step.unsure else found
        tone = ' class="unsure"' if step.unsure else ""
        rows.append(f"<div><dt>Verification</dt><dd{tone}>{escaped(found)}</dd></div>")
    if step.tried:
        drawn = _gallery("".join(map(pictures.tried, step.tried)))
        rows.append(f"<div><dt>Drawn and not kept</dt><dd>{drawn}</dd></div>")
    if step.probabilities:
        rows.append(f'<div><dt>How likely each action was</dt><dd class="chances">{_bars(step)}</dd></div>')
    return (
        f'<li class="card"><div class="head"><h3>{number}. {escaped(_title(step))}'
        f'<span class="badge {step.outcome}">{badge}</span></h3>'
        f'<span class="facts">{escaped(" · ".join(facts))}</span></div>'
        f'<div class="body">{_gallery(figures)}<dl>{"".join(rows)}</dl></div></li>'
    )


def _reply(turn: Turn, pictures: _Pictures) -> str:
    made = [step.image for step in turn.steps if step.image is not None]
    stopped = f'<p class="error">Stopped early: {escaped(turn.stopped)}.</p>' if turn.stopped else ""
    figures = "".join(pictures.figure(name) for name in made)
    return f'<h2>Reply</h2><div class="card"><p class="said">{escaped(turn.text)}</p>{stopped}{_gallery(figures)}</div>'


def _lineage(turn: Turn, pictures: _Pictures) -> str:
    if not turn.images:
        return ""
    last = turn.images[-1].id
    drawing = Lineage(last, pictures.records, pictures.image).svg()
    return f'<h2>Where {escaped(last)} comes from</h2><div class="scroll">{drawing}</div>'


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
    bars = []
    for token, probability in step.probabilities.items():
        name = "end the turn" if token == _ENDS else _CHOICES.get(KINDS.get(token, ""), token)
        share = f"{100 * min(max(probability, 0.0), 1.0):.1f}%"
        bars.append(
            f'<span>{escaped(name)}</span><svg aria-hidden="true"><rect class="track" width="100%" height="100%"/>'
            f'<rect class="fill" width="{share}" height="100%"/></svg><span>{share}</span>'
        )
    return "".join(bars)


def _figure(image: Image.Image, mark: str, caption: str, told: str) -> str:
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return (
        f'<figure><span class="shown"><img src="{data_uri(fitted(image, _STORED))}" width="{width}" height="{height}" '
        f'alt="{escaped(told)}">{mark}</span><figcaption>{escaped(caption)}</figcaption></figure>'
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


def _origin(record: ImageRecord) -> str:
    if record.origin == "tool":
        return f"made by {record.params.get('tool', 'a tool')}"
    return _ORIGINS[record.origin] + (f": {record.label}" if record.label else "")


def _told(record: ImageRecord) -> str:
    return record.plan or record.label or record.instruction or record.id


def _gallery(figures: str) -> str:
    return f'<div class="pictures">{figures}</div>' if figures else ""


def _facts(facts: Sequence[str]) -> str:
    return f'<p class="facts">{escaped(" · ".join(facts))}</p>' if facts else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _spent(tokens: int, rows: int) -> list[str]:
    return [_count(number, what) for number, what in ((tokens, "token"), (rows, "UNet row")) if number]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
