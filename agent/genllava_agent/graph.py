"""The state machine. An assistant turn is one token stream; these nodes carry out what it says.

START > ingest > understand > END                                    a turn in words; whatever else is asked for:
ingest | understand > route > [clarify] > [approve] > understand | generate > verify | edit > verify | call_tool
                                                      > route > END
A fault of any node but ingest and clarify: recover > route
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import START, StateGraph

from genllava_agent.interop.plain_state import PlainNode, plain
from genllava_agent.nodes import Nodes
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, Messages

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    from genllava_agent.engine import Engine


def build_graph(
    engine: Engine,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    whole: bool = False,
    settings: TurnSettings | None = None,
) -> CompiledStateGraph[AgentState, TurnSettings, Any, Any]:
    """Compile the graph.

    Args:
        checkpointer: keeps a turn that waits for an answer. A graph that runs inside of another takes that one's.
        whole: take and give the whole state of a turn in a thread of ours, and not just messages.
        settings: of turns that come without any.
    """
    nodes = Nodes(engine, foreign=not whole, settings=settings or TurnSettings())
    builder = StateGraph(
        AgentState,
        context_schema=TurnSettings,
        input_schema=AgentState if whole else Messages,
        output_schema=AgentState if whole else Messages,
    )

    def add(node: Any, **more: Any) -> None:
        if whole:
            builder.add_node(node.__name__, node, **more)
        else:
            held = PlainNode(node)
            builder.add_node(held.name, held, destinations=held.destinations, **more)

    add(nodes.ingest)
    add(nodes.clarify)
    recover = nodes.recover if whole else plain(nodes.recover)
    work = (nodes.route, nodes.approve, nodes.understand, nodes.generate, nodes.edit, nodes.call_tool, nodes.verify)
    for node in work:  # a handler that raises counts as done: where a fault has to come out, there is none
        add(node, error_handler=recover)

    builder.add_edge(START, "ingest")
    builder.add_edge("generate", "verify")
    builder.add_edge("edit", "verify")
    builder.add_edge("call_tool", "route")
    return builder.compile(checkpointer=checkpointer, name="genllava")
