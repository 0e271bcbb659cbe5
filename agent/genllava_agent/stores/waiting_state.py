"""The state of a turn that waits for an answer, on its way into a store and out of it.

It is kept under the turn's id and, as the name space, the question's: where a turn asks a second time, the state at
the first question stays until the head says that it is the second that waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.types import INTERRUPT

from genllava_agent.errors import AgentError
from genllava_agent.records import ImageRecord, Pending, Question, Request, Step
from genllava_agent.state import Action, Stream
from genllava_agent.stores.artifacts import WAITING_STATE, damaged
from genllava_agent.stores.faults import storing

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from genllava_agent.stores.base import ThreadStore

    Saver = BaseCheckpointSaver[Any]


def keep_state(source: Saver, store: ThreadStore, turn: str, question: Question) -> None:
    """Keep where the graph stands; nothing says yet that the turn waits.

    Raises:
        StoreFailed.
    """
    kept = source.get_tuple(_place(turn, ""))
    assert kept is not None, "a turn that asks has a state"
    with storing():
        _put(store.saver, kept, turn, question.interrupt)


def load_state(store: ThreadStore, target: Saver, pending: Pending) -> None:
    """Let the graph stand where it asked.

    Raises:
        StoreFailed, ThreadQuarantined: the state is missing or damaged.
    """
    assert pending.question is not None
    try:
        with storing():
            kept = store.saver.get_tuple(_place(pending.id, pending.question.interrupt))
        if kept is None or not _fits(kept, pending.id) or not _asks(kept, pending.question):
            raise damaged(WAITING_STATE)
        _put(target, kept, pending.id, "")
    except AgentError:
        raise
    except Exception as error:  # LangGraph raises whatever it stumbles upon
        raise damaged(WAITING_STATE) from error


def _place(turn: str, question: str) -> Any:
    return {"configurable": {"thread_id": turn, "checkpoint_ns": question}}


def _put(target: Saver, kept: CheckpointTuple, turn: str, question: str) -> None:
    checkpoint = kept.checkpoint
    place = target.put(_place(turn, question), checkpoint, kept.metadata, checkpoint["channel_versions"])
    writes: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in kept.pending_writes or []:
        writes.setdefault(task, []).append((channel, value))
    for task, pairs in writes.items():
        target.put_writes(place, pairs, task)


def _asks(kept: CheckpointTuple, question: Question) -> bool:
    """Whether it is the state at this question."""
    asked = [value for _, channel, value in kept.pending_writes or [] if channel == INTERRUPT]
    return [interrupt.id for interrupts in asked for interrupt in interrupts] == [question.interrupt]


def _fits(kept: CheckpointTuple, turn: str) -> bool:
    """Whether the values are of the types that the nodes rely on, and of this turn."""
    values = kept.checkpoint["channel_values"]
    images, steps, messages = values.get("images", {}), values.get("steps", []), values.get("messages", [])
    return (
        values["session"] == turn
        and isinstance(values["request"], Request)
        and isinstance(messages, list)
        and all(isinstance(message, BaseMessage) for message in messages)
        and isinstance(images, dict)
        and all(isinstance(record, ImageRecord) and record.id == name for name, record in images.items())
        and isinstance(steps, list)
        and all(isinstance(step, Step) for step in steps)
        and isinstance(values.get("action"), Action | None)
        and isinstance(values.get("stream", Stream()), Stream)
        and isinstance(values.get("focus"), str | None)
        and isinstance(values.get("stopped", ""), str)
    )
