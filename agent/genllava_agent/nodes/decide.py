"""The node that decides what is done next, or that the turn is over."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from genllava.errors import InvalidRequest
from genllava_agent import events
from genllava_agent.deciders.base import Possible, call_message, last_words
from genllava_agent.messages import text_of
from genllava_agent.nodes.base import AgentParts, two_errors
from genllava_agent.records import Kind, Step
from genllava_agent.session import Session, Spent, limit_on, spent_limit
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, asked, next_action


def decide(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Ask the decider, once all that it called before is done; a turn that has reached a limit is over."""
    session, steps, decider = parts.session(state), state["steps"], parts.decider()
    if (action := next_action(state)) is not None and not state["stopped"]:
        limit = limit_on(session, steps, action.kind) or _stop_reason(session, steps)
        return {"stopped": limit} if limit else {}
    stopped, call = state["stopped"] or _stop_reason(session, steps), session.settings.call
    said = steps and (asked(state).task or call)  # by the user, and done
    if stopped or said or any(step.outcome == "rejected" for step in steps):
        return {"stopped": stopped, "messages": [last_words()]}
    if call is not None:
        if call.name not in parts.tools:
            raise InvalidRequest(f"there is no tool {call.name!r}: {', '.join(parts.tools) or 'none'}")
        return {"messages": [call_message(call.name, dict(call.args))]}
    possible = Possible(_possible(parts, state), bool(steps) and asked(state).task is None)
    try:
        with session.work(state) if decider.needs_model else nullcontext():
            messages = decider.decide(session, state, possible, lambda t: runtime.stream_writer(events.TextDelta(t)))
    except Spent as spent:
        return {"stopped": str(spent), "messages": [last_words()]}
    last = messages[-1]
    assert isinstance(last, AIMessage)
    update: dict[str, Any] = {"messages": messages, "stream": session.stream()}
    if not last.tool_calls:
        if text := text_of(last):
            about = last.response_metadata.get("probabilities", {})
            update["steps"] = [*steps, Step(action="understand", text=text, probabilities=about)]
        return update
    action = next_action({**state, "messages": messages})
    assert action is not None
    if limit := limit_on(session, steps, action.kind):
        return {**update, "messages": [last_words()], "stopped": limit}
    return update


def _possible(parts: AgentParts, state: AgentState) -> list[Kind]:
    if (task := asked(state).task) is not None:
        return [task]
    kinds: list[Kind] = ["understand", "generate", *(["edit"] if state["images"] else [])]  # type: ignore[list-item]
    return [*kinds, "tool"]


def _stop_reason(session: Session, steps: list[Step]) -> str:
    """Why the turn has to end now, whatever the model would do; empty if it may go on."""
    if two_errors(steps):
        return "two errors in a row"
    if len(steps) >= 2 and _same(steps[-1], steps[-2]):
        return "the same thing was done twice"
    return spent_limit(session)


def _same(step: Step, other: Step) -> bool:
    def what(step: Step) -> tuple[object, ...]:
        done = step.action, step.outcome, step.source, step.plan, " ".join(step.text.split()).lower(), step.tool
        return *done, sorted(step.arguments.items(), key=repr), step.request  # two requests may come to the same

    drawn = step.image is not None  # of the same plan another picture comes, which may be what is wanted
    return step.outcome == "ok" and not drawn and what(step) == what(other)
