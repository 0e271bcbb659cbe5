"""What the shapes model is let say: nothing that it does not know, and nothing that it is not sure of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from genllava.protocols.shapes.reading import UNREADABLE
from genllava.protocols.shapes.segments import Written
from genllava.protocols.shapes.tokens import I2I, I2T

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OUTSIDE: Final = "I can only see, draw and edit simple shapes."
ABILITIES: Final = "I can answer questions about pictures of simple shapes, draw them and edit them."
_CHAT: Final = frozenset({"Hello! I can see, draw and edit simple shapes.", "You are welcome!", "Goodbye!", ABILITIES})
"""What the model was taught to say of no picture, besides `OUTSIDE`."""
VOCABULARY: Final = (
    "I know circles, squares, triangles, stars, diamonds and crosses, small or large, in red, green, blue, yellow, "
    "orange, purple, pink and cyan, on white, black, gray or beige."
)
NO_PICTURE: Final = f"There is no picture yet. {ABILITIES}"
NOT_UNDERSTOOD: Final = "I do not understand that: I read plain English about simple shapes."

SURE: Final = 0.7
LIKELY: Final = 0.25
"""A text is said if its tokens were this likely, by their geometric mean and the least likely of them. On dev what is
right comes to 0.8 and 0.5 at least, and what is written to words that make no sense mostly to less than 0.7 or 0.2."""


class Said(NamedTuple):
    """What is said, and why that is not what the model would say; `unsure` is empty where it is."""

    text: str
    unsure: str = ""


def is_sure(written: Written) -> bool:
    """Whether the model was sure of its words, and said all of them."""
    product = 1.0
    for likelihood in written.likelihoods:
        product *= likelihood
    mean = product ** (1 / max(len(written.likelihoods), 1))
    return written.ended and mean >= SURE and min(written.likelihoods, default=1.0) >= LIKELY


def has_known_words(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> bool:
    """Whether any token of a request is more than a single letter: words of another script come to single bytes."""
    return any(len(piece.lstrip("Ġ▁")) > 1 for piece in tokenizer.convert_ids_to_tokens(list(ids)))


def said(written: Written, pictures: int, unreadable: str = "", noted: bool = True) -> Said:
    """What is said in place of what the model wrote.

    Args:
        pictures: how many the conversation has; of none nothing can be described.
        unreadable: why the picture that is asked about cannot be read; empty if it can.
        noted: the model noted something of pictures for this request.
    """
    if written.text == ABILITIES:
        return Said(f"{ABILITIES} {VOCABULARY}")
    if written.text in _CHAT:
        return Said(written.text) if is_sure(written) else not_understood()
    if written.text == OUTSIDE and not (unreadable and noted):
        return Said(OUTSIDE)
    if unreadable:
        return Said(UNREADABLE, unreadable)
    if not is_sure(written):
        return not_understood()
    return Said(written.text) if pictures else Said(NO_PICTURE, "there is no picture that this could be about")


def not_understood() -> Said:
    """What is said to words that the model does not know."""
    return Said(NOT_UNDERSTOOD, "it is not clear to me what was asked")


def checked_tasks(likely: Mapping[str, float], understood: bool, unreadable: str) -> dict[str, float]:
    """How likely each task is, most likely first: nothing is done but to say so about what cannot be read.

    Args:
        likely: by the model, for the tasks that may be chosen.
        understood: there are words in the request that the model knows.
        unreadable: why the picture that is asked about cannot be read; empty if it can.
    """
    if I2T not in likely or (understood and not unreadable):
        return dict(likely)
    given = {I2I} if understood else set(likely) - {I2T}
    tasks = {task: likelihood for task, likelihood in likely.items() if task not in given}
    tasks[I2T] += sum(likely[task] for task in given if task in likely)
    return dict(sorted(tasks.items(), key=lambda item: -item[1]))
