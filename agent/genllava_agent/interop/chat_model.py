"""The agent as a LangChain chat model: messages in, one message out, nothing kept between calls."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, SecretStr, model_validator

from genllava.errors import InvalidRequest
from genllava_agent import events
from genllava_agent.background import Elsewhere, heard_outside, in_background, quiet, stream_in_background
from genllava_agent.create import VisualTools
from genllava_agent.history import TURN
from genllava_agent.interop.chat_text import ReplyText
from genllava_agent.messages import IMAGES, PROVIDER, image_block, text_of
from genllava_agent.nodes.base import AgentParts
from genllava_agent.plain_state import typed
from genllava_agent.records import Step
from genllava_agent.session import BOUND, wanted_while
from genllava_agent.settings import TurnSettings

_BINDING: Final = ("tools", "tool_choice", "strict", "parallel_tool_calls")
_WITHOUT_EFFECT: Final = ("temperature", "max_tokens", "max_retries", "api_key")
Cancel = Callable[[], bool]


class Agent(Protocol):
    """What a chat model needs of the agent that it stands for."""

    graph: Any
    parts: AgentParts

    def settings_with(self, options: dict[str, Any]) -> TurnSettings:
        """The settings of a turn that is given some of its own."""


class ChatGenLlava(BaseChatModel):
    """A `VisualAgent` for programs that take a LangChain chat model; made by `agent.chat_model()`.

        model = VisualAgent().chat_model(seed=1)
        message = model.invoke("draw a large red circle at the top left")
        message.text, message.content_blocks

    Messages hold text and pictures as content blocks of any common form. `content` of the reply is its text, so that it
    can be handed on to any other chat model, and `content_blocks` has the pictures behind the text. Nothing is kept
    between calls: a picture of an earlier message can be edited because it is in that message. `response_metadata` has
    the steps (with plans and probabilities), the seed, and `finish_reason`: `stop`, `length` where a limit ended the
    turn, or `tool_calls` for calls of bound tools, see `bind_tools`.

    LangChain's cache is used where the turn has a seed: without one, the same request draws another picture.

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
        if self._settings({}).seed is None and self.cache is None:
            self.cache = False
        _warn_without_effect([name for name in _WITHOUT_EFFECT if getattr(self, name) is not None])
        return self

    @property
    def model_name(self) -> str:
        """What the model is called; to ask loads nothing."""
        given = self.agent.model
        return str(given) if isinstance(given, (str, Path)) else "genllava"

    @property
    def _llm_type(self) -> str:
        return "genllava"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        parts, settings = self.agent.parts, self._settings({})
        own: Any = {} if isinstance(parts.tools, VisualTools) else parts.tools  # which load nothing here
        tools = {name: [tool.description, str(tool.tool_call_schema)] for name, tool in own.items()}
        return {
            "model": self.model_name,
            "weights": fingerprint(self.agent.model),
            "decider": repr(parts.decider.given),
            "tools": json.dumps(tools, sort_keys=True, default=str),
            **settings.model_dump(mode="json", exclude_defaults=True),
        }

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text, by the model's own tokenizer."""
        tokenizer = self.agent.engine.pipeline.processor.tokenizer
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

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
        return _result(self._chunks(messages, stop, kwargs, run_manager=run_manager))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        manager = None if run_manager is None else run_manager.get_sync()
        return await in_background(lambda cancel: _result(self._chunks(messages, stop, kwargs, cancel, manager)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, kwargs, run_manager=run_manager):
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
        manager = None if run_manager is None else run_manager.get_sync()
        chunks = stream_in_background(lambda cancel: self._chunks(messages, stop, kwargs, cancel, manager))
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
        given, model = self.agent.parts.decider.given, self.agent.model
        if given is None:
            return model is not None and not isinstance(model, (str, Path)) and not self.agent.engine.has_stream
        return bool(getattr(given, "speaks", True))

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
        cancel: Cancel = lambda: False, run_manager: CallbackManagerForLLMRun | None = None,
    ) -> Iterator[ChatGenerationChunk]:  # fmt: skip
        """A turn, as it comes."""
        gone = False  # whoever listens has stopped
        options = {name: value for name, value in options.items() if name != "stream"}
        _warn_without_effect([name for name in _WITHOUT_EFFECT if options.pop(name, None) is not None])
        bound: dict[str, Any] = {name: options.pop(name) for name in _BINDING if name in options}
        planned, settings = self._planned, self._settings(options)
        unread = [] if planned else ignored(messages)
        if unread:
            warnings.warn(f"GenLLaVA does not read a {' or a '.join(unread)}", UserWarning, stacklevel=2)
        text, pictures, steps, reply = ReplyText(stop or self.stop or ()), 0, list[Step](), AIMessage("")
        given = {"messages": [message if message.id else _with_id(message) for message in messages]}
        config: Any = {"tags": ["nostream"], **quiet(run_manager)}  # what models say inside is no reply of this one

        def parts() -> Iterator[Any]:
            token = BOUND.set(bound)
            try:
                with wanted_while(lambda: gone or cancel()), self.agent.parts.run():
                    yield from self.agent.graph.stream(
                        given, config, context=settings, stream_mode=["custom", "updates"], version="v2"
                    )
            finally:
                BOUND.reset(token)

        yield _chunk("")  # the text comes first, whenever it does
        running = Elsewhere(heard_outside(parts))
        with contextlib.closing(running):
            try:
                for part in running:
                    new = ""
                    if part["type"] == "updates":
                        if "__interrupt__" in part["data"]:
                            raise InvalidRequest(_NOBODY)
                        for update in part["data"].values():
                            for each in update if isinstance(update, list) else [update or {}]:
                                steps = typed(each).get("steps", steps)
                                reply = next(reversed(each.get("messages") or [reply]))
                        new = "" if planned else text.stepped(steps)
                    elif isinstance(part["data"], events.TextDelta):
                        new = text.delta(part["data"].text)
                    elif isinstance(part["data"], events.ImageReady):
                        pictures += 1
                        yield _chunk("", {**image_block(part["data"].image, part["data"].record.id)})
                    if new:
                        yield _chunk(new)
            except BaseException:
                gone = True  # the model stops, and then the graph can be closed
                raise
        turn = reply.response_metadata.get(TURN, {})
        finish = "tool_calls" if reply.tool_calls else "length" if turn.get("stopped") else "stop"
        if new := text.ended(text_of(reply)):
            yield _chunk(new)
        about = {
            "model_name": self.model_name,
            "finish_reason": finish,
            "seed": turn.get("seed", 0),
            "steps": [step.model_dump(mode="json", exclude_defaults=True) for step in steps],
            **({"stopped": turn["stopped"]} if turn.get("stopped") else {}),
            **({"ignored": unread} if unread else {}),
        }
        yield _chunk(
            "", last=True, usage_metadata=reply.usage_metadata, response_metadata=about, tool_call_chunks=_calls(reply)
        )


_NOBODY: Final = "a tool asks something, and nobody can answer a chat model: use a thread of the agent, or its graph"


def ignored(messages: Sequence[BaseMessage]) -> list[str]:
    """What in these messages the model does not read, in words."""
    kinds = {"system": SystemMessage, "tool": ToolMessage}
    found = [f"{kind} message" for kind, type_ in kinds.items() if any(isinstance(m, type_) for m in messages)]
    if any(isinstance(message, AIMessage) and message.tool_calls for message in messages):
        found.append("tool call")
    return found


def fingerprint(model: Any) -> str:
    """What tells the weights of a model from those of others; to ask loads nothing."""
    if model is None:
        from genllava import __version__

        return f"shipped with {__version__}"
    if isinstance(model, (str, os.PathLike)):
        index = Path(model) / "model_index.json"
        return f"{model}:{index.stat().st_mtime_ns}" if index.is_file() else str(model)
    seen = hashlib.sha256()
    for name, part in sorted(model.components.items()):
        for key, tensor in sorted(part.state_dict().items()) if hasattr(part, "state_dict") else ():
            flat = tensor.detach().flatten()
            taken = flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes()
            seen.update(f"{name}.{key}:{tuple(tensor.shape)}".encode() + taken)
    return seen.hexdigest()


def _with_id(message: BaseMessage) -> BaseMessage:
    return message.model_copy(update={"id": uuid.uuid4().hex})


def _result(chunks: Iterator[ChatGenerationChunk]) -> ChatResult:
    """All of a turn as one message."""
    first, *rest = (chunk.message for chunk in chunks)
    whole: Any = first
    for message in rest:
        whole = whole + message
    reply = AIMessage(
        content=whole.content,
        additional_kwargs=whole.additional_kwargs,
        tool_calls=whole.tool_calls,
        usage_metadata=whole.usage_metadata,
        response_metadata=whole.response_metadata,
    )
    return ChatResult(generations=[ChatGeneration(message=reply)])


def _calls(reply: AIMessage) -> list[ToolCallChunk]:
    """Calls of the caller's tools."""
    return [
        tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
        for place, call in enumerate(reply.tool_calls)
    ]


def _chunk(text: str, image: dict[str, Any] | None = None, last: bool = False, **more: Any) -> ChatGenerationChunk:
    """One piece of a reply."""
    about = {"model_provider": PROVIDER, **more.pop("response_metadata", {})}
    images = {} if image is None else {IMAGES: [image]}
    message = AIMessageChunk(
        content=text, additional_kwargs=images, response_metadata=about, chunk_position="last" if last else None, **more
    )
    return ChatGenerationChunk(message=message)


def _warn_without_effect(names: Sequence[str]) -> None:
    if names:
        warnings.warn(f"{', '.join(names)}: no effect on GenLLaVA, see TurnSettings", UserWarning, stacklevel=3)
