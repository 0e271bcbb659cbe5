"""What a model is asked to answer with, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genllava_finetune.curate.ledger import Status

_API_REFUSALS: Final = frozenset(("content_filter", "refusal", "SAFETY"))
"""Why an answer ended, in the words of the providers' interfaces, where it is a refusal."""
_LONGEST_REASON: Final = 500
_MOST_STARTS: Final = 100
"""Braces of one text that are tried as the beginning of the object."""


class Answer(BaseModel):
    """The form of an answer; each step of a pipeline adds its own fields.

    `refused` is there so that a model that declines says so in a field, and nothing has to be guessed from its words.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    refused: bool = Field(default=False, description="true if you will not do what is asked; the rest is then ignored")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says.

    Attributes:
        status: "ok", "invalid" or "refused".
        parsed: the fields, where the status is "ok".
        reason: why it is not "ok".
    """

    status: Status
    parsed: dict[str, Any] | None = None
    reason: str = ""


def read_answer(form: type[Answer], text: str, given: object = None) -> Reading:
    """Read an answer: the arguments of a tool call, else the first JSON object in the text.

    Args:
        form: what is asked for.
        text: the model's words.
        given: the arguments, where the provider's structured output is a tool call; they may be wrong.
    """
    value = given if isinstance(given, Mapping) else first_object(text)
    if value is None:
        return Reading("invalid", reason="there is no JSON object in the answer" if text.strip() else "it is empty")
    if value.get("refused") is True:
        return Reading("refused", reason="the model says that it refuses")
    try:
        parsed = form.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Reading("invalid", reason=f"{place}: {first['msg']}"[:_LONGEST_REASON])
    return Reading("ok", parsed.model_dump(mode="json", exclude={"refused"}))


def first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object that stands in a text, also between other words or in a code fence; None without one."""
    decoder, start = json.JSONDecoder(strict=False), text.find("{")
    for _ in range(_MOST_STARTS):
        if start < 0:
            break
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        start = text.find("{", start + 1)
    return None


def api_refusal(message: Any) -> str:
    """The refusal that the provider's interface reports of a LangChain message, outside the words; "" without one."""
    refusal = message.additional_kwargs.get("refusal")
    if refusal:
        return str(refusal)[:_LONGEST_REASON]
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "refusal":
            return str(block.get("refusal", "refused"))[:_LONGEST_REASON]
    details = message.response_metadata
    ended = {str(details.get(name)) for name in ("finish_reason", "stop_reason", "stopReason")}
    return next((f"the provider ended the answer: {name}" for name in sorted(ended & _API_REFUSALS)), "")


@cache
def schema_of(form: type[Answer]) -> dict[str, Any]:
    """The JSON schema of a form, as structured output takes it: with a title and a description."""
    schema = form.model_json_schema()
    return schema | {"title": form.__name__, "description": (form.__doc__ or form.__name__).strip()}
