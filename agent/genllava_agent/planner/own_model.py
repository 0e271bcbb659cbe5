"""The pipeline's own language model as the one that plans: stock models that call tools, or are asked for choices."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolMessage, UsageMetadata
from langchain_core.messages.tool import ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from genllava.images import load_image
from genllava.protocols.verbs import EDIT, GENERATE
from genllava_agent.deciders import Decision, action_for
from genllava_agent.planner.planner import Planner
from genllava_agent.planner.tools import Verb
from genllava_agent.records import Kind
from genllava_agent.session import Session
from genllava_agent.state import AgentState

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

VERBS: Final[dict[Kind, Verb]] = {
    "generate": Verb(
        GENERATE,
        "Draw a new picture from a description.",
        "prompt",
        "What the picture shows, in full: things, places, colours, style, and any words that stand in it.",
    ),
    "edit": Verb(
        EDIT,
        "Change a picture as told; the picture itself stays, and a changed copy is made.",
        "instruction",
        "What to change, and into what.",
    ),
}
"""It answers by itself, so that there is no verb for that."""


class OwnModel(Planner):
    """The pipeline's own language model decides, draws and edits by calling tools, and answers in its own words.

    Args:
        pipeline: with a protocol for general language models.
    """

    needs_model = True

    def __init__(self, pipeline: GenLlavaPipeline) -> None:
        protocol: Any = pipeline.protocol
        super().__init__(PipelineChatModel(pipeline), verbs=VERBS, instructions=protocol.instructions)

    def decide(self, session: Session, state: AgentState, possible: list[Kind], may_finish: bool) -> Decision:
        task = state["request"].task
        if task is not None and not state["steps"]:
            return Decision(action_for(task, state, {}))
        return super().decide(session, state, possible, may_finish)

    def _invoke(self, session: Session, model: Any, messages: list[AnyMessage]) -> AIMessage:
        """Ask in this thread, which has the model to itself."""
        reply: AIMessage = model.invoke(messages, cancel=session.interrupted)
        return reply


class PipelineChatModel(BaseChatModel):
    """A pipeline's language model as a LangChain chat model with tool calling, whatever its protocol."""

    _protocol: Any = PrivateAttr()
    _cache: Any = PrivateAttr()

    def __init__(self, pipeline: GenLlavaPipeline) -> None:
        super().__init__()
        self._protocol = pipeline.protocol
        self._cache = pipeline.vision_language.new_cache()

    @property
    def _llm_type(self) -> str:
        return "genllava-pipeline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Offer tools, as OpenAI has them."""
        return self.bind(tools=list(tools), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: Sequence[dict[str, Any]] = (),
        **options: Any,
    ) -> ChatResult:
        reply = self._protocol.reply(as_template_messages(messages), list(tools), cache=self._cache, **options)
        calls = [ToolCall(name=call.name, args=call.arguments, id=call.id) for call in reply.tool_calls]
        broken: list[Any] = [
            {"type": "invalid_tool_call", "name": "", "args": each.text, "id": f"invalid_{n}", "error": each.reason}
            for n, each in enumerate(reply.invalid)
        ]
        text = reply.text
        if not text and not calls and not broken:  # all was done before: what was said then is the reply
            text = " ".join(_said_since(messages)) or "Done."
        usage = UsageMetadata(
            input_tokens=reply.prompt_tokens,
            output_tokens=reply.new_tokens,
            total_tokens=reply.prompt_tokens + reply.new_tokens,
        )
        message = AIMessage(text, tool_calls=calls, invalid_tool_calls=broken, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def as_template_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """LangChain's messages as chat templates take them; pictures are decoded, at their own size.

    Raises:
        ImageRejected: one is no picture.
    """
    return [_as_template_message(message) for message in messages]


def _as_template_message(message: BaseMessage) -> dict[str, Any]:
    role = {"human": "user", "ai": "assistant"}.get(message.type, message.type)
    content = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    made: dict[str, Any] = {"role": role, "content": [_as_block(block) for block in content]}
    if isinstance(message, AIMessage) and message.tool_calls:
        made["tool_calls"] = [
            {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        made |= {"tool_call_id": message.tool_call_id, "name": message.name or ""}
    return made


def _as_block(block: Any) -> dict[str, Any]:
    if isinstance(block, dict) and block.get("type") == "image":
        return {"type": "image", "image": load_image(base64.b64decode(block["base64"]))}
    return {"type": "text", "text": block["text"] if isinstance(block, dict) else str(block)}


def _said_since(messages: Sequence[BaseMessage]) -> list[str]:
    """What the assistant said besides its calls since the user's latest request; pictures that are shown are none."""
    said: list[str] = []
    for message in reversed(messages):
        last: Any = message.content[-1] if isinstance(message.content, list) else None
        shows = isinstance(last, dict) and last["type"] == "image"
        if (message.type == "human" and not shows) or isinstance(message, SystemMessage):
            break
        if isinstance(message, AIMessage) and str(message.text).strip():
            said.append(str(message.text).strip())
    return said[::-1]
