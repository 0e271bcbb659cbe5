"""What a planning chat model may call, as it is now: pictures are an enumeration of those that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from genllava_agent.records import Kind
from genllava_agent.state import Action


@dataclass(frozen=True, slots=True)
class Verb:
    """What a verb of the pipeline is called as a tool.

    Attributes:
        name, description: of the tool.
        words: its argument that says what to do.
        meaning: description of that argument.
    """

    name: str
    description: str
    words: str
    meaning: str


PLANNER_VERBS: Final[dict[Kind, Verb]] = {
    "understand": Verb(
        "understand", "Ask the small model about a picture.", "instruction", "The question, in short and plain words."
    ),
    "generate": Verb(
        "generate",
        "Have a new picture drawn.",
        "instruction",
        "All that the picture should show, in short and plain words.",
    ),
    "edit": Verb(
        "edit",
        "Have a changed copy of a picture made; the picture stays as it is.",
        "instruction",
        "What to change, and into what.",
    ),
}
"""For a chat model that directs ours, which knows little."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool that may be called now.

    Attributes:
        spec: of it, as OpenAI has it.
        kind: what kind of action a call is.
        arguments: checks those that are not pictures.
        pictures: names of the arguments that are pictures.
        names: of the pictures that exist.
        words: the argument that says what to do, of a verb.
    """

    spec: dict[str, Any]
    kind: Kind
    arguments: type[BaseModel] | None
    pictures: tuple[str, ...]
    names: tuple[str, ...]
    words: str = "instruction"

    def action(self, given: Mapping[str, Any]) -> Action | str:
        """What a call with these arguments does, or what is wrong with it, in words."""
        parameters = self.spec["function"]["parameters"]
        known, required = parameters["properties"], parameters.get("required", [])
        if unknown := [name for name in given if name not in known]:
            return f"there is no argument {unknown[0]!r}: {', '.join(known)}"
        if missing := [name for name in required if name not in given]:
            return f"the argument {missing[0]!r} is missing"
        wrong = [name for name in self.pictures if name in given and given[name] not in self.names]
        if wrong:
            return f"there is no picture {given[wrong[0]]!r}; those that there are: {', '.join(self.names)}"
        if self.arguments is not None:
            try:
                self.arguments.model_validate({name: given[name] for name in given if name not in self.pictures})
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                return f"{'.'.join(map(str, first['loc']))}={first['input']!r}: {first['msg']}"
        if self.kind == "tool":
            return Action(kind="tool", tool=self.spec["function"]["name"], arguments=dict(given))
        return Action(kind=self.kind, instruction=given[self.words].strip(), image=given.get("image"))


def offers(
    tools: Mapping[str, BaseTool],
    names: Sequence[str],
    possible: Sequence[Kind],
    verbs: Mapping[Kind, Verb] = PLANNER_VERBS,
) -> dict[str, Offer]:
    """Those tools that can be called, by name.

    Args:
        tools: the agent's own.
        names: of the pictures that exist.
        possible: kinds of action.
        verbs: what the pipeline's own are called.
    """
    can = [kind for kind in possible if kind in verbs and (names or kind == "generate")]
    result: dict[str, Offer] = {verbs[kind].name: _verb(kind, verbs[kind], names) for kind in can}
    if "tool" in possible:
        own = {name: _tool(tool, names) for name, tool in tools.items()}
        result |= {name: offer for name, offer in own.items() if names or not offer.pictures}
    return result


def _verb(kind: Kind, verb: Verb, names: Sequence[str]) -> Offer:
    field: Any = {verb.words: (str, Field(min_length=1, description=verb.meaning))}
    config = ConfigDict(strict=True, str_strip_whitespace=True)
    arguments = create_model(f"{verb.name}_arguments", __config__=config, **field)
    pictures = () if kind == "generate" else ("image",)
    spec = _spec(verb.name, verb.description, arguments.model_json_schema(), pictures, names)
    return Offer(spec, kind, arguments, pictures, tuple(names), verb.words)


def _tool(tool: BaseTool, names: Sequence[str]) -> Offer:
    pictures = tuple((tool.metadata or {}).get("images", ()))
    schema: Any = tool.tool_call_schema
    arguments: type[BaseModel] | None = None
    if not isinstance(schema, dict):  # pictures are names here, whatever the tool takes in their place
        infos = schema.model_fields.items()
        fields: Any = {name: (info.annotation, info) for name, info in infos if name not in pictures}
        config = ConfigDict(arbitrary_types_allowed=True)
        arguments = create_model(f"{tool.name}_arguments", __config__=config, **fields)
        schema = arguments.model_json_schema()
    spec = _spec(tool.name, tool.description, schema, pictures, names)
    return Offer(spec, "tool", arguments, pictures, tuple(names))


def _spec(
    name: str, description: str, schema: dict[str, Any], pictures: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """A tool as OpenAI has it; arguments that are pictures are names of pictures that exist."""
    chosen = {picture: {"type": "string", "enum": list(names), "description": "Which picture."} for picture in pictures}
    rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
    properties = {**rest.get("properties", {}), **chosen}
    required = [*(name for name in rest.get("required", []) if name not in chosen), *chosen]
    parameters = {**rest, "type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
