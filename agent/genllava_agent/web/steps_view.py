"""The steps of a turn, as they happen and afterwards: decisions and how sure, plans, previews, tools, doubts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from genllava.protocols.task_tokens import I2I, I2T, T2I, TOOL
from genllava_agent import events
from genllava_agent.answers import compose
from genllava_agent.pages.markup import escaped
from genllava_agent.records import Question, Step
from genllava_tools.picture_files import as_base64, preview

if TYPE_CHECKING:
    from PIL import Image

_TOKENS: Final = {"understand": I2T, "generate": T2I, "edit": I2I, "tool": TOOL}
_NAMES: Final = {"understand": "Answer in words", "generate": "Draw", "edit": "Edit", "tool": "Call"}
_SIDE: Final = 256
_LONGEST: Final = 600
"""Characters of an argument or a result that are shown."""


@dataclass(slots=True)
class ShownStep:
    """A step.

    Attributes:
        title: what is done.
        sure: how likely the model took this to be what is wanted, from 0 to 1; None where that is not known.
        lines: name and text of what is known of it.
        progress: steps of drawing that are done, and all of them.
        image: of the drawing so far, or of the picture, as an address in itself; and what it shows.
        state: of the step: it runs, has ended, or did not work out.
    """

    title: str
    sure: float | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)
    progress: tuple[int, int] | None = None
    image: tuple[str, str] | None = None
    state: str = "runs"


class TurnSteps:
    """What a turn that runs has told of its steps."""

    def __init__(self) -> None:
        self.steps: list[ShownStep] = []
        self.note = "Thinking"

    def wait(self, ahead: int) -> None:
        """The turn waits in line."""
        self.note = f"Waiting: {ahead} turn{'' if ahead == 1 else 's'} before this one"

    def hear(self, event: events.Event) -> bool:
        """Take in what a turn tells; whether there is something new to show."""
        match event:
            case events.TurnStarted():
                self.note = "Thinking"
            case events.ActionChosen():
                self._end()
                title = " ".join(filter(None, (_NAMES[event.kind], event.tool, event.image)))
                self.steps.append(ShownStep(title, event.probabilities.get(_TOKENS[event.kind])))
                if event.seen:
                    self._line("noted", event.seen)
                self.note = "Planning" if event.kind in ("generate", "edit") else "Thinking"
            case events.TextDelta():
                self._line("says", event.text, longer=True)
            case events.PlanWritten():
                self._line("plan", event.plan + (f" (from {event.source})" if event.source else ""))
                self.note = "Drawing"
            case events.Preview():
                step = self._current("Draw")
                step.progress = (event.step, event.total)
                if event.image is not None:
                    step.image = data_address(event.image), f"Preview, step {event.step} of {event.total}"
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self.note = f"Drawing: step {event.step} of {event.total}{again}"
            case events.ToolStarted():
                self._current(f"Call {event.tool}").lines += _arguments(event.arguments)
                self.note = f"Running {event.tool}"
            case events.ToolFinished():
                self._line("result", event.text)
                self.note = "Thinking"
            case events.Verified():
                self._line("doubt" if event.unsure else "checked", event.unsure or "it shows what was planned")
                if event.again:
                    self._line("then", "drawing it again")
            case events.ImageReady():
                step = self._current("Picture")
                step.image = data_address(event.image), f"{event.record.id}: {event.record.plan or event.record.origin}"
                step.lines.append(("made", event.record.id))
                step.progress = None
                self.note = "Thinking"
            case events.StepFailed():
                step = self._current(_NAMES[event.step.action])
                step.lines.append(("not done", event.step.text))
                step.state = "failed"
            case events.AnswerNeeded():
                self._end()
                self.steps.append(question_step(event.question))
                self.note = "Waiting for your answer"
            case _:
                return False
        return True

    def html(self) -> str:
        """All of it, for the panel, with what is being done now."""
        return steps_html(self.steps, self.note)

    def _current(self, title: str) -> ShownStep:
        """The step that runs; a new one where none does."""
        if not self.steps or self.steps[-1].state != "runs":
            self.steps.append(ShownStep(title))
        return self.steps[-1]

    def _line(self, name: str, text: str, longer: bool = False) -> None:
        lines = self._current("Answer in words").lines
        if longer and lines and lines[-1][0] == name:
            lines[-1] = (name, lines[-1][1] + text)
        else:
            lines.append((name, text))

    def _end(self) -> None:
        for step in self.steps:
            if step.state == "runs":
                step.state = "done"


def kept_steps(steps: Iterable[Step], addresses: Mapping[str, tuple[str, str]]) -> list[ShownStep]:
    """The steps of a turn that has ended, as they are kept.

    Args:
        addresses: of the thread's pictures by name, each with what it shows.
    """
    shown = []
    for step in steps:
        title = " ".join(filter(None, (_NAMES[step.action], step.tool, step.source)))
        lines = [("noted", step.seen), ("plan", step.plan or ""), *_arguments(step.arguments)]
        if step.outcome == "ok":
            lines.append(("result" if step.tool else "says", step.text))
        else:
            lines.append(("not done", compose([step], "")))
        if step.attempts > 1:
            lines.append(("attempts", str(step.attempts)))
        lines += [("doubt", step.unsure), ("checked", "yes" if step.verified and not step.unsure else "")]
        lines += [("made", step.image or ""), ("took", f"{step.seconds:.1f} s" if step.seconds else "")]
        shown.append(
            ShownStep(
                title,
                step.probabilities.get(_TOKENS[step.action]),
                [(name, text) for name, text in lines if text],
                image=addresses.get(step.image or ""),
                state="done" if step.outcome == "ok" else "failed",
            )
        )
    return shown


def question_step(question: Question) -> ShownStep:
    """The step that waits for an answer."""
    title = " ".join(filter(None, (_NAMES[question.action], question.tool, question.image)))
    lines = [*_arguments(question.arguments), ("waits for", "your answer")]
    return ShownStep(title, question.probabilities.get(_TOKENS[question.action]), lines)


def steps_html(steps: Iterable[ShownStep], note: str = "") -> str:
    """Steps as a list; every text in them stays text."""
    items = "".join(_item(step) for step in steps)
    now = f'<p class="now" role="status">{escaped(note)}</p>' if note else ""
    return f'<ol class="steps">{items}</ol>{now}'


def data_address(image: Image.Image) -> str:
    """A small copy of a picture as an address that holds it."""
    data, kind = preview(image, _SIDE)
    return f"data:{kind};base64,{as_base64(data)}"


def _item(step: ShownStep) -> str:
    sure = "" if step.sure is None else f' <span class="sure">{step.sure:.0%} sure</span>'
    parts = [f"<strong>{escaped(step.title)}</strong>{sure}"]
    if step.progress is not None:
        done, total = step.progress
        parts.append(f'<progress value="{done}" max="{total}" aria-label="drawing"></progress>')
    if step.image is not None:
        where, alt = step.image
        kind = "preview" if step.progress is not None else "made"
        parts.append(f'<img class="{kind}" src="{escaped(where)}" alt="{escaped(alt)}">')
    if step.lines:
        rows = "".join(
            f'<dt>{escaped(name)}</dt><dd class="{escaped(name.partition(" ")[0])}">{escaped(_cut(text))}</dd>'
            for name, text in step.lines
        )
        parts.append(f"<dl>{rows}</dl>")
    return f'<li class="{step.state}">{"".join(parts)}</li>'


def _arguments(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _cut(json.dumps(value, ensure_ascii=False, default=str))) for name, value in arguments.items()]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
