"""The arguments of a call, written by constrained decoding: what comes next is chosen among what the schema allows.

    crop image=image_2 box=[0, 0.25, 0.5, 1]

A number without choices is one of a few that its bounds suggest, a place lies on quarters of the picture, and free text
is some words of the request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from genllava.protocols.shapes.tokens import USER_START

Scores = Callable[[str, Sequence[str]], Sequence[float]]
"""How likely each of some texts comes next, after those so far: `Conversation.scores`."""
_WANTED: Final = math.log(0.5)
"""How likely an argument must be that may be left out, against what the model would write in its place."""
_QUARTERS: Final = (0, 0.25, 0.5, 0.75, 1)
_FEW: Final = 16
"""Numbers between two bounds that are all possible."""
_RIGHT_ANGLE: Final = 90
_LONGEST: Final = 12
"""Words of the request that a text is made of, unless it is all that follow."""
_COLORS: Final = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray", "white",
)  # fmt: skip


class CallWriter:
    """Writes the arguments of one call.

    Args:
        scores: tells what comes next.
        picture: chooses one of several pictures by their names.
        request: the words of which text is made.
        name: of the tool.
    """

    def __init__(self, scores: Scores, picture: Callable[[Sequence[str]], str], request: str, name: str) -> None:
        self._scores, self._picture, self._words = scores, picture, request.split()
        self._said = name

    def write(
        self, parameters: Mapping[str, Any], pictures: Sequence[str], given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The arguments that are required, and those others that the model goes on to.

        Args:
            parameters: their JSON schema; pictures are names of pictures in it.
            pictures: arguments that are pictures.
            given: arguments that are not left to the model.
        """
        given = given or {}
        schemas: Mapping[str, Any] = parameters.get("properties", {})
        required = [name for name in schemas if name in given or name in parameters.get("required", ())]
        others = [name for name in schemas if name not in (*required, *pictures) and can_choose(schemas[name])]
        made = dict[str, Any]()
        for name in required:
            made[name] = self._argument(name, schemas[name], name in pictures, given)
        while others:
            ends, *likely = self._scores(self._said, [USER_START, *(f"{name}=" for name in others)])
            if max(likely) < max(ends, _WANTED):  # the call has ended: what comes next is its result
                break
            name = others.pop(likely.index(max(likely)))
            made[name] = self._argument(name, schemas[name], False, given)
        return made

    def _argument(self, name: str, schema: Mapping[str, Any], picture: bool, given: Mapping[str, Any]) -> Any:
        self._said += f" {name}="
        before = self._said
        write = self._pictures if picture else partial(self._value, name)
        value = given[name] if name in given else write(schema)
        self._said = before + _text(value)
        return value

    def _pictures(self, schema: Mapping[str, Any]) -> Any:
        """A picture, or as many as are needed, those first that the call does not name yet."""
        names = schema.get("items", schema)["enum"]
        chosen: list[str] = []
        for _ in range(schema.get("minItems", 1)):
            others = [name for name in names if name not in self._said.replace("=", " ").split() + chosen]
            chosen.append(self._picture(others or names))
        return chosen if schema.get("type") == "array" else chosen[0]

    def _value(self, name: str, schema: Mapping[str, Any]) -> Any:
        schema = _plain(schema)
        if schema.get("type") == "array":
            return self._list(name, schema)
        values = _values(name, schema)
        return self._span(schema.get("maxLength")) if values is None else self._one(values)

    def _list(self, name: str, schema: Mapping[str, Any]) -> list[Any]:
        made, before, box = list[Any](), self._said, _is_box(schema)
        for place in range(max(1, schema.get("minItems", 1))):
            self._said = before + "[" + "".join(f"{_text(value)}, " for value in made)
            if not box:
                made.append(self._value(name, schema["items"]))
            elif place < 2:
                made.append(self._one(_QUARTERS[:-1]))
            else:  # the right and the lower side of a box, beyond the left and the upper one
                made.append(self._one([side for side in _QUARTERS if side > made[place - 2]]))
        return made

    def _one(self, values: Sequence[Any]) -> Any:
        scores = self._scores(self._said, [_text(value) for value in values])
        return values[max(range(len(values)), key=scores.__getitem__)]

    def _span(self, longest: int | None) -> str:
        """Words of the request: where they begin, and how far they go, at most `longest` letters."""
        words = self._words[self._words.index(self._one(self._words)) :]
        ends = [*range(1, min(len(words), _LONGEST) + 1), *([len(words)] if len(words) > _LONGEST else [])]
        spans = [" ".join(words[:end])[:longest] for end in ends]
        return str(self._one(list(dict.fromkeys(spans))))


def can_choose(schema: Mapping[str, Any]) -> bool:
    """Whether an argument can be written: not so a number without bounds, or an object."""
    schema = _plain(schema)
    if schema.get("type") == "array":
        return can_choose(schema.get("items", {}))
    return schema.get("type") == "string" or bool(_values("", schema))


def _plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of what may be left out, without that."""
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else schema


def _is_box(schema: Mapping[str, Any]) -> bool:
    items = schema.get("items", {})
    return (schema.get("minItems"), schema.get("maxItems"), items.get("minimum"), items.get("maximum")) == (4, 4, 0, 1)


def _values(name: str, schema: Mapping[str, Any]) -> list[Any] | None:
    """What an argument may be; None where it is free text, nothing where it cannot be chosen."""
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    kind = schema.get("type")
    if kind == "boolean":
        return [True, False]
    if kind in ("integer", "number"):
        return _numbers(schema, whole=kind == "integer")
    if kind != "string":
        return []
    return list(_COLORS) if name.rpartition("_")[2] in ("color", "colour") else None


def _numbers(schema: Mapping[str, Any], whole: bool) -> list[float]:
    """Numbers that a schema allows: right angles, quarters or whole numbers where they are few, else powers of two."""
    low, high = schema.get("minimum"), schema.get("maximum")
    least, most = schema.get("exclusiveMinimum", low), schema.get("exclusiveMaximum", high)
    if least is None or most is None:
        return []
    span = most - least
    found: set[float] = {least, most, *([schema["default"]] if schema.get("default") is not None else [])}
    if span >= 2 * _RIGHT_ANGLE and most % _RIGHT_ANGLE == least % _RIGHT_ANGLE == 0:
        found |= set(range(int(least), int(most), _RIGHT_ANGLE))
    elif not whole and span <= _FEW / 4:
        found |= {quarter / 4 for quarter in range(math.ceil(4 * least), math.floor(4 * most) + 1)}
    elif span < _FEW:
        found |= set(range(math.ceil(least), math.floor(most) + 1))
    else:
        found |= {sign * 2**power for power in range(int(most).bit_length()) for sign in (1, -1)}
    return sorted(n for n in found if least < n < most or n in (low, high))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
