"""The state of the graph: the conversation as LangChain messages, its pictures, and the turn that is running.

A finished turn is in `messages` alone (see `history`): its request, its calls with their results, and the reply, whose
`response_metadata` has the rest. Pictures are references there, and never bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, RemoveMessage, ToolMessage, convert_to_messages
from langchain_core.messages.tool import ToolCall
from langgraph.channels import DeltaChannel
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # Python's own gives no JSON schema before 3.12

from genllava_agent.records import ImageRecord, Key, Kind, Region, Request, Step

VERBS: Final = ("understand", "generate", "edit")
"""Calls that the nodes of those names carry out; all others are tools."""
CHANGED: Final = "changed"
"""Key of `response_metadata`: ids of the calls that the user has changed."""
_SNAPSHOT: Final = 1000
"""Updates of a channel between two whole copies of it in a checkpoint; the others hold what was added."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Action(_Record):
    """A call that was decided on.

    Attributes:
        call: id of the tool call.
        kind: what is done.
        instruction: in words; the request itself where the model chose by task token.
        image: the picture to work on, where the choice names one.
        tool, arguments: of a tool call.
        probabilities: how likely each possible action was, by task token.
        seen: what the model noted down before it decided.
        changed: whether the user has put other words or arguments into it.
    """

    call: str = ""
    kind: Kind
    instruction: str = ""
    image: str | None = None
    tool: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    probabilities: dict[str, float] = Field(default_factory=dict)
    seen: str = ""
    changed: bool = False


class Stream(_Record):
    """What this turn has added to the token stream, the flags of the conversation after it, and what it has spent."""

    ids: tuple[int, ...] = ()
    request: str = ""
    seen: str = ""
    acted: bool = False
    tokens: int = 0
    unet_rows: int = 0
    seconds: float = 0.0


class Begun(_Record):
    """A turn that has begun.

    Attributes:
        id: unique; names the working memory of the turn.
        number: from 1.
        at: when it began, seconds since 1970.
        seed: of its first picture.
        settings: of the run, as JSON, where they are not the usual ones.
    """

    id: str
    number: int
    at: float
    seed: int
    settings: dict[str, Any] = Field(default_factory=dict)


class Trial(_Record):
    """A drawing that may be kept; its pixels and latents are artifacts of the thread.

    Attributes:
        key: of its pixels; None where drawing was declined, and `text` says why.
        plan, source, seed, latents, caption: as in `ImageRecord`; the source by its number.
        unsure, asked, mismatches: see `verify`.
        verified: whether it was looked at.
        seconds, tokens, unet_rows: that it took, looking included.
    """

    key: Key | None = None
    text: str = ""
    plan: str | None = None
    source: int | None = None
    seed: int = 0
    latents: Key | None = None
    caption: str | None = None
    unsure: str = ""
    asked: bool = True
    mismatches: int = 0
    verified: bool = False
    seconds: float = 0.0
    tokens: int = 0
    unet_rows: int = 0


def add_messages(old: list[AnyMessage] | None, writes: Sequence[Any]) -> list[AnyMessage]:
    """Messages after some writes: those with a known id replace it in its place, the others come last.

    Args:
        writes: messages, lists of them, or what LangChain makes messages of; `RemoveMessage` removes one by its id.
    """
    kept: dict[Any, Any] = {message.id: message for message in old or ()}
    for write in writes:
        for message in convert_to_messages(write if isinstance(write, list) else [write]):
            if isinstance(message, RemoveMessage):
                if message.id == REMOVE_ALL_MESSAGES:
                    kept.clear()
                kept.pop(message.id, None)
                continue
            if not message.id:
                message.id = uuid.uuid4().hex
            kept[message.id] = message
    return list(kept.values())


def add_images(old: Mapping[str, Any] | None, writes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pictures by name after some writes, which only ever add."""
    images = dict(old or {})
    for write in writes:
        images.update(write)
    return images


class AgentInput(TypedDict, total=False):
    """What a graph takes: messages, of which the last is the user's.

    Attributes:
        images: records of the pictures that messages refer to, where they were stored before.
        region: the part of a picture that the request is about.
        undone: messages of turns that were taken back, one list a turn, the next one to bring back last; the turn that
            a request is done again for is among them until that has ended.
    """

    messages: Annotated[list[AnyMessage], DeltaChannel(add_messages, list, snapshot_frequency=_SNAPSHOT)]
    images: Annotated[Mapping[str, ImageRecord], DeltaChannel(add_images, dict, snapshot_frequency=_SNAPSHOT)]
    region: Region | None
    undone: list[list[AnyMessage]]


class Channels(AgentInput, total=False):
    """What a checkpoint keeps of a thread: plain data and LangChain's messages.

    Attributes:
        messages: the conversation.
        images: the pictures of the thread by name, in their order.
        focus: the picture that was worked on last.
        turn: the turn that is running, with what was done in it; None between turns.
    """

    focus: str | None
    turn: dict[str, Any] | None


class AgentState(AgentInput, total=False):
    """The same as nodes read it: the turn that is running is spread out.

    Attributes:
        focus: see `Channels`.
        turn: the turn that is running; None between turns.
        request: what is asked in it.
        steps: what was done in it.
        trials: drawings of the present picture, the latest last.
        approved: id of the call that the user has said yes to.
        stream: see `Stream`.
        stopped: why the turn ends early.
    """

    focus: str | None
    turn: Begun | None
    request: Request | None
    steps: list[Step]
    trials: list[Trial]
    approved: str
    stream: Stream
    stopped: str


class AgentOutput(TypedDict):
    """What a graph gives to one that it runs in."""

    messages: Annotated[list[AnyMessage], DeltaChannel(add_messages, list, snapshot_frequency=_SNAPSHOT)]


def begun(state: AgentState) -> Begun:
    """The turn that is running."""
    turn = state.get("turn")
    assert turn is not None, "no turn is running"
    return turn


def asked(state: AgentState) -> Request:
    """What is asked in the turn that is running."""
    request = state.get("request")
    assert request is not None, "no turn is running"
    return request


def open_calls(messages: Sequence[BaseMessage]) -> tuple[AIMessage | None, list[ToolCall]]:
    """The calls of the latest message with some that have no result yet, in their order, and that message."""
    answered: set[str | None] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage) and message.tool_calls:
            return message, [call for call in message.tool_calls if call["id"] not in answered]
        else:
            break
    return None, []


def next_action(state: AgentState) -> Action | None:
    """The first call that is not carried out; None where there is none."""
    message, calls = open_calls(state["messages"])
    if message is None or not calls:
        return None
    call, about = calls[0], message.response_metadata
    kind: Kind = call["name"] if call["name"] in VERBS else "tool"  # type: ignore[assignment]
    arguments = call["args"]
    words = {} if kind == "tool" else {"instruction": str(arguments.get("instruction", ""))}
    return Action(
        call=str(call["id"]),
        kind=kind,
        image=None if kind == "tool" else arguments.get("image"),
        tool=call["name"] if kind == "tool" else None,
        arguments=arguments if kind == "tool" else {},
        probabilities=about.get("probabilities", {}),
        seen=about.get("seen", ""),
        changed=call["id"] in about.get(CHANGED, ()),
        **words,
    )


def result(action: Action, text: str, status: Literal["success", "error"] = "success") -> ToolMessage:
    """What came of a call."""
    message = ToolMessage(text or "Done.", tool_call_id=action.call, name=action.tool or action.kind, status=status)
    return as_changed(action, message)


def as_changed(action: Action, message: ToolMessage) -> ToolMessage:
    """A result that says, where the user has changed the call, that it is not what was called."""
    if not action.changed:
        return message
    what = "the arguments" if action.kind == "tool" else f"the instruction to {action.instruction!r}"
    return message.model_copy(update={"content": f"The user changed {what}. {message.text}"})
