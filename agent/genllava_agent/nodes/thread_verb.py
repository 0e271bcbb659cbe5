"""The node for what is done to the thread, and not to a picture; and for asking for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from genllava_agent import events
from genllava_agent.deciders.offers import THREAD_VERBS
from genllava_agent.errors import NothingToUndo, UnknownImage
from genllava_agent.messages import blocks, reference, text_of, with_images
from genllava_agent.nodes.base import AgentParts
from genllava_agent.records import Step
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, begun, next_action, result
from genllava_agent.thread_verbs import AGAIN, bring_back, finished_turns, without
from genllava_tools.offers import MORE_TOOLS, asked_for, first_sentence


def thread_verb(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> Any:
    """Undo, redo, retry, show a picture again, or offer other tools.

    Raises:
        InvalidRequest: a tool was asked for that does not exist.
    """
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
    elif action.tool == MORE_TOOLS:
        tools = {name: tool.description for name, tool in parts.tools.items()}
        said = [f"{name}: {first_sentence(tools[name])}" for name in asked_for(action.arguments, tools)]
        step = step.model_copy(update={"text": "Can be called now: " + " ".join(said)})
    elif action.tool == "undo":
        update, gone = take_back_requests(state, action.arguments.get("turns"))
        step = step.model_copy(update={"text": f"I took back: {', '.join(repr(_words(turn)) for turn in gone)}."})
    else:
        update = bring_back(state)
        step = step.model_copy(update={"text": f"I brought back: {_words((state.get('undone') or [[]])[-1])!r}."})
    message = with_images(result(action, step.text), content)
    update["messages"] = [*update.get("messages", []), message]
    parts.sessions.pop(begun(state).id, None)  # it knows the turns that were
    return {**update, "steps": [*state["steps"], step]}


def take_back_requests(state: AgentState, turns: int | None = None) -> tuple[dict[str, Any], list[list[AnyMessage]]]:
    """An update without the last turns in which something was asked, and these turns. Those between and after them in
    which turns were taken back or shown again go with them, and are not brought back.

    Args:
        turns: how many; None for one.

    Raises:
        NothingToUndo: there are not as many.
    """
    wanted, ended = 1 if turns is None else turns, finished_turns(state)
    asked = [place for place, turn in enumerate(ended) if not _is_about_thread(turn)]
    if not isinstance(wanted, int) or not 1 <= wanted <= len(asked):
        raise NothingToUndo(f"cannot take back {wanted} requests: there are {len(asked)}")
    first = asked[-wanted]
    gone = [ended[place] for place in asked[-wanted:]]
    undone = [*(state.get("undone") or []), *reversed(gone)]
    return {**without(state, ended[first:]), "undone": undone}, gone


def _is_about_thread(messages: Sequence[AnyMessage]) -> bool:
    """Whether nothing was done in a turn but to the thread itself."""
    called = [call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    return bool(called) and set(called) <= THREAD_VERBS.keys()


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
