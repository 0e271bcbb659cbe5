"""The model's own question ("Which red shape do you mean?") and the answer to it, which are one request together.

The model was taught to ask, and what `the star: make the red shape green` means, but not what `the star` means by
itself. Whether a message is the answer is for the model to say: by itself it must be something to say something to,
and together with the request something that needs no question.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from genllava.tokens import I2T

if TYPE_CHECKING:
    from genllava import Conversation
    from genllava_agent.history import History

_ASKS: Final = re.compile(r"which .+ do you mean\?", re.IGNORECASE)
_ANOTHER_QUESTION: Final = re.compile(
    r"(?:(?:and|so|now|please|but|then|ok|okay),? )*"
    r"(?:what|which|where|who|when|why|how|is|are|do|does|can|could|tell|say|count|name|describe|show|list)\b",
    re.IGNORECASE,
)
_MOST_WORDS: Final = 8


def completed(history: History, text: str) -> str:
    """The request that the model asked back about in the last turn, completed by `text`, if that may be the answer.

    Empty where nothing was asked, or `text` is too long or a question itself.
    """
    asked = _asked_about(history)
    if not asked or len(text.split()) > _MOST_WORDS or "?" in text or _ANOTHER_QUESTION.match(text.strip()):
        return ""
    return f"{text.strip(' .,;:!')}: {asked}"


def is_said(conversation: Conversation, cancel: Callable[[], bool]) -> bool:
    """Whether the model would answer in words."""
    return next(iter(conversation.next_action(cancel=cancel))) == I2T


def is_clear(conversation: Conversation, cancel: Callable[[], bool]) -> bool:
    """Whether the model would do what it is asked, and not ask back."""
    if not is_said(conversation, cancel):
        return True
    before = conversation.mark()
    try:
        return not _ASKS.match(conversation.answer(cancel).text)
    finally:
        conversation.rollback(before)


def _asked_about(history: History) -> str:
    """The request that the last turn ended with a question about."""
    if not history:
        return ""
    last = history[-1]
    said = [(step.text, step.request) for step in last.steps] or [(last.text, "")]
    return next((request or last.request.text for text, request in reversed(said) if _ASKS.match(text)), "")
