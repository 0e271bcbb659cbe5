"""What a language model may call: the verbs of this package as function tools, and checks of the calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from genllava.errors import InvalidRequest

GENERATE: Final = "generate_image"
EDIT: Final = "edit_image"
RESULTS: Final = "results"
"""Key of a user's message that is none of the user's: it shows what came of calls, or says what is wrong with them."""

ToolSpec = dict[str, Any]
"""A function tool as OpenAI and chat templates have it: {"type": "function", "function": {"name", ...}}."""


def image_name(number: int) -> str:
    """What picture `number` of a conversation (from 1) is called."""
    return f"image_{number}"


def verb_tools(images: int, can_generate: bool = True, can_edit: bool = True) -> list[ToolSpec]:
    """The tools by which a model draws and edits.

    Args:
        images: pictures in the conversation so far; only these can be named, and without one nothing can be edited.
    """
    names = [image_name(number) for number in range(1, images + 1)]
    prompt = _text("What the picture shows, in full: things, places, colours, style, and any words that stand in it.")
    instruction = _text("What to change, and into what.")
    image = {"type": "string", "enum": names, "description": "The picture to change."}
    tools = []
    if can_generate:
        tools.append(_tool(GENERATE, "Draw a new picture from a description.", {"prompt": prompt}))
    if can_edit and names:
        purpose = "Change a picture as told; the picture itself stays, and a changed copy is made."
        tools.append(_tool(EDIT, purpose, {"image": image, "instruction": instruction}))
    return tools


def without_names(tools: Sequence[ToolSpec]) -> list[ToolSpec]:
    """The same tools with pictures described and not listed.

    Tools stand at the beginning of a prompt: with a list of names in them, every new picture would change it, and all
    that was read of the conversation would have to be read again. `check_call` still knows the names.
    """
    return [{**tool, "function": _without_names(tool["function"])} for tool in tools]


def check_call(tools: Sequence[ToolSpec], name: str, arguments: Mapping[str, Any]) -> str:
    """What is wrong with a call, in words that the model can act on; empty where it fits its schema."""
    specs = {tool["function"]["name"]: tool["function"] for tool in tools}
    if name not in specs:
        return f"There is no tool {name!r}. Those that can be called now: {', '.join(specs) or 'none'}."
    schema = specs[name].get("parameters") or {}
    properties: dict[str, Any] = schema.get("properties", {})
    for argument in arguments:
        if argument not in properties:
            return f"{name} has no argument {argument!r}: it takes {', '.join(properties) or 'none'}."
    for argument in schema.get("required", []):
        if argument not in arguments:
            return f"{name} needs the argument {argument!r}."
    for argument, value in arguments.items():
        if complaint := _misfit(properties[argument], value):
            return f"{argument} of {name} {complaint}."
    return ""


def image_number(name: str, images: int) -> int:
    """The number of a picture that a call names.

    Raises:
        InvalidRequest: there is none of that name.
    """
    for number in range(1, images + 1):
        if name == image_name(number):
            return number
    raise InvalidRequest(f"there is no picture {name!r}: there are {images}")


def _without_names(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {}
    properties = dict(schema.get("properties", {}))
    for name, value in properties.items():
        names = value.get("enum") if isinstance(value, Mapping) else None
        if names and all(isinstance(each, str) and _is_name(each) for each in names):
            rest = {key: part for key, part in value.items() if key != "enum"}
            description = f"{value.get('description', '')} Its name, such as {image_name(1)}.".strip()
            properties[name] = {**rest, "description": description}
    return {**function, "parameters": {**schema, "properties": properties}}


def _is_name(text: str) -> bool:
    number = text.removeprefix(image_name(0)[:-1])
    return number.isdigit() and text == image_name(int(number))


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description}


def _tool(name: str, description: str, properties: dict[str, Any]) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _misfit(schema: Mapping[str, Any], value: Any) -> str:
    """What is wrong with one argument; empty where nothing is. Schemas that say more are the tool's own to check."""
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(map(str, schema['enum']))}, not {value!r}"
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        return ""
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"must be of type {kind}, not {value!r}"
    if isinstance(value, str) and len(value.strip()) < schema.get("minLength", 0):
        return "must not be empty"
    return ""
