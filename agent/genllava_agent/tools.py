"""The node that calls tools: LangGraph's `ToolNode`, with pictures going in by name and coming out as records.

A tool gets PIL images where its call names pictures of the thread. What it raises is its result, for whoever called it
to read (`tool_faults`); it works in a thread of its own, under the limits of the turn (`tool_threads`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command

from genllava_agent import events
from genllava_agent.deciders.offers import picture_arguments
from genllava_agent.errors import UnknownImage
from genllava_agent.nodes.base import AgentParts, dropped
from genllava_agent.plain_state import typed
from genllava_agent.records import Step
from genllava_agent.session import Session, no_more_pictures
from genllava_agent.settings import TurnSettings
from genllava_agent.state import Action, AgentState, as_changed, next_action, open_calls
from genllava_agent.tool_faults import FATE, advice, failed
from genllava_agent.tool_pictures import kept
from genllava_agent.tool_threads import in_thread, watched
from genllava_tools.drawing import DRAWS, drawing_with
from genllava_tools.inpainting import FILLS


def tool_node(parts: AgentParts) -> ToolNode:
    """LangGraph's node for the tools of an agent."""

    def wrapped(request: ToolCallRequest, call: Callable[[ToolCallRequest], Any]) -> Any:
        state = typed(request.state)
        session = parts.session(state)
        within = partial(_model, parts, session, state) if _draws(request.tool) else nullcontext
        try:
            with watched(session, request.tool_call["name"], within):
                return call(_with_pictures(session, state, request))
        except Exception as error:
            return failed(request.tool_call, error)

    return ToolNode(list(map(in_thread, parts.tools.values())), handle_tool_errors=False, wrap_tool_call=wrapped)


def _draws(tool: BaseTool | None) -> bool:
    """Whether it is a visual tool that draws with the model that is lent to it."""
    needs = [] if tool is None else (tool.metadata or {}).get("needs", [])
    return DRAWS.name in needs or FILLS.name in needs


@contextmanager
def _model(parts: AgentParts, session: Session, state: AgentState) -> Iterator[None]:
    """Meanwhile a tool has the agent's own model, under the limits of the turn."""
    with session.work(state), drawing_with(parts.engine.pipeline):
        yield


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
    message, records, words = kept(session, state, action, own[0] if own else unsaid, parents)
    failure = message.status == "error"
    step = Step(
        action="tool",
        text=words,
        tool=action.tool,
        arguments=action.arguments,
        source=next(iter(parents), None),
        image=records[-1].id if records else None,
        seconds=seconds,
        probabilities=action.probabilities,
        outcome="error" if failure else "ok",
        fate=message.additional_kwargs.pop(FATE, "mendable") if failure else None,
    )
    steps = [*state["steps"], step]
    if failure:
        runtime.stream_writer(events.StepFailed(step))
        if more := advice(step, steps):
            message = message.model_copy(update={"content": f"{message.text} {more}"})
    else:
        runtime.stream_writer(events.ToolFinished(str(action.tool), step.text, step.image))
    for record in records:
        runtime.stream_writer(events.ImageReady(record, session.image(record)))
    messages, others = [as_changed(action, message)], [each for each in said if each not in own]
    if failure:
        messages += dropped(state, action)
    elif others:  # results stand right behind their calls
        messages += dropped(state, action, "what came before it had more to say: call it if it still fits")
    made = {record.id: record for record in records}
    update = {
        "steps": steps,
        "messages": [*messages, *others],
        "images": made,
        "focus": next(reversed(made), state["focus"]),
    }
    if made and (limit := no_more_pictures(session, state["steps"])):
        update["stopped"] = limit
    elif not parts.decider().speaks and not failure:  # it reads results in its own stream
        now: AgentState = {**state, "images": {**state["images"], **made}}
        with session.work(now):
            parts.decider().worker.returned(session, now, step.text, records)
        update["stream"] = session.stream()
    return [update, *commands] if commands else update


def _with_pictures(session: Session, state: AgentState, request: ToolCallRequest) -> ToolCallRequest:
    """A call with pictures in the place of their names.

    Raises:
        UnknownImage: there is no such picture.
    """
    call, tool = request.tool_call, request.tool
    given = dict(call["args"])

    def picture(name: object) -> Any:
        if not isinstance(name, str) or name not in state["images"]:
            raise UnknownImage.among(str(name), state["images"])
        return session.artifacts.layer(state["images"][name])

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
