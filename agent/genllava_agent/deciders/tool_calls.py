"""A stock vision-language model decides, draws and edits by calling tools, and answers in its own words."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, ToolMessage, UsageMetadata
from langchain_core.messages.tool import ToolCall
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from genllava.errors import InvalidRequest
from genllava.images import load_image
from genllava.protocols.verbs import EDIT, GENERATE, RESULTS, verb_tools
from genllava_agent.deciders.base import TOLD, Possible, TellText, told_before
from genllava_agent.deciders.chat_model import ChatModel, has_made
from genllava_agent.messages import text_of
from genllava_agent.session import Session
from genllava_agent.state import AgentState
from genllava_agent.workers import VerbWorker, Worker

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

_NAMES: Final = {"generate": (GENERATE, "prompt"), "edit": (EDIT, "instruction")}
"""What protocols call the verbs, and the argument that says what to do."""
_VERBS: Final = {name: (verb, words) for verb, (name, words) in _NAMES.items()}
SILENT: Final = "Done."
"""Words of a model that had nothing more to say."""
_CLAIM: Final = "Does this reply say that a picture was drawn, changed, made or saved just now? {words}"


class ToolCalls(ChatModel):
    """The pipeline's own language model, by its protocol for general models.

    Args:
        pipeline: with a protocol for general language models.
        tools: the agent's own, by name.
    """

    worker: Worker = VerbWorker(as_planned=True)
    needs_model = True
    sees = True

    def __init__(self, pipeline: GenLlavaPipeline, tools: Any = None) -> None:
        protocol: Any = pipeline.protocol
        super().__init__(PipelineChatModel(pipeline), tools, instructions=protocol.instructions)
        self._vision_language = pipeline.vision_language
        self.unable = frozenset(
            [*(() if protocol.can_generate else ["generate"]), *(() if protocol.can_edit else ["edit"])]
        )

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """The next calls of the model, or the end of the turn, with all that it said in the turn."""
        before = told_before(state)
        words = _Words(before, tell)
        messages = super().decide(session, state, possible, words)
        said = messages[-1]
        if isinstance(said, AIMessage) and said.tool_calls and words.text != before:
            said.response_metadata[TOLD] = words.text[len(before) :]
        return messages

    def _last(self, state: AgentState, said: AIMessage, notes: Sequence[str], tell: TellText) -> AIMessage:
        """They were told as they were written."""
        assert isinstance(tell, _Words)
        for text in [*([] if tell.text else [text_of(said)]), *notes]:
            tell(text)
            tell.end()
        return said.model_copy(update={"content": tell.text})

    def _told(self, session: Session, state: AgentState) -> list[AnyMessage]:
        """The conversation as the model reads it: what it said between its calls stands there, and not again at the
        end of the turn."""
        told, before = super()._told(session, state), ""
        for place, message in enumerate(told):
            if isinstance(message, AIMessage):
                before += message.response_metadata.get(TOLD, "")
                if not message.tool_calls and before and text_of(message).startswith(before):
                    rest = text_of(message).removeprefix(before).strip()
                    told[place] = message.model_copy(update={"content": rest or SILENT})
                before = before if message.tool_calls else ""
        return told

    def _invoke(self, session: Session, model: Any, messages: list[AnyMessage], tell: TellText) -> AIMessage:
        """Ask in this thread, which has the model to itself."""
        reply: AIMessage = model.invoke(messages, cancel=session.interrupted, on_text=tell)
        if isinstance(tell, _Words):
            tell.end()
        return reply

    def _claims(self, session: Session, state: AgentState, said: AIMessage) -> bool:
        """As the model itself understands its words, by the probability of yes."""
        text = text_of(said)
        if has_made(state) or not text or not session.settings.check_claims:
            return False
        question = [{"role": "user", "content": [{"type": "text", "text": _CLAIM.format(words=text)}]}]
        yes, no = self._vision_language.score(question, ("yes", "no"))
        return bool(yes > no)


class _Words:
    """What the model says in a turn, told as it is written, with a blank line between two pieces.

    Attributes:
        text: so far.
    """

    def __init__(self, before: str, tell: TellText) -> None:
        self.text = before
        self._tell = tell
        self._begun, self._held = False, ""

    def __call__(self, new: str) -> None:
        new = self._held + new if self._begun else new.lstrip()
        self._held = new[len(new.rstrip()) :]
        if new := new.rstrip():
            gap = "" if self._begun or not self.text else "\n\n"
            self._begun = True
            self.text += gap + new
            self._tell(gap + new)

    def end(self) -> None:
        """What follows is another piece."""
        self._begun, self._held = False, ""


class PipelineChatModel(BaseChatModel):
    """A pipeline's language model as a LangChain chat model with tool calling, whatever its protocol.

    Args:
        silent: what it says where it has nothing to say.
    """

    _protocol: Any = PrivateAttr()
    _cache: Any = PrivateAttr()
    _silent: str = PrivateAttr()

    def __init__(self, pipeline: GenLlavaPipeline, silent: str = SILENT) -> None:
        super().__init__(cache=False)  # what it says hangs on more than its messages
        self._silent = silent
        self._protocol = pipeline.protocol
        self._cache = pipeline.vision_language.new_cache()

    @property
    def _llm_type(self) -> str:
        return "genllava-pipeline"

    def kept(self) -> Any:
        """What was read of the latest conversation."""
        return self._cache

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
        on_text: Callable[[str], object] | None = None,
        spoken: Callable[[], list[dict[str, Any]]] | None = None,
        **options: Any,
    ) -> ChatResult:
        choice = options.pop("tool_choice", None)
        if choice not in (None, False, "auto", "none"):
            raise InvalidRequest(f"the pipeline's own model cannot be made to call a tool: leave out {choice!r}")
        offered = [] if choice == "none" else [_as_protocol_has_it(tool) for tool in tools]
        sampling = {name: value for name, value in options.items() if name not in ("strict", "parallel_tool_calls")}
        key, told = uuid.uuid4().hex, ""

        def tell(text: str) -> None:
            nonlocal told
            new, told = text[len(told) :], text
            if new and run_manager is not None:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=new, id=key))
                run_manager.on_llm_new_token(new, chunk=chunk)
            if new and on_text is not None:
                on_text(new)

        asked = as_template_messages(messages) if spoken is None else spoken()
        reply = self._protocol.reply(asked, offered, on_text=tell, cache=self._cache, **sampling)
        if reply.text.startswith(told):
            tell(reply.text)
        calls = [_as_agent_has_it(call.name, call.arguments, call.id) for call in reply.tool_calls]
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
            self._silent if silent else reply.text,
            id=key,
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=usage,
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
        made["tool_calls"] = [_as_template_call(call) for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        name = _NAMES.get(message.name or "", (message.name or "", ""))[0]
        made |= {"tool_call_id": message.tool_call_id, "name": name}
    return made


def _as_template_call(call: ToolCall) -> dict[str, Any]:
    name, words = _NAMES.get(call["name"], (call["name"], ""))
    arguments = {words if key == "instruction" and words else key: value for key, value in call["args"].items()}
    return {"type": "function", "id": call["id"], "function": {"name": name, "arguments": arguments}}


def _as_agent_has_it(name: str, arguments: dict[str, Any], key: str) -> ToolCall:
    verb, words = _VERBS.get(name, (name, ""))
    return ToolCall(name=verb, args={"instruction" if k == words else k: v for k, v in arguments.items()}, id=key)


def _as_protocol_has_it(spec: dict[str, Any]) -> dict[str, Any]:
    """The tool of a verb as protocols have it, with the pictures that it may be called with."""
    function = spec["function"]
    if function["name"] not in _NAMES:
        return spec
    named: dict[str, Any] = function["parameters"]["properties"].get("image", {})
    (own,) = (tool for tool in verb_tools(1) if tool["function"]["name"] == _NAMES[function["name"]][0])
    parameters = own["function"]["parameters"]
    properties = {
        key: {**value, "enum": named["enum"]} if "enum" in value else value
        for key, value in parameters["properties"].items()
    }
    return {**own, "function": {**own["function"], "parameters": {**parameters, "properties": properties}}}


def _as_block(block: Any) -> dict[str, Any]:
    if isinstance(block, dict) and block.get("type") == "image":
        return {"type": "image", "image": load_image(base64.b64decode(block["base64"]))}
    return {"type": "text", "text": block["text"] if isinstance(block, dict) else str(block)}
