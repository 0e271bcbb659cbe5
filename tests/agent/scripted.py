"""A chat model that follows a script, and messages for one."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from genllava_agent.deciders.chat_model import CLAIM


class Scripted(BaseChatModel):
    """Says what it is told to say, and keeps what it was shown and given.

    Attributes:
        script: messages, words, or what it raises.
        claims: its answer, or what it raises, where it is asked whether its own words say that a picture was made.
        asked: the words that it was asked so about.
    """

    script: list[Any]
    claims: Any = "no"
    asked: list[str] = Field(default_factory=list)
    heard: list[list[BaseMessage]] = Field(default_factory=list)
    bound: list[list[Any]] = Field(default_factory=list)
    given: list[dict[str, Any]] = Field(default_factory=list)
    wait: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.bound.append(list(tools))
        self.given.append(kwargs)
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if messages[0].text == CLAIM:
            self.asked.append(messages[-1].text)
            if isinstance(self.claims, Exception):
                raise self.claims
            return ChatResult(generations=[ChatGeneration(message=AIMessage(self.claims))])
        self.heard.append(messages)
        time.sleep(self.wait)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said) if isinstance(said, str) else said)])


def call(*calls: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    made = [{"name": name, "args": args, "id": f"call_{place}_{name}"} for place, (name, args) in enumerate(calls)]
    return AIMessage(text, tool_calls=made)


def shown(messages: Sequence[BaseMessage]) -> list[bytes]:
    """The files of the pictures that messages show."""
    blocks: list[Any] = [block for message in messages for block in message.content_blocks if block["type"] == "image"]
    assert all("file_id" not in block for block in blocks)
    return [base64.b64decode(block["base64"]) for block in blocks]


RED = "a large red circle at the top left"


def draw(what: str = RED) -> AIMessage:
    return call(("generate", {"instruction": what}))


def edit(what: str, image: str) -> AIMessage:
    return call(("edit", {"instruction": what, "image": image}))


def look(what: str, image: str) -> AIMessage:
    return call(("understand", {"instruction": what, "image": image}))


def offered(tools: Sequence[Any]) -> list[str]:
    return [spec["function"]["name"] for spec in tools]


def enum(tools: Sequence[Any], name: str, argument: str = "image") -> list[str]:
    (spec,) = (spec["function"] for spec in tools if spec["function"]["name"] == name)
    names: list[str] = spec["parameters"]["properties"][argument]["enum"]
    return names
