"""Which tools a model is offered at once: small models drown in fifty schemas, so the others stand in an index.

    offer = choose(usual_first({tool.name: tool.description for tool in available()}), asked)
    offer.names                    # those to offer with their schemas
    offer.more_tools               # the schema of `more_tools` with the index, where there are others
    asked += asked_for(call["args"], tools)     # after a call of it: these are offered in the steps that follow
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genllava.errors import InvalidRequest

MORE_TOOLS: Final = "more_tools"
"""The name of the tool by which a model asks for others."""
AT_MOST: Final = 12
"""Tools that are offered at once, where nothing else is said."""
USUAL: Final = (
    "zoom_in",
    "crop",
    "measure",
    "read_text",
    "detect",
    "segment",
    "resize",
    "adjust",
    "remove_background",
    "add_text",
    "side_by_side",
)
"""The tools that most requests need."""
_LINE: Final = 120
"""Characters of a line of the index."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model is offered in one step.

    Attributes:
        names: of the tools with their schemas.
        others: the other tools, a line each, by name.
        most: that can be asked for in one call.
    """

    names: tuple[str, ...]
    others: Mapping[str, str] = field(default_factory=dict)
    most: int = AT_MOST

    @property
    def more_tools(self) -> dict[str, Any] | None:
        """The tool that offers others: `name`, `description` with the index of them, and `parameters`, a JSON schema;
        None where there are no others."""
        if not self.others:
            return None
        index = "\n".join(f"{name}: {line}" for name, line in self.others.items())
        says = "Get other tools, by their names; you can call them from your next step on. There are:"
        names = {
            "type": "array",
            "items": {"type": "string", "enum": list(self.others)},
            "minItems": 1,
            "maxItems": self.most,
            "description": "The names of the tools.",
        }
        parameters = {
            "type": "object",
            "properties": {"names": names},
            "required": ["names"],
            "additionalProperties": False,
        }
        return {"name": MORE_TOOLS, "description": f"{says}\n{index}", "parameters": parameters}


def choose(tools: Mapping[str, str], asked: Sequence[str] = (), at_most: int = AT_MOST) -> Offer:
    """Choose the tools that are offered in a step.

    Args:
        tools: all of them: descriptions by name, the most useful first.
        asked: the names that were asked for so far, the newest last; they come before the others.
        at_most: how many are offered at once, `more_tools` among them.

    Raises:
        InvalidRequest: `at_most` is less than two.
    """
    if at_most < 2:
        raise InvalidRequest("at least two tools must be offered at once: one, and `more_tools`")
    if len(tools) <= at_most:
        return Offer(tuple(tools))
    newest = [name for name in dict.fromkeys(reversed(asked)) if name in tools]
    chosen = set(list(dict.fromkeys([*newest, *tools]))[: at_most - 1])
    others = {name: first_sentence(says, _LINE) for name, says in tools.items() if name not in chosen}
    return Offer(tuple(name for name in tools if name in chosen), others, min(at_most - 1, len(others)))


def usual_first(tools: Mapping[str, str]) -> dict[str, str]:
    """Tools with those that most requests need at the front."""
    return {name: tools[name] for name in (*(name for name in USUAL if name in tools), *tools)}


def asked_for(arguments: Mapping[str, Any], tools: Mapping[str, str]) -> list[str]:
    """The names in a call of `more_tools`.

    Raises:
        InvalidRequest: it names none, or one that does not exist; the message says which there are.
    """
    given = arguments.get("names")
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names:
        raise InvalidRequest(f"{MORE_TOOLS}: `names` must be a list of names of tools: {', '.join(tools)}")
    if unknown := [name for name in names if name not in tools]:
        raise InvalidRequest(f"{MORE_TOOLS}: there is no tool {unknown[0]!r}: there are {', '.join(tools)}")
    return names


def first_sentence(text: str, longest: int | None = None) -> str:
    """The first sentence of a description in one line, with a full stop.

    Args:
        longest: characters of it; a longer one is cut.
    """
    line = " ".join(text.split())
    for end in (". ", ": "):
        if end in line:
            line = line[: line.index(end)]
    line = line.removesuffix(".")
    return line[: longest - 1].rstrip() + "…" if longest is not None and len(line) >= longest else line + "."
