"""Threads that version 0.1 wrote, brought over to checkpoints when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AnyMessage, HumanMessage

from genllava_agent.deciders.base import call_message
from genllava_agent.history import messages_of
from genllava_agent.messages import reference, with_images
from genllava_agent.records import ImageRecord, Request, Step, Turn, latest_picture
from genllava_agent.settings import SETTINGS
from genllava_agent.state import Begun, Stream

if TYPE_CHECKING:
    from genllava_agent.running import Runner
    from genllava_agent.stores.version_0_1 import OldThread


def bring_over(old: OldThread, runner: Runner, name: str) -> None:
    """Write a thread anew, with all of its turns, those that can be brought back, and the one that has not ended; the
    caller holds its lock. What is cut off in the middle of this is done again.

    Raises:
        StoreFailed, ThreadQuarantined.
    """
    turns = [Turn.model_validate(turn) for turn in old.history(old.head["turn"])]
    gone = [Turn.model_validate(old.turns[key]) for key in old.head.get("undone", ())]
    images = {record.id: record for turn in turns for record in turn.images}
    update: dict[str, Any] = {
        "messages": [message for turn in turns for message in messages_of(turn)],
        "images": images,
        "focus": latest_picture(images),
        "undone": [messages_of(turn) for turn in gone],
    }
    pending = old.head.get("pending")
    runner.begin_anew(name)
    if pending is None:
        runner.update(name, update)
    elif pending.get("question") and old.state:
        runner.update(name, _waiting(update, pending, old.state), as_node="decide")
        runner.go_on(name)
    else:
        asked = _asked(pending, Request.model_validate(pending["request"]))
        runner.update(name, {**update, "messages": [*update["messages"], asked]}, as_node="__start__")
    old.put_away()


def _asked(pending: dict[str, Any], request: Request) -> AnyMessage:
    """The request of a turn that has not ended."""
    records = [ImageRecord.model_validate(record) for record in pending.get("images", ())]
    settings = {**pending.get("settings", {}), "seed": pending.get("seed", 0)}
    message = HumanMessage(request.text, id=f"{pending['id']}-request", additional_kwargs={SETTINGS: settings})
    shown: AnyMessage = with_images(message, [reference(record) for record in records if record.origin == "user"])
    return shown


def _waiting(update: dict[str, Any], pending: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The state of a turn that waits for an answer."""
    request, action = Request.model_validate(pending["request"]), dict(state["action"])
    images = {name: ImageRecord.model_validate(record) for name, record in state.get("images", {}).items()}
    arguments = dict(action.get("arguments") or {})
    if action["kind"] != "tool":
        arguments = {"instruction": action.get("instruction") or request.text}
        arguments |= {"image": action["image"]} if action.get("image") else {}
    stream = Stream.model_validate(state.get("stream") or {})
    name = action.get("tool") or action["kind"]
    call = call_message(name, arguments, "", action.get("probabilities"), stream.seen)
    asked = _asked(pending, request)
    turn = Begun(
        id=str(asked.id),
        number=pending["number"],
        at=pending["at"],
        seed=pending["seed"],
        settings=pending.get("settings", {}),
    )
    return {
        **update,
        "messages": [*update["messages"], asked, call],
        "images": {**update["images"], **images},
        "focus": state.get("focus"),
        "turn": turn,
        "request": request,
        "steps": [Step.model_validate(step) for step in state.get("steps", ())],
        "trials": [],
        "stream": stream,
        "stopped": "",
        "approved": "",
    }
