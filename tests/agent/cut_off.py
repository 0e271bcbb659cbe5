"""A turn that is cut off where it stands, as by the end of its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from genllava_agent import Thread
from genllava_agent.running import Runner
from genllava_agent.session import Meter, Session
from genllava_agent.state import AgentState

WORK = Session.work


class Killed(BaseException):
    """Stands for the end of the process."""


def cut_off(thread: Thread, text: str, node: str = "decide", **options: Any) -> None:
    """Ask, and leave the thread as a process leaves it that is killed in the midst of a node, its work half done."""
    agent: Any = thread.agent

    @contextmanager
    def work(session: Session, state: AgentState) -> Iterator[Meter]:
        with WORK(session, state) as meter:
            yield meter
        if node in agent.graph.copy(update={"checkpointer": saver()}).get_state(config).next:
            raise Killed

    def saver() -> Any:
        return agent.store.saver(thread.name)

    config = {"configurable": {"thread_id": thread.name}}
    with mock.patch.object(Runner, "_restore"), mock.patch.object(Session, "work", work), pytest.raises(Killed):
        thread(text, **options)
    agent.parts.sessions.clear()
    agent.engine.live.clear()
