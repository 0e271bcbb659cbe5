"""What is done to a thread itself: taking turns back, and bringing them back. Functions of the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage
from langgraph.types import Overwrite

from genllava_agent.errors import NothingToUndo
from genllava_agent.history import exchanges, is_reply
from genllava_agent.messages import records_in
from genllava_agent.records import ImageRecord, latest_picture
from genllava_agent.state import AgentState, add_messages

AGAIN: Final = "again"
"""Key of the `additional_kwargs` of a request that is done again: the place in `undone` of the turn before it."""


def finished_turns(state: AgentState) -> list[list[AnyMessage]]:
    """The messages of the turns that have ended."""
    turns = exchanges(state.get("messages") or [])
    return turns[:-1] if state.get("turn") is not None else turns


def has_ended(state: AgentState) -> bool:
    """Whether no turn is running, and the last request was replied to."""
    messages = state.get("messages") or []
    return state.get("turn") is None and (not messages or is_reply(messages[-1]))


def replaced_turn(state: AgentState) -> list[AnyMessage]:
    """The turn whose place the running one takes: it stands until that has ended. Empty where there is none."""
    messages, undone = state.get("messages") or [], state.get("undone") or []
    if has_ended(state):
        return []
    asked = next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)
    place = None if asked is None else asked.additional_kwargs.get(AGAIN)
    return undone[place] if isinstance(place, int) and place < len(undone) else []


def without_running(state: AgentState, running: Sequence[AnyMessage]) -> dict[str, Any]:
    """An update without the turn that is running; the one whose place it was to take is there again.

    Args:
        running: its messages.
    """
    back, ids = replaced_turn(state), {message.id for message in running}
    images = _images([*(message for message in state["messages"] if message.id not in ids), *back])
    update: dict[str, Any] = {
        "messages": [*(RemoveMessage(id=str(key)) for key in ids), *back],
        "images": Overwrite(images),
        "focus": latest_picture(images),
        "turn": None,
    }
    return {**update, "undone": [said for said in state["undone"] if said is not back]} if back else update


def updated(state: AgentState, update: dict[str, Any]) -> AgentState:
    """The state after an update of messages and pictures."""
    messages = add_messages(state["messages"], [update["messages"]])
    made: AgentState = {**state, **update, "messages": messages, "images": update["images"].value}  # type: ignore[typeddict-item]
    return made


def take_back(state: AgentState, turns: int = 1) -> dict[str, Any]:
    """An update without the last turns that have ended, which can be brought back.

    Raises:
        NothingToUndo: there are not as many.
    """
    ended = finished_turns(state)
    if not isinstance(turns, int) or not 1 <= turns <= len(ended):
        raise NothingToUndo(f"cannot take back {turns} turns: there are {len(ended)}")
    gone = ended[-turns:]
    return {**without(state, gone), "undone": [*(state.get("undone") or []), *reversed(gone)]}


def bring_back(state: AgentState, turns: int = 1) -> dict[str, Any]:
    """An update with turns that were taken back.

    Raises:
        NothingToUndo: there are not as many.
    """
    undone = list(state.get("undone") or [])
    if not isinstance(turns, int) or not 1 <= turns <= len(undone):
        raise NothingToUndo(f"cannot bring back {turns} turns: {len(undone)} were taken back")
    back = [message for said in reversed(undone[-turns:]) for message in said]
    ended = [message for said in finished_turns(state) for message in said]
    running = list(state.get("messages") or [])[len(ended) :]
    moved = [RemoveMessage(id=str(message.id)) for message in running]
    images = {**_images(ended), **_images(back), **_images(running)}
    return {
        "messages": [*moved, *back, *running],
        "images": Overwrite(images),
        "focus": latest_picture(images),
        "undone": undone[:-turns],
    }


def without(state: AgentState, gone: Sequence[Sequence[AnyMessage]]) -> dict[str, Any]:
    """An update without these messages, and without the pictures that came with them."""
    ids = {message.id for said in gone for message in said}
    images = _images([message for message in state["messages"] if message.id not in ids])
    removed = [RemoveMessage(id=str(key)) for key in ids]
    return {"messages": removed, "images": Overwrite(images), "focus": latest_picture(images)}


def _images(messages: Sequence[AnyMessage]) -> dict[str, ImageRecord]:
    return {record.id: record for message in messages for record in records_in(message)}
