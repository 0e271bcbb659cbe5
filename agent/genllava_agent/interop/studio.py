"""The graph for LangGraph's server, Studio and Agent Chat UI, which bring a checkpointer of their own.

To import this loads no model: the first request does. Environment variables:

    GENLLAVA_INTERRUPT_ON   names of calls that wait for the user's word, with commas: `edit,generate`
    GENLLAVA_ARTIFACTS      where pictures are kept: a folder, or postgresql://...; by default this user's data folder
"""

from __future__ import annotations

import os

from genllava_agent.create import create_genllava_agent
from genllava_agent.interop import ROUTE

_WAITING = [name.strip() for name in os.environ.get("GENLLAVA_INTERRUPT_ON", "").split(",") if name.strip()]
_SERVER = os.environ.get("LANGGRAPH_API_URL", "")

graph = create_genllava_agent(
    interrupt_on=dict.fromkeys(_WAITING, True),
    artifacts=os.environ.get("GENLLAVA_ARTIFACTS") or None,
    picture_url=f"{_SERVER.rstrip('/')}{ROUTE}" if _SERVER else "",
)
