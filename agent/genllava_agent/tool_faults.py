"""What becomes of a call of a tool that failed.

    mendable  the arguments were wrong, or a server did not answer: the model is told, and may try once more
    final     a package or weights are missing, or do not fit, or it took too long: no arguments change that
    defect    the tool itself is broken: said so, and logged with its cause

Tools of this package say which by the error that they raise (`genllava_tools.errors`). Of other LangChain tools,
`ToolException`, `ValueError` (pydantic's `ValidationError` is one) and servers that are too busy count as mendable,
missing imports, files and memory as final, and whatever else they raise as a defect.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolCall
from langchain_core.tools import ToolException
from langgraph.errors import GraphBubbleUp, is_invalid_resume
from langgraph.prebuilt.tool_node import ToolInvocationError

from genllava.errors import Cancelled, GenLlavaError, ImageRejected, InvalidRequest
from genllava_agent.errors import StoreFailed, ThreadQuarantined, UnknownImage, is_transient
from genllava_agent.records import Fate, Step
from genllava_agent.session import unwanted
from genllava_tools.errors import ToolFailed

FATE: Final = "fate"
"""Key of a result's `additional_kwargs`."""
_REASONS: Final = 300
"""Characters of an error that are told."""
_ATTEMPTS: Final = 2
"""Times in a row that a tool may fail in a turn."""
_ADVICE: Final[dict[Fate, str]] = {
    "mendable": "That was the last attempt in this turn: do without it, and say so.",
    "final": "Calling it again changes nothing: do without it, and say so.",
    "defect": "This is a defect of the tool, and not of the call: do without it, and say so.",
}
_log: Final = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # nothing is printed where nobody asked for it


def fate_of(error: Exception) -> Fate:
    """What can become of a call that raised this."""
    if isinstance(error, (InvalidRequest, ImageRejected, UnknownImage, ToolException)) or is_transient(error):
        return "mendable"
    if isinstance(error, GenLlavaError):
        return "defect" if isinstance(error, ToolFailed) else "final"
    if isinstance(error, ValueError):
        return "mendable"
    return "final" if isinstance(error, (ImportError, OSError, MemoryError)) else "defect"


def failed(call: ToolCall, error: Exception) -> ToolMessage:
    """The result of a call that raised.

    Raises:
        the error, where it is no matter of the tool: a question, a store that cannot be written, or nobody waits.
    """
    if isinstance(error, (GraphBubbleUp, StoreFailed, ThreadQuarantined)) or is_invalid_resume(error):
        raise error
    if isinstance(error, Cancelled) and unwanted():
        raise error
    fate = fate_of(error)
    if fate == "defect":
        _log.error("the tool %s is broken: %s", call["name"], error, exc_info=error)
    text = " ".join(_words(error).split())[:_REASONS]
    return ToolMessage(
        text, tool_call_id=str(call["id"]), name=call["name"], status="error", additional_kwargs={FATE: fate}
    )


def exhausted(steps: Sequence[Step]) -> set[str]:
    """The tools that are not called again in a turn: those that failed for good, or twice in a row."""
    gone, failures = set[str](), dict[str, int]()
    for step in steps:
        if step.tool is None or step.outcome == "rejected":
            continue
        failures[step.tool] = failures.get(step.tool, 0) + 1 if step.outcome == "error" else 0
        if step.outcome == "error" and (step.fate != "mendable" or failures[step.tool] >= _ATTEMPTS):
            gone.add(step.tool)
    return gone


def advice(step: Step, steps: Sequence[Step]) -> str:
    """What a model is told besides of a call that failed; empty where it may try again.

    Args:
        steps: those of the turn, this one included.
    """
    return _ADVICE[step.fate] if step.fate is not None and step.tool in exhausted(steps) else ""


def _words(error: Exception) -> str:
    if isinstance(error, ToolInvocationError):
        wrong = error.filtered_errors or error.source.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong)
    return str(error) if isinstance(error, (GenLlavaError, ToolException)) else f"{type(error).__name__}: {error}"
