"""What a model says inside of a node, as LangChain's callbacks, tracing and `stream_mode="messages"` see it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from genllava import Understanding

SPOKEN: Final = "spoken"
"""Key of a result's `additional_kwargs`: the id under which its words were streamed."""
Say = Callable[[Callable[[str], object]], "Understanding"]
"""Says something; what it is called with hears the words so far."""


class Speech(BaseChatModel):
    """A chat model that says one thing.

    Args:
        say: see `Say`.
        tokens: tells how many tokens the model has read and written, before and after.

    Attributes:
        answer: what was said, once it was.
        id: of its message.
    """

    answer: Any = None
    _say: Say = PrivateAttr()
    _tokens: Callable[[], int] = PrivateAttr()

    def __init__(self, say: Say, tokens: Callable[[], int]) -> None:
        super().__init__(cache=False)
        self._say, self._tokens = say, tokens

    @property
    def _llm_type(self) -> str:
        return "genllava"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        key, told, before = uuid.uuid4().hex, "", self._tokens()

        def tell(text: str) -> None:
            nonlocal told
            if text.startswith(told) and text != told and run_manager is not None:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=text[len(told) :], id=key))
                run_manager.on_llm_new_token(text[len(told) :], chunk=chunk)
            told = text

        self.answer = self._say(tell)
        tell(self.answer.text)
        used = self._tokens() - before
        usage = UsageMetadata(input_tokens=used, output_tokens=0, total_tokens=used)
        message = AIMessage(self.answer.text, id=key, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def said(instruction: str, say: Say, tokens: Callable[[], int]) -> tuple[Understanding, str]:
    """Say something as a chat model; returns the answer and the id of its message.

    Args:
        instruction: what is answered.
    """
    speech = Speech(say, tokens)
    message = speech.invoke([HumanMessage(instruction)])
    return speech.answer, str(message.id)
