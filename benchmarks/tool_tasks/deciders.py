"""Scripts that decide: one right solution of each task, and three that are wrong, to see that the checks notice."""

from __future__ import annotations

import uuid
from typing import Any, Final, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from benchmarks.tool_tasks.task import Call, Result, Solution

Script = Literal["scripted", "dropped", "another", "nothing"]
"""A right solution; with one of its calls left out; that of another task of the same kind; no call at all."""

SCRIPTS: Final[tuple[Script, ...]] = get_args(Script)
_GIVEN_UP: Final = "I could not do that."


class Scripted(BaseChatModel):
    """A chat model that follows a solution, call by call, reading the result of each.

    Attributes:
        script: which calls of it are made.
    """

    script: Script = "scripted"
    _solution: Solution | None = PrivateAttr(default=None)
    _skipped: int = PrivateAttr(default=-1)
    _asked: list[Call] = PrivateAttr(default_factory=list)

    def begin(self, solution: Solution, skipped: int = -1) -> None:
        """Follow this solution from now on.

        Args:
            skipped: which of its calls is not made, counted from 0; none where it is negative.
        """
        self._solution, self._skipped, self._asked = solution, skipped, []

    @property
    def _llm_type(self) -> str:
        return f"{self.script} calls"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        said = AIMessage(_GIVEN_UP) if self.script == "nothing" else self._next(messages)
        return ChatResult(generations=[ChatGeneration(message=said)])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        if self._solution is None:
            return AIMessage("no")  # nothing was made, and it is asked whether it claims that
        try:
            wanted = (
                next(self._solution) if not self._asked else self._solution.send(_result(messages, self._asked[-1]))
            )
            if len(self._asked) == self._skipped:
                self._skipped = -1
                wanted = self._solution.send(Result("", str(wanted.arguments.get("image", "image_1"))))
        except StopIteration as end:
            self._solution = None
            return AIMessage(str(end.value))
        except (LookupError, ValueError):  # a result does not say what the solution looks for in it
            self._solution = None
            return AIMessage(_GIVEN_UP)
        self._asked.append(wanted)
        made = {"name": wanted.tool, "args": wanted.arguments, "id": f"call_{uuid.uuid4().hex[:24]}"}
        return AIMessage("", tool_calls=[made])


def _result(messages: list[BaseMessage], asked: Call) -> Result:
    """What was said of the last call."""
    words = next(message.text for message in reversed(messages) if isinstance(message, ToolMessage))
    named = [word for word in words.split() if word.startswith("image_")]
    about = asked.arguments.get("image", "image_1")
    return Result(words, named[-1] if named and words.endswith("was made.") else str(about))
