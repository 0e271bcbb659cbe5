"""What a decider is: it reads the conversation, and answers with calls or with the last words of the turn."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.messages.tool import ToolCall

from genllava_agent.records import Kind
from genllava_agent.session import Session
from genllava_agent.state import AgentState, asked, begun
from genllava_agent.workers import Worker

TOLD: Final = "told"
"""Key of `response_metadata`: what was told of a message that is not the last one of its turn."""
WORDS: Final = "words"
"""Key of `response_metadata` of the last message of a turn: what the model itself said in it."""
TellText = Callable[[str], object]
"""Hears what is added to the reply, as it is written."""


@dataclass(frozen=True, slots=True)
class Possible:
    """What may be decided now.

    Attributes:
        kinds: of calls; a picture that does not exist cannot be edited.
        finish: whether the turn may end without another call.
    """

    kinds: Sequence[Kind]
    finish: bool


class Decider(Protocol):
    """Decides what is done next.

    Attributes:
        worker: carries out `understand`, `generate` and `edit`.
        needs_model: whether the pipeline's model does nothing else while it decides.
        speaks: whether its last words are the reply; if not, the reply is made of what the steps said.
    """

    worker: Worker
    needs_model: bool
    speaks: bool

    def decide(self, session: Session, state: AgentState, possible: Possible, tell: TellText) -> list[AnyMessage]:
        """The messages that are added to the conversation.

        The last one is an `AIMessage`: with tool calls, which are carried out in their order before this is asked
        again, or without any, and then the turn is over. Its `response_metadata` may have `probabilities` (of task
        tokens) and `seen` (what was noted down before).
        """

    def other_words(self, session: Session, state: AgentState, instruction: str) -> dict[str, Any]:
        """The user put an instruction in the place of the one that was decided on; returns an update of the state."""


def told_before(state: AgentState) -> str:
    """What was said in this turn before its last words."""
    messages = state["messages"]
    since = max((place for place, message in enumerate(messages) if message.id == begun(state).id), default=0)
    return "".join(message.response_metadata.get(TOLD, "") for message in messages[since:])


def call_message(
    kind: str, arguments: dict[str, Any], text: str = "", probabilities: dict[str, float] | None = None, seen: str = ""
) -> AIMessage:
    """A message with one call."""
    call = ToolCall(name=kind, args=arguments, id=f"call_{uuid.uuid4().hex[:24]}")
    about = {"probabilities": probabilities or {}, "seen": seen}
    return AIMessage(text, id=uuid.uuid4().hex, tool_calls=[call], response_metadata=about)


def last_words(text: str = "", probabilities: dict[str, float] | None = None, seen: str = "") -> AIMessage:
    """A message that ends the turn."""
    return AIMessage(text, id=uuid.uuid4().hex, response_metadata={"probabilities": probabilities or {}, "seen": seen})


def forced(state: AgentState) -> AIMessage | None:
    """The call of a turn whose task was given with the request; None once it was made, or where there is none."""
    request = asked(state)
    if request.task is None or state["steps"]:
        return None
    arguments: dict[str, Any] = {"instruction": request.text}
    if request.task != "generate" and state.get("focus"):
        arguments["image"] = state["focus"]
    return call_message(request.task, arguments)
