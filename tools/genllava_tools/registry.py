"""All visual tools by name: those of this package, and those that users declare with `@visual_tool`."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from genllava.errors import InvalidRequest
from genllava_tools.errors import ToolNameTaken, ToolUnavailable, UnknownTool
from genllava_tools.tool import KINDS, Kind, Need, VisualTool, declare

BUILT_IN: Final = (
    "look",
    "figures",
    "detection",
    "recognition",
    "faces",
    "depth",
    "regions",
    "ocr",
    "safety",
    "edges",
    "shape",
    "super_resolution",
    "tones",
    "style",
    "composing",
    "removal",
    "inpainting",
    "mark",
    "control_lines",
    "control_depth",
    "control_pose",
    "control_regions",
    "control_shuffle",
    "generation",
)
"""The modules of this package that declare tools, in the order in which tools are listed."""

_TOOLS: Final[dict[str, VisualTool]] = {}
_LOCK: Final = threading.RLock()
_PACKAGE: Final = __name__.rpartition(".")[0]
_loaded = False


def visual_tool(
    *, kind: Kind, needs: Sequence[Need] = (), name: str | None = None
) -> Callable[[Callable[..., Any]], VisualTool]:
    """Make a tool of a function on PIL images, and list it.

    The function's docstring is what models are told of it. Each argument has a type with a description and bounds: one
    of `genllava_tools.arguments`, or `Annotated[float, Field(ge=0, le=1, description="...")]`. It returns an image, a
    text, a dictionary of plain values, several of these in a tuple, or a `ToolResult`.

    Args:
        kind: what it is for.
        needs: packages or weights without which it cannot run.
        name: by which models call it; the function's, where none is given.

    Raises:
        ToolDeclarationError: the function cannot be a tool as it is written.
        ToolNameTaken: there is a tool of that name; the same function declared again (a notebook's cell run twice)
            takes its own place.
    """

    def made(function: Callable[..., Any]) -> VisualTool:
        tool = declare(function, name or function.__name__, kind, needs)
        with _LOCK:
            if not function.__module__.startswith(f"{_PACKAGE}."):
                _load()
            other = _TOOLS.get(tool.name)
            if other is not None and not _same(other.function, function):
                raise ToolNameTaken(f"there is a tool {tool.name!r} already: give this one another name")
            _TOOLS[tool.name] = tool
        return tool

    return made


def tools(kinds: Iterable[Kind] | None = None) -> list[VisualTool]:
    """All tools, or those of some kinds; those too that cannot run here (`VisualTool.missing` says why).

    Raises:
        InvalidRequest: there is no such kind.
    """
    wanted = None if kinds is None else set(kinds)
    if wanted is not None and not wanted <= set(KINDS):
        raise InvalidRequest(f"kinds={kinds!r} are none: give a list of {', '.join(KINDS)}")
    with _LOCK:
        _load()
        places = {f"{_PACKAGE}.{module}": place for place, module in enumerate(BUILT_IN)}
        found = [tool for tool in _TOOLS.values() if wanted is None or tool.kind in wanted]
        return sorted(found, key=lambda tool: places.get(tool.function.__module__, len(places)))


def built_in() -> list[VisualTool]:
    """The tools of this package, without those that users declare."""
    homes = {f"{_PACKAGE}.{module}" for module in BUILT_IN}
    return [tool for tool in tools() if tool.function.__module__ in homes]


def available(kinds: Iterable[Kind] | None = None) -> list[VisualTool]:
    """The tools that can run here."""
    return [tool for tool in tools(kinds) if not tool.missing]


def unavailable() -> dict[str, str]:
    """The tools that cannot run here: in one line each, by name, what is missing and how to get it."""
    return {tool.name: tool.missing for tool in tools() if tool.missing}


def find(name: str) -> VisualTool:
    """The tool of that name.

    Raises:
        UnknownTool: there is none; the message names those that are close.
    """
    with _LOCK:
        _load()
        if name in _TOOLS:
            return _TOOLS[name]
        near = difflib.get_close_matches(str(name), _TOOLS, 3)
        instead = f"use {' or '.join(near)}" if near else f"there are {', '.join(tool.name for tool in tools())}"
    raise UnknownTool(f"there is no tool {name!r}: {instead}")


def usable(names: Iterable[str] | None = None, kinds: Iterable[Kind] | None = None) -> list[VisualTool]:
    """The tools that are asked for and can run here.

    Args:
        names: of the tools; all of `kinds` where none are given.
        kinds: of the tools; all, where none are given.

    Raises:
        UnknownTool: there is none of such a name.
        ToolUnavailable: one that was asked for by name cannot run here.
        InvalidRequest: the names are no list, or there is no such kind.
    """
    if isinstance(names, str):
        raise InvalidRequest(f"names={names!r} is one name: give a list of them")
    if names is None:
        return available(kinds)
    wanted = None if kinds is None else set(kinds)
    found = [find(name) for name in names]
    for tool in found:
        if tool.missing:
            raise ToolUnavailable(f"{tool.name} {tool.missing}")
    return [tool for tool in found if wanted is None or tool.kind in wanted]


def forget(name: str) -> None:
    """Take a tool off the list.

    Raises:
        UnknownTool: there is none of that name.
    """
    with _LOCK:
        del _TOOLS[find(name).name]


def _load() -> None:
    global _loaded
    if not _loaded:
        _loaded = True  # set first: the modules declare tools while they are imported
        try:
            for module in BUILT_IN:
                import_module(f"{_PACKAGE}.{module}")
        except BaseException:
            _loaded = False
            raise


def _same(function: Callable[..., Any], other: Callable[..., Any]) -> bool:
    def place(each: Callable[..., Any]) -> tuple[str, str]:
        return each.__module__, each.__qualname__

    return place(function) == place(other) and "<locals>" not in function.__qualname__
