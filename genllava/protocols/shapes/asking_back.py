"""The model's own question ("Which red shape do you mean?") and the answer to it, which are one request together.

The model was taught to ask, and what `the star: make the red shape green` means, but not what `the star` means by
itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from genllava.protocols.shapes.sentences import plain_sentences
from genllava.protocols.shapes.tokens import I2T

if TYPE_CHECKING:
    from genllava.protocols.shapes.conversation import Conversation

_ASKS: Final = re.compile(r"which .+ do you mean\?", re.IGNORECASE)
_QUESTION: Final = re.compile(
    r"^(?:which|who|do|does|can|could|tell|say|name|describe|show|list)\b|(?<!that )(?<!which )\b(?:is|are)\b|\?|"
    r"\b(?:what|where|when|why|how|count|number|colou?r|size|position|background)\b",
    re.IGNORECASE,
)
_NOT_ONE: Final = re.compile(r"\b(?:all|both|any|either|neither|none|not)\b", re.IGNORECASE)
_MOST_WORDS: Final = 8


def completed(asked: Sequence[tuple[str, str]], text: str) -> str:
    """The request that the model asked back about, completed by `text`.

    Args:
        asked: of the last turn: what the model said, and the request it was said about.

    Returns:
        Empty where nothing was asked, or where `text` names no single thing, is a question itself, or long.
    """
    about = next((request for said, request in reversed(asked) if _ASKS.match(said)), "")
    if not about:
        return ""
    answer = plain_sentences(text).strip(" .,;:!")
    if len(answer.split()) > _MOST_WORDS or _QUESTION.search(answer) or _NOT_ONE.search(answer):
        return ""
    return f"{answer}: {plain_sentences(about)}"


def is_understood(conversation: Conversation, cancel: Callable[[], bool]) -> bool:
    """Whether the model takes what it was just asked as one request, and does not ask back."""
    if conversation.request:  # it found several
        return False
    if next(iter(conversation.next_action(cancel=cancel))) != I2T:
        return True
    before = conversation.mark()
    try:
        return not _ASKS.match(conversation.answer(cancel).text)
    finally:
        conversation.rollback(before)
