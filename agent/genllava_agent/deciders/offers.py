"""What a model with tool calling is offered: the verbs, the verbs of the thread, and the agent's tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool
from PIL import Image
from pydantic import ConfigDict, create_model

from genllava.protocols.verbs import ToolSpec
from genllava_agent.deciders.base import Possible
from genllava_tools.offers import MORE_TOOLS, choose, usual_first
from genllava_tools.registry import built_in

UNDERSTAND: Final = ("Ask the small model about a picture.", "The question, in short and plain words.")
GENERATE: Final = ("Draw a new picture.", "All that the picture should show.")
EDIT: Final = ("Make a changed copy of a picture; the picture stays as it is.", "What to change, and into what.")
THREAD_VERBS: Final = {
    "undo": "Take back the user's last request, or the last few, and all that came of it.",
    "redo": "Bring back what undo took last.",
    "retry": "Do the user's last request once more, with another result in the place of the last.",
    "show_image": "Show a picture of this conversation to the user again.",
}
"""What is done to the thread itself."""
IN_THREAD: Final = frozenset({*THREAD_VERBS, MORE_TOOLS})
"""Calls that are no tools of the agent's: they are carried out in the thread itself."""
_TURNS: Final = {"type": "integer", "minimum": 1, "description": "How many requests; 1 where it is left out."}
_IMAGES: Final = "images"
"""Key of a tool's metadata: names of its arguments that are pictures."""


def offers(
    tools: Mapping[str, BaseTool], images: Sequence[str], possible: Possible, speaks: bool, asked: Sequence[str] = (),
    at_most: int = 1000,
) -> list[ToolSpec]:  # fmt: skip
    """The tools that may be called now, as OpenAI has them.

    Args:
        tools: the agent's own, by name, the most useful first.
        images: names of the pictures that exist.
        speaks: the decider sees pictures itself, so that `understand` is of no use to it.
        asked: the names of tools that it has asked for, the newest last; they come before others.
        at_most: of the agent's own tools; what is left out stands in the index of `more_tools`.
    """
    kinds, instruction = possible.kinds, "instruction"
    made = []
    if "understand" in kinds and images and not speaks:
        made.append(_spec("understand", UNDERSTAND[0], {instruction: _text(UNDERSTAND[1]), "image": _named(images)}))
    if "generate" in kinds:
        made.append(_spec("generate", GENERATE[0], {instruction: _text(GENERATE[1])}))
    if "edit" in kinds and images:
        made.append(_spec("edit", EDIT[0], {instruction: _text(EDIT[1]), "image": _named(images)}))
    if "tool" not in kinds:
        return made
    for name, meaning in THREAD_VERBS.items():
        if name != "show_image" or images:
            arguments = {"show_image": {"image": _named(images)}, "undo": {"turns": _TURNS}}.get(name, {})
            made.append(_spec(name, meaning, arguments, optional=("turns",)))
    usable = {name: tool for name, tool in tools.items() if images or not any(_required(tool))}
    offer = choose({name: tool.description for name, tool in usable.items()}, asked, at_most)
    made += [tool_spec(usable[name], images) for name in offer.names]
    return [*made, {"type": "function", "function": offer.more_tools}] if offer.more_tools else made


def by_use(tools: Mapping[str, BaseTool]) -> dict[str, BaseTool]:
    """Tools with the most useful first: the user's own, and those that most requests need."""
    ours = {tool.name for tool in built_in()}
    own = [name for name in tools if name not in ours]
    return {name: tools[name] for name in [*own, *usual_first({name: "" for name in tools if name in ours})]}


def asked_for(messages: Sequence[BaseMessage]) -> list[str]:
    """The names of the tools that were asked for in a conversation, the newest last."""
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    named = [call["args"].get("names") for call in calls if call["name"] == MORE_TOOLS]
    return [str(name) for names in named for name in (names if isinstance(names, list) else [names])]


class PictureArgument(NamedTuple):
    """An argument that is a picture, or a list of them.

    Attributes:
        several: it is a list.
        required: it may not be left out.
    """

    several: bool = False
    required: bool = True


def picture_arguments(tool: BaseTool) -> dict[str, PictureArgument]:
    """The arguments of a tool that are pictures: it is called with their names, and gets PIL images.

    They are named in its metadata, `{"images": ["image"]}`, or annotated as `PIL.Image.Image`, as a list of them, or as
    either of these `| None` where they may be left out.
    """
    if (tool.metadata or {}).get(_IMAGES) is not None:
        return {name: PictureArgument() for name in (tool.metadata or {})[_IMAGES]}
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    try:
        hints = get_type_hints(function) if function is not None else {}
    except (NameError, TypeError):  # annotations of names that are not there when the program runs
        return {}
    found = {name: _picture(hint) for name, hint in hints.items() if name != "return"}
    return {name: each for name, each in found.items() if each is not None}


def _picture(hint: Any) -> PictureArgument | None:
    kinds = [hint]
    if get_origin(hint) in (Union, UnionType):
        kinds = [each for each in get_args(hint) if each is not NoneType]
    if len(kinds) != 1:
        return None
    required = kinds[0] is hint
    if kinds[0] is Image.Image:
        return PictureArgument(False, required)
    several = get_origin(kinds[0]) in (list, Sequence) and get_args(kinds[0]) == (Image.Image,)
    return PictureArgument(True, required) if several else None


def tool_spec(tool: BaseTool, images: Sequence[str]) -> ToolSpec:
    """A tool as OpenAI has it; its arguments that are pictures are names of those that exist."""
    pictures = picture_arguments(tool)
    given: Any = tool.tool_call_schema
    schema: dict[str, Any] = given if isinstance(given, dict) else _without(given, tuple(pictures), tool.name)
    told = schema.get("properties", {})
    chosen = {name: _chosen(each, images, told.get(name, {})) for name, each in pictures.items()}
    if not images:
        chosen = {}
    rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
    others = {name: each for name, each in rest.get("properties", {}).items() if name not in pictures}
    properties = {**others, **chosen}
    required = [*(name for name in rest.get("required", []) if name not in pictures), *_required(tool)]
    parameters = {**rest, "type": "object", "properties": properties, "required": required}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _without(given: Any, pictures: Sequence[str], name: str) -> dict[str, Any]:
    """The schema of a pydantic model without some fields: pictures are names here, whatever the tool takes for them."""
    known = given.model_fields.items()
    fields: Any = {each: (info.annotation, info) for each, info in known if each not in pictures}
    config = ConfigDict(arbitrary_types_allowed=True)
    made: Any = create_model(f"{name}_arguments", __config__=config, **fields)
    return dict(made.model_json_schema())


def _required(tool: BaseTool) -> list[str]:
    return [name for name, each in picture_arguments(tool).items() if each.required]


def _chosen(argument: PictureArgument, images: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an argument that is a picture, with what the tool says of it."""
    said = {"description": given["description"]} if given.get("description") else {}
    if not argument.several:
        return {**_named(images), **said}
    bounds = {key: given[key] for key in ("minItems", "maxItems") if key in given}
    return {"type": "array", "items": _named(images), "description": "Which pictures.", **bounds, **said}


def _spec(name: str, description: str, properties: dict[str, Any], optional: Sequence[str] = ()) -> ToolSpec:
    required = [each for each in properties if each not in optional]
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description}


def _named(images: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(images), "description": "Which picture."}
