"""The node that calls tools: LangGraph's `ToolNode`, with pictures going in by name and coming out as records.

A tool gets PIL images where its call names pictures of the thread. Pictures in whatever form it returns them (PIL,
arrays, bytes, content blocks; alone, in a list, or as its artifact) join the thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from genllava.errors import Cancelled, GenLlavaError, ImageRejected
from genllava.images import load_image
from genllava_agent import events
from genllava_agent.background import CALLER_LOOP
from genllava_agent.deciders.offers import picture_arguments
from genllava_agent.errors import NothingToUndo, StoreFailed, ThreadQuarantined, UnknownImage
from genllava_agent.messages import (
    PICTURES,
    blocks,
    image_block,
    is_picture,
    picture_file,
    reference,
    text_of,
    with_images,
)
from genllava_agent.nodes.base import AgentParts, dropped
from genllava_agent.plain_state import typed
from genllava_agent.records import ImageRecord, Step
from genllava_agent.session import Session, next_image, no_more_pictures, unwanted
from genllava_agent.settings import TurnSettings
from genllava_agent.state import Action, AgentState, as_changed, begun, next_action, open_calls, result
from genllava_agent.thread_verbs import AGAIN, bring_back, finished_turns, take_back, without

_NOT_KEPT: Final = "A picture of this result was not kept"
_REASONS: Final = 200
"""Characters of an error that are told."""
_POLL: Final = 0.05
"""Seconds after which it is looked again whether the user still wants what is awaited."""


def tool_node(tools: Mapping[str, BaseTool], parts: AgentParts) -> ToolNode:
    """LangGraph's node for these tools; what a tool raises is its result, for whoever called it to read."""

    def wrapped(request: ToolCallRequest, call: Callable[[ToolCallRequest], Any]) -> Any:
        return call(_with_pictures(parts, request))

    async def awrapped(request: ToolCallRequest, call: Callable[[ToolCallRequest], Any]) -> Any:
        return await call(_with_pictures(parts, request))

    def said(error: Exception) -> str:
        if isinstance(error, (StoreFailed, ThreadQuarantined)) or (isinstance(error, Cancelled) and unwanted()):
            raise error
        text = str(error) if isinstance(error, GenLlavaError) else f"{type(error).__name__}: {error}"
        return " ".join(text.split())[:_REASONS]

    ready = [_returning_blocks(tool) for tool in tools.values()]
    return ToolNode(ready, handle_tool_errors=said, wrap_tool_call=wrapped, awrap_tool_call=awrapped)


def one_call(state: AgentState) -> list[AnyMessage]:
    """The conversation with the next call alone in its last message, as `ToolNode` takes it.

    Calls are made one by one, in their order: a later one may need what came of it, or a question that it asks.
    """
    message, calls = open_calls(state["messages"])
    assert message is not None, "no call of a tool"
    return [*state["messages"], message.model_copy(update={"tool_calls": calls[:1]})]


def after_tools(
    parts: AgentParts, state: AgentState, outputs: Any, seconds: float, runtime: Runtime[TurnSettings]
) -> Any:
    """An update with what came of the call: a step, and its pictures as records of the thread."""
    session, action = parts.session(state), next_action(state)
    assert action is not None, "no call of a tool"
    said, commands = list[AnyMessage](), list[Command[Any]]()
    for output in outputs if isinstance(outputs, list) else [outputs]:
        update: Any = output
        if isinstance(output, Command):
            update = output.update if isinstance(output.update, dict) else {}
            rest = {key: value for key, value in update.items() if key != "messages"}
            commands.append(Command(graph=output.graph, goto=output.goto, resume=output.resume, update=rest))
        said += update.get("messages", [])
    own = [each for each in said if isinstance(each, ToolMessage) and each.tool_call_id == action.call]
    parents, unsaid = _pictures_of(parts, state, action), ToolMessage("Done.", tool_call_id=action.call)
    message, records, words = _kept(session, state, action, own[0] if own else unsaid, parents)
    step = Step(
        action="tool",
        text=words,
        tool=action.tool,
        arguments=action.arguments,
        source=next(iter(parents), None),
        image=records[-1].id if records else None,
        seconds=seconds,
        probabilities=action.probabilities,
        outcome="error" if message.status == "error" else "ok",
    )
    if step.outcome == "error":
        runtime.stream_writer(events.StepFailed(step))
    else:
        runtime.stream_writer(events.ToolFinished(str(action.tool), step.text, step.image))
    for record in records:
        runtime.stream_writer(events.ImageReady(record, session.image(record)))
    messages, others = [as_changed(action, message)], [each for each in said if each not in own]
    if step.outcome == "error":
        messages += dropped(state, action)
    elif others:  # results stand right behind their calls
        messages += dropped(state, action, "what came before it had more to say: call it if it still fits")
    steps, made = [*state["steps"], step], {record.id: record for record in records}
    update = {
        "steps": steps,
        "messages": [*messages, *others],
        "images": made,
        "focus": next(reversed(made), state["focus"]),
    }
    if made and (limit := no_more_pictures(session, state["steps"])):
        update["stopped"] = limit
    elif not parts.decider().speaks and step.outcome == "ok":  # it reads results in its own stream
        now: AgentState = {**state, "images": {**state["images"], **made}}
        with session.work(now):
            parts.decider().worker.returned(session, now, step.text, records)
        update["stream"] = session.stream()
    return [update, *commands] if commands else update


def thread_verb(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> Any:
    """Undo, redo, retry, or show a picture again."""
    action, session = next_action(state), parts.session(state)
    assert action is not None, "a verb without a call"
    runtime.stream_writer(events.ActionChosen("tool", {}, "", action.arguments.get("image"), action.tool))
    if action.tool == "retry":
        return _again(parts, state)
    step, update = Step(action="tool", tool=action.tool, arguments=action.arguments), dict[str, Any]()
    content: list[Any] = []
    if action.tool == "show_image":
        name = str(action.arguments.get("image"))
        if name not in state["images"]:
            raise UnknownImage.among(name, state["images"])
        record = state["images"][name]
        step, update = step.model_copy(update={"source": name, "text": f"This is {name}."}), {"focus": name}
        content = [reference(record)]
        runtime.stream_writer(events.ImageReady(record, session.image(record)))
    elif action.tool == "undo":
        update = take_back(state)
        step = step.model_copy(update={"text": f"I took back: {_words(finished_turns(state)[-1])!r}."})
    else:
        update = bring_back(state)
        step = step.model_copy(update={"text": f"I brought back: {_words((state.get('undone') or [[]])[-1])!r}."})
    said = with_images(result(action, step.text), content)
    update["messages"] = [*update.get("messages", []), said]
    parts.sessions.pop(begun(state).id, None)  # it knows the turns that were
    return {**update, "steps": [*state["steps"], step]}


def _again(parts: AgentParts, state: AgentState) -> dict[str, Any]:
    """The last request in the place of this one, and its turn taken out; that stands until this has ended."""
    ended, undone = finished_turns(state), list(state.get("undone") or [])
    if not ended:
        raise NothingToUndo("nothing has been asked yet")
    before = [message for message in ended[-1] if isinstance(message, HumanMessage)]
    now = state["messages"][sum(map(len, ended)) :]
    asked = next(message for message in reversed(now) if isinstance(message, HumanMessage))
    update = without(state, [ended[-1], [message for message in now if message is not asked]])
    content = [block for message in before for block in blocks(message)]
    images = dict(update["images"].value)
    again = HumanMessage(content, id=asked.id, additional_kwargs={AGAIN: len(undone)})
    update["messages"], update["undone"] = [*update["messages"], again], [*undone, ended[-1]]
    last = parts.session(state).history[-1]
    parts.let_go(state)
    update |= {"turn": None, "region": last.request.region, "images": Overwrite(images)}
    return update


def _words(messages: Sequence[Any]) -> str:
    return next((text_of(message) for message in messages if message.type == "human"), "")


def _with_pictures(parts: AgentParts, request: ToolCallRequest) -> ToolCallRequest:
    """A call with pictures in the place of their names.

    Raises:
        UnknownImage: there is no such picture.
    """
    state, call, tool = typed(request.state), request.tool_call, request.tool
    given, session = dict(call["args"]), parts.session(state)

    def picture(name: object) -> Any:
        if not isinstance(name, str) or name not in state["images"]:
            raise UnknownImage.among(str(name), state["images"])
        return session.image(state["images"][name])

    for name, argument in () if tool is None else picture_arguments(tool).items():
        value = given.get(name)
        if value is None and not argument.required:
            given.pop(name, None)
        elif isinstance(value, list) and argument.several:
            given[name] = [picture(each) for each in value]
        elif name in given:
            given[name] = picture(value)
    return request.override(tool_call={**call, "args": given})


def _pictures_of(parts: AgentParts, state: AgentState, action: Action) -> list[str]:
    """The names of the pictures that a call was given."""
    tool = parts.tools.get(str(action.tool))
    given = [] if tool is None else [action.arguments.get(name) for name in picture_arguments(tool)]
    names = [name for each in given for name in (each if isinstance(each, list) else [each])]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name in state["images"]))


def _kept(
    session: Session, state: AgentState, action: Action, message: ToolMessage, parents: Sequence[str]
) -> tuple[ToolMessage, list[ImageRecord], str]:
    """A result whose pictures are stored, their records, and its words, in which is said what could not be read."""
    sources, wrong = list[Any](), list[str]()
    apart = message.artifact if isinstance(message.artifact, list) else [message.artifact]
    for block in [*blocks(message), *(each for each in apart if isinstance(each, Mapping) and "type" in each)]:
        try:
            if is_picture(block):
                sources.append(picture_file(block))
        except GenLlavaError as error:
            wrong.append(f"{_NOT_KEPT}: {error}")
    sources = [*_pictures_in(message.artifact), *sources]
    records: list[ImageRecord] = []
    for source in sources:
        try:
            image = load_image(source)
        except ImageRejected as error:
            wrong.append(f"{_NOT_KEPT}: {error}")
            continue
        record = ImageRecord(
            id=next_image(state, len(records)),
            key=session.artifacts.put_image(image),
            width=image.width,
            height=image.height,
            origin="tool",
            turn=begun(state).number,
            parents=tuple(parents),
            instruction=action.instruction or None,
            params={"tool": str(action.tool), **action.arguments},
        )
        records.append(record)
    words = " ".join(filter(None, [text_of(message), *wrong]))
    text = " ".join(filter(None, [words, *(f"{record.id} was made." for record in records)])) or "Done."
    return with_images(message, [reference(record) for record in records], text), records, words or text


def _pictures_in(value: Any) -> list[Any]:
    """The pictures in what a tool returned: PIL, arrays, files, or what wraps one of these; alone or among others."""
    import numpy as np
    from PIL import Image

    if hasattr(value, "to_raw"):  # as agent frameworks wrap one; it may be a PIL image by class
        return _pictures_in(value.to_raw())
    if isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim in (2, 3)):
        return [value]
    if isinstance(value, (bytes, bytearray)):
        return [bytes(value)]
    if type(value).__module__.partition(".")[0] == "torch" and getattr(value, "ndim", 0) in (2, 3):
        return [value.detach().cpu().numpy()]
    if isinstance(value, Mapping) and "type" not in value:  # a content block is one as it is
        return _pictures_in(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [picture for each in value for picture in _pictures_in(each)]
    return []


def _as_content(value: Any) -> Any:
    """What a tool returned as content of a message; words of what has no picture in it are made by LangChain."""
    if isinstance(value, Mapping) and value.get("type") in PICTURES:
        value = [value]
    if not _pictures_in(value):
        return value
    made: list[Any] = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        found = _pictures_in(each)
        for picture in found:
            try:
                made.append(image_block(load_image(picture)))
            except ImageRejected as error:
                words = "" if isinstance(picture, bytes) else f"{picture} "
                made.append({"type": "text", "text": f"{words}{_NOT_KEPT}: {error}"})
        if isinstance(each, str):
            made.append({"type": "text", "text": each})
        elif isinstance(each, Mapping) and found:
            made += [{"type": "text", "text": f"{k}: {v}"} for k, v in each.items() if not _pictures_in(v)]
        elif not found:
            made.append(each if isinstance(each, dict) and "type" in each else {"type": "text", "text": str(each)})
    return made


def _returning_blocks(tool: BaseTool) -> BaseTool:
    """The tool, with pictures in what it returns as content blocks, where LangChain would make words of them; one that
    can only be awaited is, on the loop of whoever waits for the turn, or on one of its own."""

    def as_content(value: Any) -> Any:
        return value if tool.response_format == "content_and_artifact" else _as_content(value)

    kind = type(tool)
    only_awaited = getattr(tool, "coroutine", None) is not None and getattr(tool, "func", None) is None

    @functools.wraps(kind._run)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if only_awaited:
            kwargs.pop("run_manager", None)
            return as_content(_awaited(kind._arun(self, *args, **kwargs)))
        return as_content(kind._run(self, *args, **kwargs))

    @functools.wraps(kind._arun)
    async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        return as_content(await kind._arun(self, *args, **kwargs))

    copy = tool.model_copy()
    copy.__class__ = type(kind.__name__, (kind,), {"_run": run, "_arun": arun, "__module__": kind.__module__})
    return copy


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives, from a thread that runs no event loop.

    Raises:
        Cancelled: the turn is no longer wanted.
    """

    async def stoppable() -> Any:
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait([task], timeout=_POLL)
            if unwanted():
                task.cancel()
                await asyncio.wait([task])
                raise Cancelled("cancelled while a tool was awaited")
        return task.result()

    loop = CALLER_LOOP.get()
    if loop is not None and loop.is_running():
        return asyncio.run_coroutine_threadsafe(stoppable(), loop).result()
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(contextvars.copy_context().run, asyncio.run, stoppable()).result()
