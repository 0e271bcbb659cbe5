"""The agent as other programs know it: a LangChain chat model, a tool, messages, LangGraph's server."""

from typing import Final

ROUTE: Final = "/artifacts"
"""Where LangGraph's server has the pictures of threads, see `artifact_route`."""
