"""What the shapes model is let say: nothing that it does not know, and nothing that it is not sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from genllava.protocols.shapes.reading import UNREADABLE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OUTSIDE: Final = "I can only see, draw and edit simple shapes."
ABILITIES: Final = "I can answer questions about pictures of simple shapes, draw them and edit them."
_CHAT: Final = frozenset(
    {"Hello! I can see, draw and edit simple shapes.", "You are welcome!", "Goodbye!", ABILITIES}
)
"""What the model was taught to say of no picture, besides `OUTSIDE`."""
VOCABULARY: Final = (
    "I know circles, squares, triangles, stars, diamonds and crosses, small or large, in red, green, blue, yellow, "
    "orange, purple, pink and cyan, on white, black, gray or beige."
)
NO_PICTURE: Final = f"There is no picture yet. {ABILITIES}"
NOT_UNDERSTOOD: Final = "I do not understand that: I read plain English about simple shapes."

SURE: Final = 0.8
LIKELY: Final = 0.25
"""A text is said if its tokens were this likely, by their geometric mean and the least likely of them."""


class Written(NamedTuple):
    """A text as the model wrote it.

    Attributes:
        text: the words.
        likelihoods: of its tokens, that of what ended it included.
        ended: the model came to an end by itself.
    """

    text: str
    likelihoods: Sequence[float]
    ended: bool


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


def said(written: Written, pictures: int, unreadable: str = "") -> Said:
    """What is said in place of what the model wrote.

    Args:
        pictures: how many the conversation has; of none nothing can be described.
        unreadable: why the picture that is asked about cannot be read; empty if it can.
    """
    if written.text == ABILITIES:
        return Said(f"{ABILITIES} {VOCABULARY}")
    if written.text in _CHAT:
        return Said(written.text) if is_sure(written) else not_understood()
    if unreadable:
        return Said(UNREADABLE, unreadable)
    if written.text == OUTSIDE:
        return Said(OUTSIDE)
    if not is_sure(written):
        return not_understood()
    return Said(written.text) if pictures else Said(NO_PICTURE, "there is no picture that this could be about")


def not_understood() -> Said:
    """What is said to words that the model does not know."""
    return Said(NOT_UNDERSTOOD, "it is not clear to me what was asked")
