"""What is asked of the verbs: texts with their pictures, one or a list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from genllava import layout
from genllava.errors import InvalidRequest
from genllava.images import ImageSource
from genllava.pipeline_output import Drawing
from genllava.tokens import I2I, I2T, T2I

if TYPE_CHECKING:
    from genllava.image_decoder import Picture

Seen = ImageSource | Drawing
"""A picture, or a drawing of ours, whose latents are then used again."""


@dataclass(slots=True)
class Request:
    """What a user says and shows."""

    text: str
    pictures: list[Picture] = field(default_factory=list)


def check_text(text: object) -> str:
    """`text` if there is something in it.

    Raises:
        InvalidRequest: it is empty, or not a string.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"a request is text, not {type(text).__name__}")
    if not layout.request_text(text):
        raise InvalidRequest("the request is empty: say what to do")
    return text


def pair_requests(images: Any, text: str | list[str], admit: Callable[[Seen], Picture]) -> list[Request]:
    """Pair texts with what they show; the text says whether it is one request or a list of them.

    Args:
        images: for one request None, a picture or several; for a list of requests None or a list of those.
        admit: the door for pictures.

    Raises:
        InvalidRequest: an empty text, or not as many pictures as texts.
        ImageRejected: a picture was not let in.
    """
    if isinstance(text, str):
        texts, shown = [text], [images]
    else:
        texts, shown = list(text), [None] * len(text) if images is None else images
    if not texts or not isinstance(shown, (list, tuple)) or len(shown) != len(texts):
        raise InvalidRequest("a list of requests needs a list of as many pictures")
    requests = [Request(check_text(words)) for words in texts]
    for request, sources in zip(requests, shown, strict=True):
        request.pictures = [admit(source) for source in listed(sources)]
    return requests


def listed(images: Seen | Sequence[Seen] | None) -> list[Seen]:
    """What may be None, a picture or several, as a list."""
    if images is None:
        return []
    return list(images) if isinstance(images, (list, tuple)) else [cast(Seen, images)]


def given_plans(
    plan: str | Sequence[str] | None, requests: Sequence[Request], follow_request: bool
) -> list[str] | None:
    """The plans that are not left to the model, one per request; None where it plans by itself.

    Args:
        follow_request: without a plan, the request is taken as the plan.

    Raises:
        InvalidRequest: an empty plan, or not as many plans as requests.
    """
    if plan is None:
        return [request.text for request in requests] if follow_request else None
    plans = [plan] if isinstance(plan, str) else list(plan)
    if len(plans) != len(requests):
        raise InvalidRequest(f"{len(plans)} plans for {len(requests)} requests")
    if not all(isinstance(text, str) and text.strip() for text in plans):
        raise InvalidRequest("the plan is empty")
    return plans


def task_choices(requests: Sequence[Request]) -> list[tuple[str, ...]]:
    """The task tokens that may follow each request: what cannot be edited is not offered for editing."""
    return [(I2T, T2I, I2I) if request.pictures else (I2T, T2I) for request in requests]
