"""A graph that drives savers as the agent's does: a conversation in a channel of deltas, and questions in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from genllava_agent.stores.base import Store
from genllava_agent.stores.faults import storing
from genllava_agent.stores.waiting import Waiting

NOW = Waiting(0.0)


def extend(old: list[Any] | None, writes: Sequence[list[Any]]) -> list[Any]:
    return [*(old or []), *(each for write in writes for each in write)]


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], DeltaChannel(extend, list, snapshot_frequency=5)]
    request: dict[str, str]
    at: str


def think(state: State) -> dict[str, Any]:
    text = state["request"]["text"]
    if text.startswith("ask"):
        text = interrupt({"question": text})
    return {"at": text}


def reply(state: State) -> dict[str, Any]:
    return {"messages": [AIMessage(f"{state['at']}!", id=f"reply {len(state['messages'])}")]}


BUILT = StateGraph(State).add_node(think).add_node(reply).add_edge(START, "think").add_edge("think", "reply")


def graph_of(saver: BaseCheckpointSaver[Any], built: Any = BUILT) -> Any:
    """The graph with its checkpoints there."""
    return built.compile(checkpointer=saver)


def at(name: str) -> Any:
    """Where a thread's checkpoints are."""
    return {"configurable": {"thread_id": name, "checkpoint_ns": ""}}


def say(store: Store, name: str, *texts: str, waiting: Waiting = NOW, built: Any = BUILT) -> None:
    """Take a turn for each text."""
    with store.lock(name, waiting), storing():
        for text in texts:
            message = HumanMessage(text, id=f"{name} {text}")
            given = {"messages": [message], "request": {"text": text}}
            graph_of(store.saver(name), built).invoke(given, at(name), durability="sync")
            store.settle(name)


def answer(store: Store, name: str, text: str) -> None:
    """Answer what a turn asked."""
    with store.lock(name, NOW), storing():
        graph_of(store.saver(name)).invoke(Command(resume=text), at(name), durability="sync")
        store.settle(name)


def said(store: Store, name: str) -> list[str]:
    """What was said on a thread."""
    with storing():
        return [message.text for message in state(store, name).values.get("messages", [])]


def state(store: Store, name: str) -> Any:
    """The state of a thread, as LangGraph tells it."""
    return graph_of(store.saver(name)).get_state(at(name))


def resume(store: Store, name: str) -> bool:
    """Go on with a turn that was cut off; whether there is one.

    `next` does not tell: where the last node has done its work, and only the checkpoint after it is missing, it is
    empty, and the next input would forget that work. The tasks of the checkpoint tell.
    """
    with store.lock(name, NOW), storing():
        graph = graph_of(store.saver(name))
        now = graph.get_state(at(name))
        if now.interrupts or not now.tasks:
            return False
        graph.invoke(None, at(name), durability="sync")
        store.settle(name)
        return True


def together(works: Sequence[Callable[[], object]]) -> None:
    """Do all of it at once, each in a thread of its own.

    Raises:
        BaseException: the first that was raised.
    """
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
