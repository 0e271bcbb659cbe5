"""What the assistant says in the end: what the model said, and what the steps show; nothing that has no record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genllava_agent.records import Step

_MARKS: Final = " .,;:!?"
_ASKS: Final = 3
"""Words that are left of a message and may ask for something; fewer are `please` or `thank you`."""
_DONE: Final = {"generate": "drew", "edit": "edited", "understand": "answered", "tool": "called"}


def compose(steps: Sequence[Step], stopped: str, left: str = "") -> str:
    """The text of a reply; `left` are words of the request that nothing was done about."""
    parts = []
    for step in steps:
        if step.outcome == "error":
            parts.append(f"I could not {_verb(step)}: {step.text}.")
        elif step.outcome == "rejected":
            parts.append(f"I did not {_verb(step)}: {step.text}.")
        elif step.text:
            parts.append(step.text)
        if step.unsure and step.image is not None:
            parts.append(f"I am not sure about {step.image}: {step.unsure}.")
    if stopped:
        done = ", ".join(_what(step) for step in steps if step.outcome == "ok") or "nothing"
        parts.append(f"I stopped early ({stopped}). Done: {done}. Whatever else you asked for is not done.")
    if not parts:
        parts.append(". ".join(_shown(step) for step in steps if step.image is not None) or "There is nothing to say")
        parts[-1] += "."
    if len(left.split()) >= _ASKS:
        parts.append(f"I left out: {left.strip(_MARKS)!r}.")
    return " ".join(parts)


def _verb(step: Step) -> str:
    names = {"generate": "draw", "edit": "edit", "understand": "answer", "tool": f"call {step.tool}"}
    return names[step.action]


def _what(step: Step) -> str:
    picture = f" {step.image}" if step.image else ""
    source = f" from {step.source}" if step.source and step.image else ""
    declined = step.action in ("generate", "edit") and not step.image  # in words
    return f"{_DONE['understand' if declined else step.action]}{picture}{source}"


def _shown(step: Step) -> str:
    return f"{step.image}: {step.plan}" if step.plan else str(step.image)
