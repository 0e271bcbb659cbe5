"""The state machine. An assistant turn is one token stream; these nodes carry out what it says.

    START > ingest > route > approve > understand | generate | edit | call_tool > [verify] > route ... answer > END
                       > clarify (asks)                                    recover: a fault in any of these
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, START, StateGraph

from genllava_agent.nodes import Nodes
from genllava_agent.settings import TurnSettings
from genllava_agent.state import AgentState, Messages

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    from genllava_agent.engine import Engine


def build_graph(
    engine: Engine, checkpointer: BaseCheckpointSaver[Any] | None = None, whole: bool = False
) -> CompiledStateGraph[AgentState, TurnSettings, Any, Any]:
    """Compile the graph.

    Args:
        checkpointer: keeps a turn that waits for an answer. A graph that runs inside of another takes that one's.
        whole: take and give the whole state of a turn in a thread of ours, and not just messages.
    """
    nodes = Nodes(engine, foreign=not whole)
    builder = StateGraph(
        AgentState,
        context_schema=TurnSettings,
        input_schema=AgentState if whole else Messages,
        output_schema=AgentState if whole else Messages,
    )
    builder.add_node("ingest", nodes.ingest)
    builder.add_node("route", nodes.route, error_handler=nodes.recover)
    builder.add_node("clarify", nodes.clarify)
    builder.add_node("approve", nodes.approve, error_handler=nodes.recover)
    builder.add_node("understand", nodes.understand, error_handler=nodes.recover)
    builder.add_node("generate", nodes.generate, error_handler=nodes.recover)
    builder.add_node("edit", nodes.edit, error_handler=nodes.recover)
    builder.add_node("call_tool", nodes.call_tool, error_handler=nodes.recover)
    builder.add_node("verify", nodes.verify, error_handler=nodes.recover)
    builder.add_node("answer", nodes.answer)

    builder.add_edge(START, "ingest")
    builder.add_edge("ingest", "route")
    builder.add_edge("understand", "route")
    builder.add_edge("generate", "verify")
    builder.add_edge("edit", "verify")
    builder.add_edge("call_tool", "route")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=checkpointer, name="genllava")
