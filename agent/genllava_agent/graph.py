"""The graph: a turn is a sequence of calls that one model decides on.

START > ingest > decide > understand | generate > verify | edit > verify | tools | thread_verb | ask > decide > finish
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from langchain_core.runnables import RunnableLambda
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import RetryPolicy

from genllava_agent import events, tools
from genllava_agent.background import in_background, left_behind
from genllava_agent.deciders.offers import IN_THREAD
from genllava_agent.errors import is_transient
from genllava_agent.history import is_reply
from genllava_agent.nodes.act import draw, understand
from genllava_agent.nodes.ask import ask, is_unclear, needs_approval
from genllava_agent.nodes.base import RETRIES, AgentParts, guarded, thread_id
from genllava_agent.nodes.decide import decide
from genllava_agent.nodes.finish import finish
from genllava_agent.nodes.ingest import ingest
from genllava_agent.nodes.thread_verb import thread_verb
from genllava_agent.nodes.verify import verify
from genllava_agent.plain_state import plain_update, typed
from genllava_agent.session import unwanted_by, wanted_while
from genllava_agent.settings import TurnSettings, checked
from genllava_agent.state import VERBS, AgentInput, AgentOutput, Channels, begun, next_action

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.store.base import BaseStore

_STEPS: Final = 10_000
"""Of the graph, at most: turns have limits of their own."""


def build_graph(
    parts: AgentParts, checkpointer: Any = None, store: BaseStore | None = None, name: str = "genllava"
) -> CompiledStateGraph[Channels, TurnSettings, Any, Any]:
    """Compile the graph for an agent's parts; other arguments as for LangGraph's own `compile`."""
    builder = StateGraph(Channels, context_schema=TurnSettings, input_schema=AgentInput, output_schema=AgentOutput)
    called = cache(lambda: tools.tool_node(parts))  # made when one is first called

    def should_continue(given: dict[str, Any]) -> str:
        """The node of the next call; where there is none, the decider goes on, unless it has said its last words."""
        state = typed(given)
        action = next_action(state)
        if state["stopped"] or (action is None and is_reply(state["messages"][-1])):
            return "finish"
        if action is None:
            return "decide"
        settings = checked(begun(state).settings)
        if is_unclear(action, settings, thread_id()):
            return "ask"
        with _ending(parts, given):
            waits = action.call != state["approved"] and needs_approval(action, settings)
        if waits:
            return "ask"
        if action.kind in VERBS:
            return action.kind
        return "thread_verb" if action.tool in IN_THREAD else "tools"

    def route_after_verify(given: dict[str, Any]) -> str:
        """Trials that are still there were not good enough: it is drawn again."""
        state = typed(given)
        action = next_action(state)
        again = state["trials"] and action is not None and not state["stopped"]
        return action.kind if again and action is not None else "decide"

    def route_after_verb(state: dict[str, Any]) -> str:
        """A request that is done again begins anew."""
        return "ingest" if state.get("turn") is None else "decide"

    def route_after_finish(state: dict[str, Any]) -> str:
        """A turn that is still there did not end: the fault is told as well."""
        return END if state.get("turn") is None else "finish"

    def call_tools(given: dict[str, Any]) -> Any:
        state, runtime, began, gone = typed(given), get_runtime(TurnSettings), time.monotonic(), threading.Event()
        action = next_action(state)
        assert action is not None, "no call of a tool"
        runtime.stream_writer(events.ActionChosen("tool", action.probabilities, action.seen, None, action.tool))
        runtime.stream_writer(events.ToolStarted(str(action.tool), action.arguments))
        before, alone = unwanted_by(), {**given, "messages": tools.one_call(state)}

        def work() -> Any:
            with wanted_while(lambda: gone.is_set() or before()):
                return called().invoke(alone)

        with _ending(parts, given):
            try:  # in another thread, since Ctrl-C has to wait for those of `ToolNode`
                outputs = left_behind(work, lambda: None)
            finally:
                gone.set()
            made = tools.after_tools(parts, state, outputs, time.monotonic() - began, runtime)
        return plain_update(made, given)

    def add(name: str, node: Callable[..., Any], retries: int = 1) -> None:
        run = node if name == "ingest" else guarded(parts, node, retries)
        retry = RetryPolicy(max_attempts=retries, retry_on=is_transient) if retries > 1 else None
        given = (lambda state, runtime: node(parts, state, runtime)) if run is node else run
        builder.add_node(name, _awaitable(_typed(parts, given), name), retry_policy=retry)

    for name_, node in (
        ("ingest", ingest), ("understand", understand), ("generate", draw), ("edit", draw), ("verify", verify),
        ("ask", ask), ("finish", finish),
    ):  # fmt: skip
        add(name_, node)
    add("decide", decide, RETRIES)
    builder.add_node("thread_verb", _awaitable(_typed(parts, guarded(parts, thread_verb)), "thread_verb"))
    builder.add_node("tools", _awaitable(call_tools, "tools"))
    builder.add_edge(START, "ingest")
    work = ["understand", "generate", "edit", "tools", "thread_verb"]
    builder.add_conditional_edges("decide", should_continue, ["decide", "ask", *work, "finish"])
    for node_name in ("ingest", "ask", "understand", "tools"):
        builder.add_edge(node_name, "decide")
    for node_name in ("generate", "edit"):
        builder.add_edge(node_name, "verify")
    builder.add_conditional_edges("verify", route_after_verify, ["generate", "edit", "decide"])
    builder.add_conditional_edges("thread_verb", route_after_verb, ["ingest", "decide"])
    builder.add_conditional_edges("finish", route_after_finish, ["finish", END])
    compiled = builder.compile(checkpointer=checkpointer, store=store, name=name)
    return compiled.with_config(recursion_limit=_STEPS)


@contextmanager
def _ending(parts: AgentParts, state: dict[str, Any]) -> Iterator[None]:
    """Where a turn breaks off in its midst, and neither waits nor is tried again, nothing of it stays in memory."""
    try:
        yield
    except BaseException as fault:
        if not is_transient(fault) and not isinstance(fault, GraphInterrupt):
            parts.let_go(typed(state))
        raise


def _typed(parts: AgentParts, node: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """A node as LangGraph calls it."""

    def run(state: dict[str, Any]) -> Any:
        with _ending(parts, state):
            return plain_update(node(typed(state), get_runtime(TurnSettings)), state)

    return run


def _awaitable(run: Callable[[dict[str, Any]], Any], name: str) -> RunnableLambda[Any, Any]:
    """A node that runs in a thread of its own where the graph is awaited: where that task is cancelled, it stops."""

    async def arun(state: dict[str, Any]) -> Any:
        def work(cancel: Callable[[], bool]) -> Any:
            with wanted_while(cancel):
                return run(state)

        return await in_background(work)

    return RunnableLambda(run, arun, name=name)
