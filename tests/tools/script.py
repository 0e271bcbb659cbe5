"""A chat model that makes the calls of a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class Follows(BaseChatModel):
    """Says what its script says, and keeps what it was shown and offered."""

    script: list[Any]
    heard: list[list[BaseMessage]] = Field(default_factory=list)
    offered: list[list[Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "follows a script"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.offered.append(list(tools))
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.heard.append(messages)
        said = self.script.pop(0)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said) if isinstance(said, str) else said)])


def calls(*made: tuple[str, dict[str, Any]]) -> AIMessage:
    """A message that calls tools, in this order."""
    listed = [{"name": name, "args": args, "id": f"call_{at}_{name}"} for at, (name, args) in enumerate(made)]
    return AIMessage("", tool_calls=listed)
