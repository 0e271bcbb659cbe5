"""The first node: what is asked, its pictures, and what was left of a turn that did not end."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from genllava.errors import InvalidRequest
from genllava.options import DESCRIBE
from genllava_agent.admission import adopt
from genllava_agent.answers import compose
from genllava_agent.deciders.base import WORDS
from genllava_agent.history import check_types, exchanges, is_reply, number_of, reply_message
from genllava_agent.messages import check_count, check_request, records_in, reference, text_of, with_images
from genllava_agent.nodes.base import AgentParts, settings_of, thread_id
from genllava_agent.records import ImageRecord, Request, Step, Turn, latest_picture
from genllava_agent.session import BOUND, Spent, unwanted
from genllava_agent.settings import TurnSettings, stored
from genllava_agent.state import AgentState, Begun, Stream, begun, next_action, open_calls
from genllava_agent.stores.memory import MemoryArtifacts

REPLACED = "a new request took its place"


def ingest(parts: AgentParts, state: AgentState, runtime: Runtime[TurnSettings]) -> dict[str, Any]:
    """Take in the request and its pictures, and let the model look at what it is about.

    Raises:
        InvalidRequest, ImageRejected.
    """
    settings, thread = settings_of(runtime, parts), thread_id()
    update: dict[str, Any] = {}
    closing = [] if state.get("turn") is None else _closed(parts, state)
    messages = _after(state["messages"], closing)
    check_types(messages)
    turns = exchanges(messages)
    now = turns[-1] if turns else []
    if not any(isinstance(message, HumanMessage) for message in now) or is_reply(now[-1]):
        raise InvalidRequest("the last message must be the user's")
    inline = thread is None
    artifacts = MemoryArtifacts() if thread is None else parts.artifacts(thread)
    # What the model would have noted of pictures that others showed: only one with a stream of its own keeps notes.
    caption = (lambda key, image: parts.engine.caption(key, image, unwanted)) if parts.engine.has_stream else None
    known = None if inline else parts.known(turns[:-1])  # what was read before is not read again
    new = turns if known is None else turns[-1:]
    first_new, earlier = len(turns) - len(new) + 1, {} if known is None else known.records
    changed = {message.id: message for message in adopt(artifacts, new, caption, earlier, first_new)}
    new = [[changed.get(message.id, message) for message in said] for said in new]
    *before, now = [*turns[: first_new - 1], *new]
    images = {**earlier, **{record.id: record for said in new for message in said for record in records_in(message)}}
    number = 1 + max((record_turn for said in before if (record_turn := number_of(said))), default=len(before))
    turn = Begun(
        id=uuid.uuid4().hex,  # and not the message's: the same may be asked in two places at a time
        number=number,
        at=time.time(),
        seed=settings.seed if settings.seed is not None else secrets.randbits(32),
        settings=stored(settings),
    )
    shown = [record for message in now if isinstance(message, HumanMessage) for record in records_in(message)]
    check_count(shown)
    text = "\n\n".join(filter(None, (text_of(message) for message in now if isinstance(message, HumanMessage))))
    region = state.get("region")
    if region is not None:
        from genllava_agent.regions import part_of

        part = part_of(artifacts, region, list(images.values()), number)
        images[part.id] = part
        shown.append(part)
        last = next(message for message in reversed(now) if isinstance(message, HumanMessage))
        said = changed.get(last.id, last)
        changed[last.id] = with_images(said, [*map(reference, records_in(said)), reference(part)])
    text = check_request(text or DESCRIBE if shown else text)
    request = Request(text=text, images=tuple(record.id for record in shown), task=settings.task, region=region)
    focus = latest_picture(images, regions=region is not None)
    if settings.task == "edit" and focus is None:
        raise InvalidRequest("there is no picture to edit: send one, or ask for one first")
    session = parts.open(turn, artifacts, before, settings, inline)
    session.adopted = dict(changed) if inline else {}
    session.bound = BOUND.get() or {}
    first: AgentState = {
        **state, "messages": messages, "images": images, "focus": focus, "turn": turn, "request": request,
        "steps": [], "trials": [], "stream": Stream(), "stopped": "", "approved": "",
    }  # fmt: skip
    worker = parts.decider().worker
    try:
        with session.work(first):
            worker.begin(session, first, request, shown)
    except Spent as spent:
        update["stopped"] = str(spent)
        worker.begin(session, first, request, shown, look=False)
    except BaseException:
        parts.let_go(first)
        raise
    kept = closing if inline else [*closing, *(message for key, message in changed.items())]
    return {
        **_messages(_in_place(kept, messages, state["messages"])),
        **_images(images, state),
        "focus": focus,
        "turn": turn,
        "request": request,
        "region": None,
        "steps": [],
        "trials": [],
        "approved": "",
        "stopped": "",
        "stream": session.stream(),
        **update,
    }


def _messages(changed: list[Any]) -> dict[str, Any]:
    return {"messages": changed} if changed else {}


def _images(images: dict[str, ImageRecord], state: AgentState) -> dict[str, Any]:
    """An update with the pictures that are new, or with all of them where some are gone with their messages."""
    before = state.get("images") or {}
    if not before.keys() <= images.keys():
        return {"images": Overwrite(images)}
    new = {name: record for name, record in images.items() if name not in before or before[name] != record}
    return {"images": new} if new else {}


def _closed(parts: AgentParts, state: AgentState) -> list[AnyMessage]:
    """What ends a turn that did not end by itself: results of its open calls, and a reply that says so."""
    turn, request, steps = begun(state), state.get("request"), list(state.get("steps") or [])
    said = list(state["messages"])
    while said and isinstance(said[-1], HumanMessage):  # what the user says now
        said.pop()
    action = next_action({**state, "messages": said})
    _, calls = open_calls(said)
    results = [
        ToolMessage(f"This was not done: {REPLACED}.", tool_call_id=str(c["id"]), name=c["name"], status="error")
        for c in calls
    ]
    if action is not None:
        steps.append(
            Step(action=action.kind, outcome="rejected", text=REPLACED, tool=action.tool, arguments=action.arguments)
        )
    text = compose(steps, "" if action is not None else REPLACED)
    made = [r for r in (state.get("images") or {}).values() if r.turn == turn.number and r.origin in _MADE]
    ended = Turn(
        id=uuid.uuid4().hex, parent=None, number=turn.number, at=turn.at, steps=tuple(steps), text=text,
        request=request or Request(text=""), stopped=REPLACED, seed=turn.seed, settings=turn.settings,
        stream=(state.get("stream") or Stream()).ids,
    )  # fmt: skip
    parts.sessions.pop(turn.id, None)
    about = {WORDS: ""} if parts.decider().speaks else {}
    return [*results, reply_message(ended, [reference(record) for record in made], response_metadata=about)]


_MADE = ("generate", "edit", "tool")


def _after(messages: list[AnyMessage], closing: list[AnyMessage]) -> list[AnyMessage]:
    """Messages with what ends the turn before, which comes before what the user has said since."""
    if not closing:
        return messages
    since = len(messages)
    while since and isinstance(messages[since - 1], HumanMessage):
        since -= 1
    if since == 0 or (is_reply(messages[since - 1]) and len(messages) - since > 1):
        since += 1  # the turn before had come no further than its request; one that had come to its words is above
    return [*messages[:since], *closing, *messages[since:]]


def _in_place(kept: list[AnyMessage], messages: list[AnyMessage], before: list[AnyMessage]) -> list[Any]:
    """An update that gives the state these messages in this order."""
    if len(messages) == len(before):
        return kept
    known = {message.id for message in before}
    place = next(place for place, message in enumerate(messages) if message.id not in known)
    changed = {message.id: message for message in kept}
    moved = [message for message in messages[place:] if message.id in known]
    new = [changed.get(message.id, message) for message in messages[place:]]
    earlier = [message for message in kept if message.id in {m.id for m in messages[:place]}]
    return [*earlier, *(RemoveMessage(id=str(message.id)) for message in moved), *new]
