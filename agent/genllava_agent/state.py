"""The state of the graph: one turn, from the request to the answer. What came before it is the session's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # Python's own gives no JSON schema before 3.12

from genllava_agent.records import ImageRecord, Kind, Request, Step


class Action(BaseModel):
    """What is to be done next.

    Attributes:
        kind: what.
        instruction: in words; the request itself where the model chose by task token.
        image: the picture to work on, where the choice names one.
        tool, arguments: of a tool call.
        probabilities: how likely each possible action was, by task token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    instruction: str = ""
    image: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    probabilities: dict[str, float] = Field(default_factory=dict)


class Stream(BaseModel):
    """What this turn has added to the token stream, the flags of the conversation after it, and what it has spent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: tuple[int, ...] = ()
    request: str = ""
    seen: str = ""
    acted: bool = False
    tokens: int = 0
    unet_rows: int = 0
    seconds: float = 0.0


def merge(old: dict[str, ImageRecord], new: dict[str, ImageRecord]) -> dict[str, ImageRecord]:
    """Pictures are only ever added."""
    return {**old, **new}


def extend(old: list[Step], new: list[Step]) -> list[Step]:
    """Steps are only ever added."""
    return [*old, *new]


class AgentState(TypedDict, total=False):
    """One turn.

    Attributes:
        messages: the conversation, in somebody else's graph; in a thread of ours there are none.
        session: the id under which the model's working memory of this turn is found.
        request: what is asked.
        images: the pictures that came in during this turn, by name.
        focus: the picture that was worked on last.
        steps: what was done.
        action: what is being done; None between actions.
        stream: see `Stream`.
        stopped: why the turn ends early.
        reply: what is said in the end; before that, what whoever decides says in place of what the steps said.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    session: str
    request: Request
    images: Annotated[dict[str, ImageRecord], merge]
    focus: str | None
    steps: Annotated[list[Step], extend]
    action: Action | None
    stream: Stream
    stopped: str
    reply: str


class Messages(TypedDict):
    """What other graphs see of it."""

    messages: Annotated[list[AnyMessage], add_messages]


def updated(old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    """A state after an update, or one update that does what two do, as the graph would make it of them.

    Messages are not joined: a turn writes one, at its end.
    """
    result = {**old, **new}
    if "images" in old and "images" in new:
        result["images"] = merge(old["images"], new["images"])
    if "steps" in old and "steps" in new:
        result["steps"] = extend(old["steps"], new["steps"])
    return result
