"""Visual tools as LangChain tools, for agents that put pictures in the place of their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from PIL import Image

from genllava.errors import InvalidRequest
from genllava_tools.coordinates import DIALECTS, Dialect
from genllava_tools.registry import usable
from genllava_tools.tool import Kind, VisualTool, takes_several

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool


def as_langchain(tool: VisualTool, dialect: Dialect = "0-1") -> StructuredTool:
    """A LangChain tool, which returns words as its content and `{"images": [...], "data": {...}}` as its artifact.

    In its schema a picture is a string, its name. Whoever runs it has to put a PIL image there; which arguments those
    are is told by the annotations of its function: `PIL.Image.Image`, `PIL.Image.Image | None` where it may be left
    out, `list[PIL.Image.Image]` for several. Arguments are checked when it runs, and what is wrong with them is raised
    as an `InvalidRequest` whose message tells the model what to give.

    Args:
        dialect: how the model that calls it writes boxes and points.
    """
    from langchain_core.tools import StructuredTool

    def run(**arguments: Any) -> tuple[str, dict[str, Any]]:
        result = tool.run(arguments, dialect)
        return result.text, {"images": list(result.images), "data": result.data}

    schema = tool.schema(dialect)
    run.__name__ = tool.name
    run.__annotations__ = {name: _annotation(tool, name, name in schema["required"]) for name in tool.pictures}
    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema={"title": tool.name, "description": tool.description, **schema},
        func=run,
        response_format="content_and_artifact",
        metadata={"kind": tool.kind, "needs": [need.name for need in tool.needs]},
    )


def visual_tools(
    names: Iterable[str] | None = None, kinds: Iterable[Kind] | None = None, *, dialect: Dialect = "0-1"
) -> list[StructuredTool]:
    """Visual tools for a LangChain agent: those of some names or kinds, or all that can run here.

    Args:
        names: of the tools.
        kinds: of the tools.
        dialect: how the model that calls them writes boxes and points.

    Raises:
        UnknownTool: there is none of such a name.
        ToolUnavailable: one that was asked for by name cannot run here.
        InvalidRequest: there is no such kind or dialect, or the names are no list.
    """
    if dialect not in DIALECTS:
        raise InvalidRequest(f"dialect={dialect!r} is none: give one of {', '.join(DIALECTS)}")
    return [as_langchain(tool, dialect) for tool in usable(names, kinds)]


def _annotation(tool: VisualTool, argument: str, required: bool) -> Any:
    kind: Any = list[Image.Image] if takes_several(tool, argument) else Image.Image
    return kind if required else kind | None
