"""The pipeline's own language model as the one that plans: stock models that call tools, or are asked for choices."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage, UsageMetadata
from langchain_core.messages.tool import ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from genllava.errors import InvalidRequest
from genllava.images import load_image
from genllava.pipeline_output import Drawing
from genllava.protocols.verbs import EDIT, GENERATE, RESULTS
from genllava_agent.deciders import Decision, action_for
from genllava_agent.planner.planner import Planner
from genllava_agent.planner.tools import Verb
from genllava_agent.records import Kind
from genllava_agent.session import Session
from genllava_agent.state import Action, AgentState
from genllava_agent.workers import TellPlan, VerbWorker, Worker

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
SILENT: Final = "silent"
"""Marks a message of a model that had nothing more to say."""


class OwnWorker(VerbWorker):
    """Verb by verb, as the model called them: what it says to draw is the plan, and is not planned again."""

    def draw(
        self, session: Session, state: AgentState, action: Action, seed: int, again: Drawing | None, tell: TellPlan,
        options: dict[str, Any],
    ) -> Drawing:  # fmt: skip
        taken = session.engine.pipeline.protocol.turn_options(options, edits=action.kind == "edit")
        if again is None and state["request"].task is None:
            again = Drawing(None, None, action.instruction, seed)  # nothing is taken of it but its plan
        return super().draw(session, state, action, seed, again, tell, taken)


class OwnModel(Planner):
    """The pipeline's own language model decides, draws and edits by calling tools, and answers in its own words.

    Args:
        pipeline: with a protocol for general language models.
    """

    worker: Worker = OwnWorker()
    needs_model = True

    def __init__(self, pipeline: GenLlavaPipeline) -> None:
        protocol: Any = pipeline.protocol
        super().__init__(PipelineChatModel(pipeline), verbs=VERBS, instructions=protocol.instructions)
        self._verbs_that_can = [
            *(["generate"] if protocol.can_generate else []),
            *(["edit"] if protocol.can_edit else []),
        ]

    def decide(self, session: Session, state: AgentState, possible: list[Kind], may_finish: bool) -> Decision:
        """The next call of the model, or the end of the turn, with all that it said in the turn."""
        task = state["request"].task
        if task is not None and not state["steps"]:
            return Decision(action_for(task, state, {}))
        possible = [kind for kind in possible if kind not in VERBS or kind in self._verbs_that_can]
        decision = super().decide(session, state, possible, may_finish)
        if decision.action is not None or session.calls:
            return decision
        spoken = self._transcript(session, state).spoken
        said = [str(message.text).strip() for message in spoken if SILENT not in message.additional_kwargs]
        return replace(decision, text="\n\n".join(filter(None, said)) or decision.text)

    def usage(self, session: Session, state: AgentState) -> tuple[int, int]:
        """Tokens of the conversation up to this turn's first reply, and those that were written in the turn."""
        used = [message.usage_metadata for message in self._transcript(session, state).spoken if message.usage_metadata]
        read = next((each["input_tokens"] for each in used if each["input_tokens"]), 0)
        return read, sum(each["output_tokens"] for each in used)

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
        choice = options.pop("tool_choice", None)
        if choice not in (None, False, "auto", "none"):
            raise InvalidRequest(f"the pipeline's own model cannot be made to call a tool: leave out {choice!r}")
        offered = [] if choice == "none" else list(tools)
        sampling = {name: value for name, value in options.items() if name not in ("strict", "parallel_tool_calls")}
        reply = self._protocol.reply(as_template_messages(messages), offered, cache=self._cache, **sampling)
        calls = [ToolCall(name=call.name, args=call.arguments, id=call.id) for call in reply.tool_calls]
        broken: list[Any] = [
            {"type": "invalid_tool_call", "name": "", "args": each.text, "id": f"invalid_{n}", "error": each.reason}
            for n, each in enumerate(reply.invalid)
        ]
        silent = not (reply.text or calls or broken)  # all was done before
        usage = UsageMetadata(
            input_tokens=reply.prompt_tokens,
            output_tokens=reply.new_tokens,
            total_tokens=reply.prompt_tokens + reply.new_tokens,
        )
        message = AIMessage(
            "Done." if silent else reply.text,
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=usage,
            additional_kwargs={SILENT: True} if silent else {},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def as_template_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """LangChain's messages as chat templates take them; pictures are decoded, at their own size.

    What is said to a call that could not be read, and pictures that are shown after results, the user says: templates
    have results of calls only.

    Raises:
        ImageRejected: one is no picture.
    """
    made: list[dict[str, Any]] = []
    called: set[str | None] = set()
    for message in messages:
        entry = _as_template_message(message)
        called |= {call["id"] for call in message.tool_calls} if isinstance(message, AIMessage) else set()
        unread = isinstance(message, ToolMessage) and message.tool_call_id not in called
        shown = entry["role"] == "user" and made and (made[-1]["role"] == "tool" or RESULTS in made[-1])
        made.append({"role": "user", "content": entry["content"], RESULTS: True} if unread or shown else entry)
    return made


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
