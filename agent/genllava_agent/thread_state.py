"""What a checkpoint says of a thread: its turns that have ended, and the one that has not."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from langchain_core.messages import AnyMessage, HumanMessage

from genllava_agent.history import exchanges, reply_message
from genllava_agent.messages import text_of
from genllava_agent.records import Pending, Request, Turn

if TYPE_CHECKING:
    from genllava_agent.running import Place


def closing(place: Place) -> list[AnyMessage]:
    """A reply to a request that was cut off before its turn began, so that the next one is not taken for its end."""
    state = place.state
    turns = exchanges(state.get("messages") or [])
    if state.get("turn") is not None or len(turns) == len(place.ended):
        return []
    text = "I did not begin with this: I was cut off."
    turn = Turn(
        id=uuid.uuid4().hex, parent=None, number=len(turns), at=0.0, request=Request(text=""), text=text,
        stopped="cut off",
    )  # fmt: skip
    return [reply_message(turn, [])]


def unfinished_turn(place: Place) -> Pending | None:
    """The turn that has not ended."""
    state = place.state
    if not place.open:
        return None
    question, turn, request = place.question, state.get("turn"), state.get("request")
    if turn is None or request is None:  # it had only just begun
        said = (state.get("messages") or [])[sum(map(len, place.ended)) :]
        text = " ".join(text_of(message) for message in said if isinstance(message, HumanMessage))
        return Pending(id="", number=len(place.ended) + 1, request=Request(text=text), question=question)
    images = tuple(record for record in state["images"].values() if record.turn == turn.number)
    return Pending(
        id=turn.id, number=turn.number, at=turn.at, request=request, images=images, seed=turn.seed,
        settings=turn.settings, question=question,
    )  # fmt: skip


def artifacts_of(turn: Turn) -> set[tuple[str, str]]:
    """(key, kind) of every artifact that a turn names."""
    named = {(record.key, "png") if record.jpeg is None else (record.jpeg, "jpg") for record in turn.images}
    named |= {(record.latents, "safetensors") for record in turn.images if record.latents is not None}
    named |= {(tried.key, "png") for step in turn.steps for tried in step.tried}
    region = turn.request.region
    return named | ({(region.mask, "png")} if region is not None and region.mask is not None else set())
