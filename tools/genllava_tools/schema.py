"""JSON schemas of arguments as models read them: flat, without what only pydantic needs, in any dialect of boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from genllava_tools.coordinates import Dialect

_WORDS: Final = {
    "0-1000": ("from 0 to 1 of", "from 0 to 1000, thousandths of"),
    "pixels": ("from 0 to 1 of the picture's width and height", "in pixels"),
}


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model's fields: no titles, no references, and optional fields as what they are when given."""
    schema = model.model_json_schema()
    properties = {name: _plain(each) for name, each in schema.get("properties", {}).items()}
    made: dict[str, Any] = {"type": "object", "properties": properties, "required": schema.get("required", [])}
    return {**made, "additionalProperties": False}


def in_dialect(schema: dict[str, Any], dialect: Dialect, places: Sequence[str]) -> dict[str, Any]:
    """A schema whose boxes and points are written in another dialect.

    Args:
        places: the names of the arguments that are boxes and points, or lists of them.
    """
    if dialect == "0-1":
        return schema
    said, instead = _WORDS[dialect]

    def changed(value: Any) -> Any:
        if isinstance(value, Mapping):
            made = {key: changed(each) for key, each in value.items() if key != "default"}
            if made.get("maximum") == 1:
                made.pop("maximum")
                made |= {"maximum": 1000} if dialect == "0-1000" else {}
            return made
        return value.replace(said, instead) if isinstance(value, str) else value

    properties = schema["properties"]
    return {**schema, "properties": {n: changed(each) if n in places else each for n, each in properties.items()}}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: each for key, each in schema.items() if key not in ("title", "anyOf")}
    if rest.get("default", ...) is None:
        del rest["default"]
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(kinds) == 1:
        rest = {**_plain(kinds[0]), **rest}
    elif kinds:
        rest["anyOf"] = [_plain(each) for each in kinds]
    if isinstance(rest.get("items"), Mapping):
        rest["items"] = _plain(rest["items"])
    return rest
