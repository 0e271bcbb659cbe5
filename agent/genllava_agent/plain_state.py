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
    "region": TypeAdapter(Region | None),
    "steps": TypeAdapter(list[Step]),
    "turn": TypeAdapter(Begun | None),
    "trials": TypeAdapter(list[Trial]),
    "stream": TypeAdapter(Stream | None),
}


def typed(state: Mapping[str, Any]) -> AgentState:
    """A state with our types in it.

    Raises:
        ValidationError: it was not written by `plain`.
    """
    made = {name: _TYPES[name].validate_python(value) if name in _TYPES else value for name, value in state.items()}
    if "images" in made:
        made["images"] = Records(made["images"])
    return cast(AgentState, made)


def plain(value: Any) -> Any:
    """An update without our types."""
    if isinstance(value, BaseModel) and type(value).__module__.partition(".")[0] == "genllava_agent":
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Command):
        return replace(value, update=plain(value.update))
    if isinstance(value, Overwrite):
        return Overwrite(plain(value.value))
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
