"""A LangChain chat model that chooses what is done, in the place of the model's own task tokens."""

from __future__ import annotations

from genllava_agent.planner.planner import Planner

__all__ = ["Planner"]
