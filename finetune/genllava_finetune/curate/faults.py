"""What a failed request means: ask again and when, give this request up, or stop."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

_AGAIN: Final = frozenset((408, 409, 425, 429))
_STOP: Final = {
    401: "the provider does not accept the API key (401): set the right one in its environment variable",
    403: "the provider does not allow this (403): the API key may not use this model",
    404: "the provider has no such model, or nothing is at this address (404): see --model and --base-url",
}
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer.

    Attributes:
        kind: "again": the same request may succeed later; "request": the provider rejects this request; "stop": it
            will reject all; "refused": its filter declined; "invalid": the answer was cut off.
        reason: what happened, without secrets.
        wait: seconds that the server asks to wait; None where it does not.
        limited: whether the server says that there are too many requests.
    """

    kind: Literal["again", "request", "stop", "refused", "invalid"]
    reason: str
    wait: float | None = None
    limited: bool = False


def fault_of(error: Exception, secrets: tuple[str, ...] = ()) -> Fault:
    """What an exception of a chat model means.

    Provider packages differ in their exceptions; what they share is the HTTP status of a response. What has none (a
    broken connection, a timeout, a body that cannot be read) is asked again.

    Args:
        secrets: texts that must not stand in the reason.
    """
    reason = f"{type(error).__name__}: {error}"
    for secret in secrets:
        reason = reason.replace(secret, "***")
    reason = reason[:_LONGEST]
    openai: Any = sys.modules.get("openai")
    if openai is not None and isinstance(error, openai.ContentFilterFinishReasonError):
        return Fault("refused", "the provider ended the answer: content_filter")
    if openai is not None and isinstance(error, openai.LengthFinishReasonError):
        return Fault("invalid", "the answer was cut off at the largest number of tokens")
    response: Any = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if not isinstance(status, int) or status < 400:
        return Fault("again", reason)
    if status in _STOP:
        return Fault("stop", _STOP[status])
    if status in _AGAIN or status >= 500:
        return Fault("again", reason, _retry_after(getattr(response, "headers", None)), status == 429)
    if getattr(error, "code", None) == "content_filter":
        return Fault("refused", "the provider's filter declined the request: content_filter")
    return Fault("request", reason)


def _retry_after(headers: Any) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date."""
    value = headers.get("retry-after") if headers is not None else None
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
