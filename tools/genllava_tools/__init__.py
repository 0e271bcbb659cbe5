"""Visual tools: functions on pictures that people, models and other agents call.

    from genllava_tools import find, tools
    find("crop")(photo, box=(0, 0, 0.5, 1)).image

Importing this loads nothing heavy; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from genllava_tools.coordinates import box_in, point_in
    from genllava_tools.drawing import drawing_with, use_pipeline
    from genllava_tools.errors import (
        EmptyControlMap,
        ToolDeclarationError,
        ToolFailed,
        ToolNameTaken,
        ToolUnavailable,
        UnknownTool,
    )
    from genllava_tools.langchain_tools import as_langchain, visual_tools
    from genllava_tools.middleware import VisualToolsMiddleware
    from genllava_tools.models import release_models, use_model
    from genllava_tools.registry import available, find, tools, unavailable, visual_tool
    from genllava_tools.results import ToolResult
    from genllava_tools.tool import VisualTool

__all__ = [
    "EmptyControlMap",
    "ToolDeclarationError",
    "ToolFailed",
    "ToolNameTaken",
    "ToolResult",
    "ToolUnavailable",
    "UnknownTool",
    "VisualTool",
    "VisualToolsMiddleware",
    "as_langchain",
    "available",
    "box_in",
    "drawing_with",
    "find",
    "point_in",
    "release_models",
    "tools",
    "unavailable",
    "use_model",
    "use_pipeline",
    "visual_tool",
    "visual_tools",
]

_HOMES: Final = {
    "ToolResult": "results",
    "VisualTool": "tool",
    "VisualToolsMiddleware": "middleware",
    "as_langchain": "langchain_tools",
    "available": "registry",
    "box_in": "coordinates",
    "drawing_with": "drawing",
    "find": "registry",
    "point_in": "coordinates",
    "release_models": "models",
    "tools": "registry",
    "unavailable": "registry",
    "use_model": "models",
    "use_pipeline": "drawing",
    "visual_tool": "registry",
    "visual_tools": "langchain_tools",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
