"""The node that calls tools: LangGraph's `ToolNode`, with pictures going in by name and coming out as records.

A tool gets PIL images where its call names pictures of the thread. Pictures in whatever form it returns them (PIL,
arrays, bytes, content blocks; alone, in a list, or as its artifact) join the thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from genllava.errors import GenLlavaError, ImageRejected
from genllava.images import load_image
from genllava_agent import events
from genllava_agent.deciders.offers import THREAD_VERBS, picture_arguments
from genllava_agent.errors import NothingToUndo, UnknownImage
from genllava_agent.messages import blocks, image_block, is_picture, picture_file, reference, text_of, with_images
from genllava_agent.nodes.base import AgentParts, dropped
from genllava_agent.plain_state import typed
from genllava_agent.records import ImageRecord, Step
from genllava_agent.session import Session, full, next_image, no_more_pictures
from genllava_agent.settings import TurnSettings
from genllava_agent.state import VERBS, Action, AgentState, begun, next_action, open_calls, result
from genllava_agent.thread_verbs import bring_back, finished_turns, take_back, without

CALLER_LOOP: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("caller_loop", default=None)
"""The event loop of whoever waits for the turn: tools that can only be awaited are awaited on it."""
_LEFT_OUT: Final = "left_out"


def tool_node(tools: Mapping[str, BaseTool], parts: AgentParts) -> ToolNode:
    """LangGraph's node for these tools; what a tool raises is its result, for whoever called it to read."""

    def wrapped(request: ToolCallRequest, call: Callable[[ToolCallRequest], Any]) -> Any:
        tool = request.tool
        if tool is None:
            return call(request)
        try:
            given, parents = _with_pictures(tool, parts, request)
        except GenLlavaError as error:
            return ToolMessage(str(error), tool_call_id=str(request.tool_call["id"]), name=tool.name, status="error")
        return _with_parents(call(request.override(tool_call={**request.tool_call, "args": given})), parents)

    async def awrapped(request: ToolCallRequest, call: Callable[[ToolCallRequest], Any]) -> Any:
        tool = request.tool
        if tool is None:
            return await call(request)
        try:
            given, parents = _with_pictures(tool, parts, request)
        except GenLlavaError as error:
            return ToolMessage(str(error), tool_call_id=str(request.tool_call["id"]), name=tool.name, status="error")
        return _with_parents(await call(request.override(tool_call={**request.tool_call, "args": given})), parents)

    def said(error: Exception) -> str:
        text = str(error) if isinstance(error, GenLlavaError) else f"{type(error).__name__}: {error}"
        return " ".join(text.split())[:200]

    ready = [_returning_blocks(tool) for tool in tools.values()]
    return ToolNode(ready, handle_tool_errors=said, wrap_tool_call=wrapped, awrap_tool_call=awrapped)


def tools_now(parts: AgentParts, state: AgentState) -> list[Action]:
    """The calls of tools that come next, up to one of a verb or of one that waits for approval."""
    from genllava_agent.nodes.ask import needs_approval

    settings, taken = parts.session(state).settings, list[Action]()
    _, calls = open_calls(state["messages"])
    for call in calls:
        if call["name"] in VERBS or call["name"] in THREAD_VERBS:
            break
        action = Action(call=str(call["id"]), kind="tool", tool=call["name"], arguments=call["args"])
        if taken and needs_approval(action, settings):
            break
        taken.append(action)
    return taken


def call_messages(parts: AgentParts, state: AgentState) -> list[AnyMessage]:
    """The conversation, with those calls alone in its last message, as `ToolNode` takes it."""
    message, _ = open_calls(state["messages"])
    assert message is not None, "no call of a tool"
    names = [action.call for action in tools_now(parts, state)]
    calls = [call for call in message.tool_calls if call["id"] in names]
    return [*state["messages"], message.model_copy(update={"tool_calls": calls})]


def after_tools(
    parts: AgentParts, state: AgentState, outputs: Any, seconds: float, runtime: Runtime[TurnSettings]
) -> Any:
    """An update with what came of calls: a step each, and their pictures as records of the thread."""
    session, made = parts.session(state), dict[str, ImageRecord]()
    steps, messages, commands = list(state["steps"]), list[Any](), list[Command[Any]]()
    results: dict[str, ToolMessage] = {}
    for output in outputs if isinstance(outputs, list) else [outputs]:
        update: Any = output
        if isinstance(output, Command):
            update = output.update if isinstance(output.update, dict) else {}
            rest = {key: value for key, value in update.items() if key != "messages"}
            commands.append(Command(graph=output.graph, goto=output.goto, resume=output.resume, update=rest))
        for message in update.get("messages", []):
            if isinstance(message, ToolMessage):
                results[str(message.tool_call_id)] = message
            else:
                messages.append(message)
    for action in tools_now(parts, state):
        message = results.get(action.call) or result(action, "Done.")
        runtime.stream_writer(events.ToolFinished(str(action.tool), text_of(message), None))
        message, records = _kept(session, state, action, message, made)
        made |= {record.id: record for record in records}
        for record in records:
            runtime.stream_writer(events.ImageReady(record, session.image(record)))
        step = Step(
            action="tool",
            text=text_of(message),
            tool=action.tool,
            arguments=action.arguments,
            source=next(iter(_parents(message)), None),
            image=records[-1].id if records else None,
            seconds=seconds,
            probabilities=action.probabilities,
            outcome="error" if message.status == "error" else "ok",
        )
        if step.outcome == "error":
            runtime.stream_writer(events.StepFailed(step))
        steps.append(step)
        messages.insert(len(steps) - len(state["steps"]) - 1, message)
    if any(step.outcome == "error" for step in steps[len(state["steps"]) :]):
        done = {action.call for action in tools_now(parts, state)}
        last = Action(kind="tool", call="")
        messages += [m for m in dropped(state, last) if m.tool_call_id not in done]
    update = {"steps": steps, "messages": messages, "images": made, "focus": next(reversed(made), state["focus"])}
    limit = full(session, steps) if len(steps) > session.settings.limits.steps else ""
    if limit := limit or (no_more_pictures(session, steps[:-1]) if made else ""):
        update["stopped"] = limit
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


def _again(parts: AgentParts, state: AgentState) -> Command[Any]:
    """The last request in the place of this one, and its turn taken out."""
    ended, turn = finished_turns(state), begun(state)
    if not ended:
        raise NothingToUndo("nothing has been asked yet")
    before = [message for message in ended[-1] if isinstance(message, HumanMessage)]
    now = state["messages"][sum(map(len, ended)) :]
    update = without(state, [ended[-1], [message for message in now if message.id != turn.id]])
    content = [block for message in before for block in blocks(message)]
    images = dict(update["images"].value)
    update["messages"] = [*update["messages"], HumanMessage(content, id=turn.id)]
    last = parts.session(state).history[-1]
    parts.sessions.pop(turn.id, None)
    update |= {"turn": None, "region": last.request.region, "images": Overwrite(images)}
    return Command(goto="ingest", update=update)


def _words(messages: Sequence[Any]) -> str:
    return next((text_of(message) for message in messages if message.type == "human"), "")


def _with_pictures(tool: BaseTool, parts: AgentParts, request: ToolCallRequest) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a call with pictures in the place of their names, and those names.

    Raises:
        UnknownImage: there is no such picture.
    """
    given, parents, state = dict(request.tool_call["args"]), list[str](), typed(request.state)
    session = parts.session(state)
    for name in picture_arguments(tool):
        if name not in given:
            continue
        if given[name] not in state["images"]:
            raise UnknownImage.among(given[name], state["images"])
        parents.append(given[name])
        given[name] = session.image(state["images"][given[name]])
    return given, parents


def _with_parents(output: Any, parents: list[str]) -> Any:
    if isinstance(output, ToolMessage):
        output.additional_kwargs["parents"] = parents
    return output


def _parents(message: ToolMessage) -> list[str]:
    return list(message.additional_kwargs.get("parents", []))


def _kept(
    session: Session, state: AgentState, action: Action, message: ToolMessage, made: Mapping[str, ImageRecord]
) -> tuple[ToolMessage, list[ImageRecord]]:
    """A result whose pictures are stored, and their records; what could not be read is said in its words."""
    texts, sources, wrong = [text_of(message)], list[Any](), list[str]()
    for block in blocks(message):
        try:
            if is_picture(block):
                sources.append(picture_file(block))
        except GenLlavaError as error:
            wrong.append(str(error))
    sources = list(_pictures_in(message.artifact)) or sources
    records: list[ImageRecord] = []
    for source in sources:
        try:
            image = load_image(source)
        except ImageRejected as error:
            wrong.append(f"a picture of its result was not kept: {error}")
            continue
        record = ImageRecord(
            id=next_image(state, len(made) + len(records)),
            key=session.artifacts.put_image(image),
            width=image.width,
            height=image.height,
            origin="tool",
            turn=begun(state).number,
            parents=tuple(_parents(message)),
            instruction=action.instruction or None,
            params={"tool": str(action.tool), **action.arguments},
        )
        records.append(record)
    texts += [f"{record.id} was made." for record in records] + wrong
    text = " ".join(filter(None, texts)) if records or wrong else texts[0]
    return with_images(message, [reference(record) for record in records], text or "Done."), records


def _pictures_in(value: Any) -> list[Any]:
    """The pictures in what a tool returned: PIL, arrays, files, or what wraps one of these; alone or in a list."""
    import numpy as np
    from PIL import Image

    if isinstance(value, Image.Image) or (isinstance(value, np.ndarray) and value.ndim in (2, 3)):
        return [value]
    if isinstance(value, (bytes, bytearray)):
        return [bytes(value)]
    if hasattr(value, "to_raw"):  # as agent frameworks wrap one
        return _pictures_in(value.to_raw())
    if type(value).__module__.partition(".")[0] == "torch" and getattr(value, "ndim", 0) in (2, 3):
        return [value.detach().cpu().numpy()]
    if isinstance(value, (list, tuple)):
        return [picture for each in value for picture in _pictures_in(each)]
    return []


def _returning_blocks(tool: BaseTool) -> BaseTool:
    """The tool, with pictures in what it returns as content blocks, where LangChain would make words of them; one that
    can only be awaited is, on the loop of whoever waits for the turn, or on one of its own."""

    def as_content(value: Any) -> Any:
        if tool.response_format == "content_and_artifact":
            return value
        found = _pictures_in(value) if not isinstance(value, (list, tuple)) or not _are_blocks(value) else []
        if not found:
            return value
        texts = [each for each in value if isinstance(each, str)] if isinstance(value, (list, tuple)) else []
        return [*({"type": "text", "text": each} for each in texts), *(image_block(load_image(each)) for each in found)]

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


def _are_blocks(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, (str, dict)) for value in values)


def _awaited(work: Any) -> Any:
    """What a coroutine gives, from a thread that runs no event loop."""
    loop = CALLER_LOOP.get()
    if loop is not None and loop.is_running():
        return asyncio.run_coroutine_threadsafe(work, loop).result()
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(contextvars.copy_context().run, asyncio.run, work).result()
