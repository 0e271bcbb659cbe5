"""The node that asks the user: whether a call should be made, or what is meant."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from genllava.errors import InvalidRequest
from genllava_agent.nodes.base import AgentParts, dropped, thread_id
from genllava_agent.questions import Answer, Decision, answer_to, ask_approval, ask_meaning, interrupt_value
from genllava_agent.records import Step
from genllava_agent.session import Session, no_more_pictures
from genllava_agent.settings import TurnSettings
from genllava_agent.state import CHANGED, Action, AgentState, asked, next_action, open_calls, result
from genllava_agent.workers import KINDS


def needs_approval(action: Action, settings: TurnSettings) -> bool:
    """Whether a call waits for the user's word.

    Raises:
        InvalidRequest: it does, and nobody can give it, because the graph has no checkpointer.
    """
    needed = bool({action.kind, f"tool:{action.tool}"} & set(settings.approve))
    if needed and thread_id() is None:
        raise InvalidRequest(
            f"{action.tool or action.kind} waits for approval, and nobody can give it without a checkpointer: compile "
            "with one, or leave it out of interrupt_on (approve)"
        )
    return needed


def is_unclear(action: Action, settings: TurnSettings, thread: str | None) -> bool:
    """Whether it has to be asked what is meant: two calls are about as likely, and there is somebody who can answer."""
    ranked = sorted((p for token, p in action.probabilities.items() if token in KINDS), reverse=True)
    return thread is not None and len(ranked) > 1 and ranked[0] - ranked[1] < settings.margin


def ask(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Wait for the user's word; this node does nothing before that, since it runs again with the answer."""
    session, action = parts.session(state), next_action(state)
    assert action is not None, "a question without a call"
    session.pause()
    if is_unclear(action, session.settings, thread_id()):
        kinds = [KINDS[token] for token in action.probabilities if token in KINDS]
        question = ask_meaning(action, kinds, state["focus"])
    else:
        question = ask_approval(action, asked(state).text, state["focus"])
    allowed = ["approve", "edit", "reject"]
    given = interrupt(interrupt_value(question, allowed), response_schema=answer_to(question))
    decision = Answer.model_validate(given).decisions[0]
    session.go_on(state)
    if decision.type == "reject":
        return _rejected(state, action, decision.message or "the user said no")
    if question.kind == "clarification":
        return _meant(session, state, action, decision)
    if decision.edited_action is None:
        return {"approved": action.call}
    changed = decision.edited_action.args
    if action.kind != "tool":  # the picture stays, unless another one is named
        before = {"instruction": action.instruction, **({"image": action.image} if action.image else {})}
        changed = {**before, **{k: v for k, v in changed.items() if k in ("instruction", "image")}}
    said = _with_call(state, action, action.tool or action.kind, changed, changed=True)
    said += dropped(state, action, "the user changed what came before it: call it if it still fits")
    update: dict[str, Any] = {"approved": action.call, "messages": said}
    if action.kind != "tool" and changed["instruction"] != action.instruction:
        update |= parts.decider().other_words(session, state, changed["instruction"])
    return update


def _rejected(state: AgentState, action: Action, reason: str) -> dict[str, Any]:
    step = Step(
        action=action.kind, outcome="rejected", text=reason, probabilities=action.probabilities, tool=action.tool,
        arguments=action.arguments,
    )  # fmt: skip
    said = result(action, f"The user did not want this: {reason}", "error")
    return {"steps": [*state["steps"], step], "messages": [said, *dropped(state, action)]}


def _meant(session: Session, state: AgentState, action: Action, decision: Decision) -> dict[str, Any]:
    """What was meant, by the user's choice; the call is made in its place."""
    kind = action.kind if decision.edited_action is None else decision.edited_action.name
    limit = no_more_pictures(session, state["steps"]) if kind in ("generate", "edit") else ""
    arguments = {"instruction": action.instruction, **({"image": action.image} if action.image else {})}
    messages = _with_call(state, action, kind, arguments, {})
    if limit:
        return {"stopped": limit}
    return {"messages": messages}


def _with_call(
    state: AgentState,
    action: Action,
    name: str,
    arguments: dict[str, Any],
    probabilities: Any = None,
    changed: bool = False,
) -> list[Any]:
    """The message with another call in the place of one; without its probabilities it is not asked about again."""
    message, _ = open_calls(state["messages"])
    assert isinstance(message, AIMessage)
    calls = [
        {**call, "name": name, "args": arguments} if call["id"] == action.call else call for call in message.tool_calls
    ]
    about = {**message.response_metadata}
    if changed:
        about[CHANGED] = [*about.get(CHANGED, []), action.call]
    if probabilities is not None:
        about |= {"probabilities": probabilities, "asked": action.probabilities}
    return [message.model_copy(update={"tool_calls": calls, "response_metadata": about})]
