"""Whether a picture shows what was asked for: the model is asked about its own picture, one question for each thing.

The measure is that of GenEval 2: the probability of "yes" against "no" as the next words, for every question.
"""

from __future__ import annotations

import math
from typing import Final, cast

from genllava.options import CancelCheck
from genllava.protocols.parts import user_message
from genllava.requests import Seen
from genllava.vision_language import Reply, VisionLanguage

MAX_QUESTIONS: Final = 6
_SPLIT: Final = (
    "A picture was asked for in these words: {words}\n"
    "List what must be visible in it, one short statement on each line, and nothing else."
)
_ASK: Final = "Is this true of the {which}picture? {statement}\nAnswer with yes or no."
_ANSWERS: Final = ("yes", "no")


def judge_picture(
    vision_language: VisionLanguage,
    picture: Seen,
    words: str,
    before: Seen | None = None,
    cancel: CancelCheck | None = None,
) -> list[str]:
    """Ask a model whether a picture shows what was asked for.

    Args:
        words: what was asked for, or what was to be changed.
        before: the picture that was edited.

    Returns:
        The statements that it thinks false, by a probability of "yes" under one half.

    Raises:
        InvalidRequest, Cancelled, NonFiniteError.
    """
    asked = [user_message(_SPLIT.format(words=words))]
    reply = cast(Reply, vision_language.chat(asked, cancel=cancel, max_new_tokens=120))
    statements = [line.strip(" -*•\t") for line in reply.text.splitlines()]
    found = list(dict.fromkeys(filter(None, statements)))[:MAX_QUESTIONS] or [words]
    return [each for each in found if probability_of_yes(vision_language, picture, each, before) < 0.5]


def probability_of_yes(
    vision_language: VisionLanguage, picture: Seen, statement: str, before: Seen | None = None
) -> float:
    """How likely a model is to say yes, and not no, to whether a statement is true of a picture, from 0 to 1."""
    shown = [picture] if before is None else [before, picture]
    question = _ASK.format(which="" if before is None else "second ", statement=statement)
    yes, no = vision_language.score([user_message(question, shown)], _ANSWERS)
    return 1 / (1 + math.exp(no - yes))
