"""The graph for LangGraph's server and Studio, which bring a checkpointer of their own.

To import this loads no model: the first request does.
"""

from __future__ import annotations

from genllava_agent.agent import VisualAgent

graph = VisualAgent(store=":memory:").graph
