"""The state as plain data outside of the nodes and typed inside: no checkpointer needs to know our types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from langgraph.types import Command, Overwrite
from pydantic import BaseModel, TypeAdapter

from genllava_agent.records import ImageRecord, Region, Request, Step
from genllava_agent.state import AgentState, Begun, Stream, Trial


class Records(Mapping[str, ImageRecord]):
    """Pictures by name, each checked when it is first looked at: a thread may have many."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self._plain = plain
        self._read: dict[str, ImageRecord] = {}

    def __getitem__(self, name: str) -> ImageRecord:
        if name not in self._read:
            self._read[name] = ImageRecord.model_validate(self._plain[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)


_TYPES: Final[dict[str, Any]] = {
    "request": TypeAdapter(Request | None),
    "steps": TypeAdapter(list[Step]),
    "trials": TypeAdapter(list[Trial]),
    "stream": TypeAdapter(Stream | None),
    "approved": TypeAdapter(str),
    "stopped": TypeAdapter(str),
}
"""Of the turn that is running, all in the channel `turn`: one is written with every step, and not six."""
_REGION: Final[Any] = TypeAdapter(Region | None)
_NOTHING: Final[dict[str, Any]] = {
    "request": None, "steps": [], "trials": [], "stream": None, "approved": "", "stopped": "",
}  # fmt: skip


def typed(state: Mapping[str, Any]) -> AgentState:
    """A state, or an update of one, as nodes read it.

    Raises:
        ValidationError: it was not written by `plain`.
    """
    made = dict(state)
    if made.get("turn") is not None:
        running = dict(made["turn"])
        for name, kind in _TYPES.items():
            made[name] = kind.validate_python(running.pop(name, _NOTHING[name]))
        made["turn"] = Begun.model_validate(running)
    if "images" in made:
        made["images"] = Records(made["images"])
    if "region" in made:
        made["region"] = _REGION.validate_python(made["region"])
    return cast(AgentState, made)


def plain_update(update: Any, before: Mapping[str, Any]) -> Any:
    """An update of a node for the channels.

    Args:
        before: the state that the node was given, as the channels have it.
    """
    if isinstance(update, Command):
        return replace(update, update=plain_update(update.update, before))
    if isinstance(update, list):
        return [plain_update(each, before) for each in update]
    if not isinstance(update, Mapping):
        return update
    made = plain(update)
    running = {name: made.pop(name) for name in _TYPES if name in made}
    if "turn" in made:
        began = made["turn"]
        made["turn"] = None if began is None else {**began, **_written(running)}
    elif running and before.get("turn") is not None:
        made["turn"] = {**_without(before["turn"], running), **_written(running)}
    return made


def plain(value: Any) -> Any:
    """A value without our types."""
    if isinstance(value, BaseModel) and type(value).__module__.partition(".")[0] == "genllava_agent":
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Overwrite):
        return Overwrite(plain(value.value))
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _written(running: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it is at the beginning."""
    return {name: value for name, value in running.items() if value != _NOTHING[name]}


def _without(turn: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name not in names}
