"""Requests as the shapes protocol takes them: a text with pictures that were admitted, and plans that are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genllava import requests
from genllava.errors import InvalidRequest
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.latents import Picture
from genllava.protocols.shapes.tokens import I2I, I2T, T2I


@dataclass(slots=True)
class Request:
    """What a user says and shows; the pictures are square, as the model sees them."""

    text: str
    pictures: list[Picture] = field(default_factory=list)


def check_text(text: object) -> str:
    """`text` if the model can read something in it.

    Raises:
        InvalidRequest: it is empty, or not a string.
    """
    words = requests.check_text(text)
    if not layout.request_text(words):
        raise InvalidRequest("the request is empty: say what to do")
    return words


def given_plans(plan: str | Sequence[str] | None, requests: Sequence[Request]) -> list[str] | None:
    """The plans that are not left to the model, one per request; None where it plans by itself.

    Raises:
        InvalidRequest: an empty plan, or not as many plans as requests.
    """
    if plan is None:
        return None
    plans = [plan] if isinstance(plan, str) else list(plan)
    if len(plans) != len(requests):
        raise InvalidRequest(f"{len(plans)} plans for {len(requests)} requests")
    if not all(isinstance(text, str) and text.strip() for text in plans):
        raise InvalidRequest("the plan is empty")
    return plans


def task_choices(requests: Sequence[Request]) -> list[tuple[str, ...]]:
    """The task tokens that may follow each request: what cannot be edited is not offered for editing."""
    return [(I2T, T2I, I2I) if request.pictures else (I2T, T2I) for request in requests]
