"""The state as plain data, for checkpointers that are not ours: they need to know none of our types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, get_args, get_type_hints

from langchain_core.runnables import Runnable
from langgraph.runtime import get_runtime
from langgraph.types import Command, Overwrite
from pydantic import BaseModel

from genllava_agent.background import in_background
from genllava_agent.interop.foreign import wanted_while
from genllava_agent.records import ImageRecord, Request, Step
from genllava_agent.state import Action, Stream

Node = Callable[..., Any]


class PlainNode(Runnable[Any, Any]):
    """A node on plain data, for graphs that may be awaited: where its task is cancelled, it stops.

    Attributes:
        name: of the node.
        destinations: where it may go, by its annotation.
    """

    def __init__(self, node: Node) -> None:
        self._node = plain(node)
        self.name: str = node.__name__
        goto = get_args(get_type_hints(node)["return"])
        self.destinations = get_args(goto[0]) if goto[:1] and get_args(goto[0]) else ()

    def invoke(self, input: Any, config: Any = None, **_: Any) -> Any:
        return self._node(input, get_runtime())

    async def ainvoke(self, input: Any, config: Any = None, **_: Any) -> Any:
        def run(cancel: Callable[[], bool]) -> Any:
            with wanted_while(cancel):
                return self.invoke(input)

        return await in_background(run)


def plain(node: Node) -> Node:
    """A node whose state is plain data outside of it, and typed inside."""

    @wraps(node)
    def run(state: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        result = node(revived(state), *args, **kwargs)
        if isinstance(result, Command):
            return Command(goto=result.goto, update=dumped(result.update))
        return dumped(result)

    return run


def revived(state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` with our types in it.

    Raises:
        ValidationError: it was not written by `dumped`.
    """
    return {name: _REVIVERS[name](value) if name in _REVIVERS else value for name, value in state.items()}


def dumped(value: Any) -> Any:
    """`value` with none of our types in it."""
    if isinstance(value, BaseModel) and type(value) in _OURS:
        return value.model_dump(mode="json")
    if isinstance(value, Overwrite):
        return Overwrite(dumped(value.value))
    if isinstance(value, dict):
        return {name: dumped(item) for name, item in value.items()}
    return [dumped(item) for item in value] if isinstance(value, list) else value


_OURS: Final = (Action, ImageRecord, Request, Step, Stream)
_REVIVERS: Final[dict[str, Callable[[Any], Any]]] = {
    "request": Request.model_validate,
    "images": lambda images: {name: ImageRecord.model_validate(record) for name, record in images.items()},
    "steps": lambda steps: [Step.model_validate(step) for step in steps],
    "action": lambda action: None if action is None else Action.model_validate(action),
    "stream": Stream.model_validate,
}
