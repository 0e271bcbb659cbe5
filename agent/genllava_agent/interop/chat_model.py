"""The agent as a LangChain chat model: messages in, one message out, nothing kept between calls."""

from __future__ import annotations

import base64
import contextlib
import json
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, SecretStr, model_validator

from genllava.errors import InvalidRequest
from genllava.protocols.shapes import layout
from genllava_agent import events
from genllava_agent.background import Elsewhere, heard_outside, in_background, stream_in_background
from genllava_agent.deciders import as_decider, speaks
from genllava_agent.interop.chat_text import ReplyText
from genllava_agent.interop.foreign import ignored, open_messages
from genllava_agent.planner.own_model import OwnModel
from genllava_agent.records import Question
from genllava_agent.reply import reply_text
from genllava_agent.session import Session
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState
from genllava_agent.workers import has_stream

_BINDING: Final = ("tools", "tool_choice", "strict", "parallel_tool_calls")
_WITHOUT_EFFECT: Final = ("temperature", "max_tokens", "max_retries", "api_key")
Cancel = Callable[[], bool]


class ChatGenLlava(BaseChatModel):
    """A `VisualAgent` for programs that take a LangChain chat model; made by `agent.chat_model()`.

        model = VisualAgent().chat_model(seed=1)
        message = model.invoke("draw a large red circle at the top left")
        message.text, message.content_blocks

    Messages hold text and pictures as standard content blocks (`base64`; OpenAI's data URLs are read too), and the
    reply has its text first, then the pictures that were drawn. Nothing is kept between calls: a picture of an earlier
    message can be edited because it is in that message. `response_metadata` has the steps (with plans and
    probabilities), the seed, and `finish_reason`: `stop`, `length` where a limit ended the turn, or `clarification`
    where the text is a question about what is meant, to be answered in the next message (`tool_calls` for calls of
    bound tools, see `bind_tools`).

    The model follows no instructions but those of the user's latest message. System messages and what other tools
    said are not read; a warning and `response_metadata["ignored"]` say so. (With a planner as the agent's decider the
    planner reads them.)

    Args:
        agent: whose turns these are.
        options: of every turn, see `TurnSettings`; a call may have others.
        stop: the text ends before the first of these.
        timeout: seconds after which the turn ends with what it has.
        streaming: whether `invoke` streams to callbacks.
        temperature, max_tokens, max_retries, api_key: taken because programs give them to every chat model; they have
            no effect, and a warning says so.

    Raises:
        InvalidRequest: an option that does not exist, or approvals, which nobody could give here.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    agent: Any = Field(repr=False)
    options: dict[str, Any] = Field(default_factory=dict)
    stop: list[str] | None = None
    timeout: float | None = None
    streaming: bool | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_retries: int | None = None
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _check(self) -> ChatGenLlava:
        self._settings({})
        _warn_without_effect([name for name in _WITHOUT_EFFECT if getattr(self, name) is not None])
        return self

    @property
    def model_name(self) -> str:
        """What the model is called; to ask loads nothing."""
        given = self.agent._model
        return str(given) if isinstance(given, (str, Path)) else "genllava"

    @property
    def _llm_type(self) -> str:
        return "genllava"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, **self._settings({}).model_dump(mode="json", exclude_defaults=True)}

    def _resolve_model_profile(self) -> ModelProfile:
        return ModelProfile(
            text_inputs=True,
            text_outputs=True,
            image_inputs=True,
            image_outputs=True,
            image_url_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            tool_calling=self._planned,
        )

    # --- what LangChain calls ---

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(self._chunks(messages, stop, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await in_background(lambda cancel: _result(self._chunks(messages, stop, kwargs, cancel)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, kwargs):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = stream_in_background(lambda cancel: self._chunks(messages, stop, kwargs, cancel))
        async with contextlib.aclosing(chunks) as heard:
            async for chunk in heard:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Tools of a caller, for an agent that has a planner: it may call them besides seeing, drawing and editing.

        A call of one of them ends the turn; the reply has it in `tool_calls`, with the pictures that were made until
        then. If one is forced by `tool_choice`, as `with_structured_output` does, there is nothing else to call.

        Raises:
            NotImplementedError: the agent has no planner. The model itself has not learnt to call other people's tools.
        """
        if not self._planned:
            raise NotImplementedError(
                "this model sees, draws and edits, and does not call other tools: give its agent a planner that does, "
                "VisualAgent(decider=a chat model with tool calling), or give the tools to a chat model of yours and "
                "this agent to it as one of them, agent.as_tool()"
            )
        given = {"tool_choice": tool_choice, "strict": strict}
        bound = {name: value for name, value in given.items() if value is not None}
        return self.bind(tools=[convert_to_openai_tool(tool, strict=strict) for tool in tools], **bound, **kwargs)

    # --- a turn ---

    @property
    def _planned(self) -> bool:
        """Whether a chat model decides, another one or the pipeline's own; to ask loads nothing."""
        decider, model = as_decider(self.agent._decider), self.agent._model
        if decider is None and model is not None and not isinstance(model, (str, Path)):
            return not has_stream(model)
        return decider is not None and speaks(decider)

    @cached_property
    def _graph(self) -> Any:
        """The agent's graph with all of its state in and out; nothing of it outlives a call."""
        from genllava_agent.graph import build_graph

        return build_graph(self.agent.engine, whole=True)

    def _settings(self, options: dict[str, Any]) -> TurnSettings:
        settings: TurnSettings = self.agent.settings_with(self.options).with_options(options)
        if settings.approve:
            raise InvalidRequest(
                "a chat model cannot wait for approval: give chat_model(approve=()), or use a thread of the agent, "
                "or agent.graph with a checkpointer"
            )
        if self.timeout is not None:
            seconds = min(self.timeout, settings.limits.seconds)
            settings = settings.with_options({"limits": settings.limits.model_dump() | {"seconds": seconds}})
        return settings

    def _chunks(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: dict[str, Any],
        cancel: Cancel = lambda: False,
    ) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        """A turn, as it comes."""
        gone = False  # whoever listens has stopped
        options = {name: value for name, value in options.items() if name != "stream"}
        _warn_without_effect([name for name in _WITHOUT_EFFECT if options.pop(name, None) is not None])
        theirs: dict[str, Any] = {name: options.pop(name) for name in _BINDING if name in options}
        planned = self._planned
        unread = [] if planned else ignored(messages)
        if unread:
            warnings.warn(f"GenLLaVA does not read a {' or a '.join(unread)}", UserWarning, stacklevel=2)
        engine, settings = self.agent.engine, self._settings(options)
        session, received = open_messages(engine, messages, settings, cancel=lambda: gone or cancel())
        session.theirs = theirs
        engine.sessions[session.id] = session
        text, pictures, last = ReplyText(stop or self.stop or ()), 0, dict[str, Any]()
        state = AgentState(
            messages=[*messages],  # type: ignore[list-item]
            session=session.id,
            request=received.request,
            images=received.images,
            focus=received.focus,
            steps=[],
            action=None,
            stopped="",
        )
        try:
            yield _chunk(_text(""))  # the text is the first block, whenever it comes
            parts = Elsewhere(
                heard_outside(
                    lambda: self._graph.stream(
                        state,
                        {"recursion_limit": 100_000},
                        context=settings,
                        stream_mode=["custom", "values"],
                        version="v2",
                    )
                )
            )
            with contextlib.closing(parts):
                try:
                    for part in parts:
                        new = ""
                        if part["type"] == "values":
                            last = part
                            new = "" if planned else text.stepped(part["data"].get("steps", []))
                        elif isinstance(part["data"], events.TextDelta):
                            new = text.delta(part["data"].text)
                        elif isinstance(part["data"], events.ImageReady):
                            pictures += 1
                            yield _chunk(_picture(session, part["data"], pictures))
                        if new:
                            yield _chunk(_text(new))
                except BaseException:
                    gone = True  # the model stops, and then the graph can be closed
                    raise
            said, finish = _ended(last)
            if session.calls:
                finish = "tool_calls"
            new = text.ended(said)
            if new:
                yield _chunk(_text(new))
            session.keep()
            about = {
                "model_name": self.model_name,
                "finish_reason": finish,
                "seed": session.seed,
                "steps": [step.model_dump(mode="json", exclude_defaults=True) for step in last["data"]["steps"]],
                **({"stopped": last["data"]["stopped"]} if last["data"]["stopped"] else {}),
                **({"ignored": unread} if unread else {}),
            }
            usage = _usage(session, last["data"])
            yield _chunk(None, usage_metadata=usage, response_metadata=about, tool_call_chunks=_calls(session))
        finally:
            gone = True
            engine.sessions.pop(session.id, None)


def _ended(last: dict[str, Any]) -> tuple[str, str]:
    """The text of a reply, and why it ended."""
    state = last["data"]
    if last["interrupts"]:
        (asked,) = last["interrupts"]
        return reply_text(tuple(state["steps"]), "", Question.model_validate(asked.value)), "clarification"
    return state["reply"], "length" if state["stopped"] else "stop"


def _usage(session: Session, state: AgentState) -> UsageMetadata:
    """Tokens of the conversation up to the reply, and those of the reply, whatever had to be computed anew."""
    written, pipeline = state["stream"].ids, session.engine.pipeline
    if written:
        language = pipeline.protocol.language
        request = state["request"]
        numbers = [state["images"][name].number for name in request.images]
        asked = len(layout.user_turn(language.tokenizer, request.text, numbers, language.tokens_per_image))
        read = 1 + sum(len(turn.stream) for turn in session.history) + asked
        new = max(0, len(written) - asked)
    elif isinstance(decider := session.engine.decider, OwnModel):
        read, new = decider.usage(session, state)
    else:  # done verb by verb
        texts = [text for step in state["steps"] for text in (step.text, step.plan or "")]
        new = sum(len(pipeline.processor.tokenizer.encode(text, add_special_tokens=False)) for text in texts)
        read = max(0, sum(step.tokens for step in state["steps"]) - new)
    return UsageMetadata(input_tokens=read, output_tokens=new, total_tokens=read + new)


def _result(chunks: Iterator[ChatGenerationChunk]) -> ChatResult:
    """All of a turn as one message."""
    first, *rest = (chunk.message for chunk in chunks)
    whole: Any = first
    for message in rest:
        whole = whole + message
    blocks: Any = [{name: value for name, value in block.items() if name != "index"} for block in whole.content]
    reply = AIMessage(
        content=blocks,
        tool_calls=whole.tool_calls,
        usage_metadata=whole.usage_metadata,
        response_metadata=whole.response_metadata,
    )
    return ChatResult(generations=[ChatGeneration(message=reply)])


def _calls(session: Session) -> list[ToolCallChunk]:
    """Calls of the caller's tools."""
    return [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(session.calls)
    ]


def _chunk(block: dict[str, Any] | None, **last: Any) -> ChatGenerationChunk:
    """One piece of a reply; its end, without a block."""
    message = AIMessageChunk(
        content=[] if block is None else [block], chunk_position="last" if block is None else None, **last
    )
    return ChatGenerationChunk(message=message)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "index": 0}


def _picture(session: Session, ready: events.ImageReady, number: int) -> dict[str, Any]:
    data = base64.b64encode(session.artifacts.get(ready.record.key, "png")).decode()
    return {"type": "image", "mime_type": "image/png", "base64": data, "id": ready.record.id, "index": number}


def _warn_without_effect(names: Sequence[str]) -> None:
    if names:
        warnings.warn(f"{', '.join(names)}: no effect on GenLLaVA, see TurnSettings", UserWarning, stacklevel=3)
