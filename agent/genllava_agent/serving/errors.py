"""Errors in the form that OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from genllava.errors import Cancelled, GenLlavaError, ImageRejected, InvalidRequest, ModelReplyError, NotEnoughMemory
from genllava_agent.errors import InvalidAnswer, PlannerFailed, StoreFailed, ThreadBusy, UnknownImage, is_transient

_log: Final = logging.getLogger(__name__)
_INVALID: Final = "invalid_request_error"
_OURS: Final = "server_error"


class ErrorDetail(BaseModel):
    """What went wrong.

    Attributes:
        message: in words for whoever made the request.
        type: whose fault it is.
        param: which part of the request is meant.
        code: for programs.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ApiError(HTTPException):
    """An answer that says what went wrong.

    Args:
        status: of HTTP.
        message, code, param, kind: see `ErrorDetail`; `kind` is its type.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        param: str | None = None,
        kind: str = _INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.error = ErrorDetail(message=message, type=kind, param=param, code=code)

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {"error": self.error.model_dump()}

    def response(self) -> JSONResponse:
        """As an answer of its own."""
        return JSONResponse(self.body(), self.status_code, self.headers)


def api_error(fault: BaseException) -> ApiError:
    """What is said of a fault. What nobody foresaw is logged, without its words, which may be the user's."""
    if isinstance(fault, ApiError):
        return fault
    if isinstance(fault, HTTPException):
        code = {400: "invalid_body", 404: "not_found", 405: "method_not_allowed"}.get(fault.status_code)
        return ApiError(fault.status_code, str(fault.detail), code, headers=fault.headers)
    if isinstance(fault, ImageRejected):
        return ApiError(400, str(fault), "invalid_image")
    if isinstance(fault, (InvalidRequest, UnknownImage, InvalidAnswer)):
        return ApiError(400, str(fault), "invalid_value")
    if isinstance(fault, Cancelled):
        return ApiError(499, "nobody waits for this any more", "cancelled")
    if isinstance(fault, ThreadBusy):
        return ApiError(409, str(fault), "thread_busy", headers={"Retry-After": "1"})
    if isinstance(fault, (PlannerFailed, ModelReplyError)):
        return ApiError(502, str(fault), "model_error", kind=_OURS)
    if isinstance(fault, (NotEnoughMemory, StoreFailed)) or is_transient(fault):
        _log_fault(fault)
        said = str(fault) if isinstance(fault, GenLlavaError) else "what decides here did not answer: try again"
        return ApiError(503, said, "unavailable", kind=_OURS)
    _log_fault(fault)
    return ApiError(500, "this went wrong here, and not in the request: try again", "internal_error", kind=_OURS)


def not_as_asked(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """What is said of a body that is not as it should be.

    Args:
        errors: pydantic's; the one that reaches deepest tells most.
    """
    worst = max(errors, key=lambda each: len(each["loc"]))
    if worst["type"] == "json_invalid":
        return ApiError(400, "the body is not valid JSON", "invalid_json")
    places = [str(part) for part in worst["loc"] if isinstance(part, int) or part.isidentifier()]
    param = ".".join(places[1:] if places[:1] == ["body"] else places)
    message = str(worst["msg"]).removeprefix("Value error, ")
    if not param:
        return ApiError(400, f"the body must be JSON, with Content-Type: application/json ({message})", "invalid_json")
    code = "missing_required_parameter" if worst["type"] == "missing" else "invalid_value"
    return ApiError(400, f"{param}: {message}", code, param=param)


def _log_fault(fault: BaseException) -> None:
    frames = "".join(traceback.format_tb(fault.__traceback__))
    _log.error("a request failed with %s\n%s", type(fault).__name__, frames)
