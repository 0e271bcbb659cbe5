"""Pictures that a request of the shapes world names by number, and that are not there or can no longer be seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from genllava.protocols.shapes.layout import ORDINALS, named_pictures, phrases

if TYPE_CHECKING:
    from genllava.protocols.shapes.conversation import Conversation

_ONE: Final = re.compile(rf"\bthe ({'|'.join(ORDINALS[2:])}) one\b", re.IGNORECASE)
_NOT_A_PICTURE: Final = re.compile(
    rf"\b(?:images?|pictures?|drawings?|from|of (?!the (?:{'|'.join(ORDINALS)}) one\b))\b", re.IGNORECASE
)
"""Where one of these is said, `the third one` may be a shape: `of the circles`, `from the left`, `in image 1`."""
_BACKGROUND: Final = re.compile(
    r"\bone's (?:\w+ )?(?:background|backdrop|canvas)|(?:background|backdrop|canvas) of the \w+ one\b", re.IGNORECASE
)


def out_of_reach(conversation: Conversation, request: str, new: int = 0) -> str:
    """What to say of a request for a picture that there is not, or of which nothing is known any more.

    Args:
        new: how many pictures are to be drawn, which the request may name as well.

    Returns:
        Empty where all pictures it names are there.
    """
    pictures = len(conversation.pictures)
    if unknown := unknown_picture(request, pictures, new, lambda: _things(conversation)):
        return unknown
    if new or not conversation.hidden:
        return ""
    return lost_picture(request, conversation.hidden - conversation.captions.keys())


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


def _bare_numbers(text: str, pictures: int, things: Callable[[], int]) -> list[int]:
    """The pictures that a text names as `the third one`, where nothing else can be meant: there are several pictures to
    tell from each other, and no picture has a third thing, or it is about its background. The first and the second
    `one` may be a shape all the same."""
    if pictures < 2 or _NOT_A_PICTURE.search(text):
        return []
    numbers = [ORDINALS.index(word.lower()) + 1 for word in _ONE.findall(text)]
    return [number for number in numbers if _BACKGROUND.search(text) or number > things()]


def _things(conversation: Conversation) -> int:
    """How many things there are in the picture that shows most, by what is noted of the pictures."""
    noted = [phrases(caption) for caption in conversation.captions.values()]
    return max((sum(not phrase.startswith("on ") for phrase in each) for each in noted), default=0)
