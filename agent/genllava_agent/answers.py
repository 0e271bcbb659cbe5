"""What the assistant says in the end: what the model said, and what the steps show; nothing that has no record."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from genllava.protocols.shapes.layout import ORDINALS, named_pictures
from genllava_agent.records import Step
from genllava_agent.state import AgentState

if TYPE_CHECKING:
    from genllava_agent.session import Session

_ONE: Final = re.compile(rf"\bthe ({'|'.join(ORDINALS[2:])}) one\b", re.IGNORECASE)
_NOT_A_PICTURE: Final = re.compile(
    rf"\b(?:images?|pictures?|drawings?|from|of (?!the (?:{'|'.join(ORDINALS)}) one\b))\b", re.IGNORECASE
)
"""Where one of these is said, `the third one` may be a shape: `of the circles`, `from the left`, `in image 1`."""
_BACKGROUND: Final = re.compile(
    r"\bone's (?:\w+ )?(?:background|backdrop|canvas)|(?:background|backdrop|canvas) of the \w+ one\b", re.IGNORECASE
)
_MARKS: Final = " .,;:!?"
_ASKS: Final = 3
"""Words that are left of a message and may ask for something; fewer are `please` or `thank you`."""
_DONE: Final = {"generate": "drew", "edit": "edited", "understand": "answered", "tool": "called"}


def grounded(text: str, pictures: int) -> str:
    """`text` unless it names a picture that does not exist.

    Args:
        pictures: how many there are.
    """
    if any(not 1 <= number <= pictures for number in named_pictures(text)):
        return f"I meant to name a picture that does not exist; there are {pictures}."
    return text


def unknown_picture(text: str, pictures: int, new: int = 0, things: Callable[[], int] = lambda: 0) -> str:
    """What to say of a request for a picture by a number that none has; empty if it names none.

    Args:
        pictures: how many there are.
        new: how many are to be drawn, which it may name as well.
        things: tells how many are in the picture that shows most, as far as that is known.
    """
    if all(1 <= number <= pictures + new for number in named_pictures(text) + _bare_numbers(text, pictures, things)):
        return ""
    there = {0: "there is no picture yet", 1: "there is one picture"}.get(pictures, f"there are {pictures} pictures")
    return f"There is no picture of that number: {there}."


def lost_picture(text: str, lost: Collection[int]) -> str:
    """What to say of a request for a picture that can no longer be seen; empty if it names none.

    Args:
        lost: the numbers of those that can not.
    """
    named = [number for number in named_pictures(text) if number in lost]
    return f"Image {named[0]} is too long ago to be seen: send it again." if named else ""


def compose(steps: list[Step], stopped: str, left: str = "") -> str:
    """The text of a reply; `left` are words of the request that nothing was done about."""
    parts = []
    for step in steps:
        if step.outcome == "error":
            parts.append(f"I could not {_verb(step)}: {step.text}.")
        elif step.outcome == "rejected":
            parts.append(f"I did not {_verb(step)}: {step.text}.")
        elif step.text:
            parts.append(step.text)
        if step.unsure:
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


def blocks(session: Session, state: AgentState, text: str) -> list[Any]:
    """LangChain's standard content blocks of the reply: its text, then the pictures of this turn."""
    made = [step.image for step in state["steps"] if step.image is not None]
    result: list[Any] = [{"type": "text", "text": text}]
    for name in made:
        record = state["images"][name]
        block: dict[str, Any] = {"type": "image", "mime_type": "image/png"}
        if session.inline:
            data = session.artifacts.get(record.key, "png")
            block["base64"] = base64.b64encode(data).decode()
            block["id"] = name
        else:
            block["file_id"] = name
        result.append(block)
    return result


def _bare_numbers(text: str, pictures: int, things: Callable[[], int]) -> list[int]:
    """The pictures that a text names as `the third one`, where nothing else can be meant: there are several pictures to
    tell from each other, and no picture has a third thing, or it is about its background. The first and the second
    `one` may be a shape all the same."""
    if pictures < 2 or _NOT_A_PICTURE.search(text):
        return []
    numbers = [ORDINALS.index(word.lower()) + 1 for word in _ONE.findall(text)]
    return [number for number in numbers if _BACKGROUND.search(text) or number > things()]


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
