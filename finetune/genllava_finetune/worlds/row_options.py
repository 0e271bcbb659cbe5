"""Options of a world's rows, as a recipe has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from genllava.errors import InvalidRequest

Options = TypeVar("Options", bound=BaseModel)


def read_options(kind: type[Options], options: Mapping[str, Any] | None, world: str) -> Options:
    """Options of a kind; its defaults if None.

    Args:
        world: the world's name, for messages.

    Raises:
        InvalidRequest: one is unknown, or has a value that does not fit.
    """
    try:
        return kind.model_validate(dict(options or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "options"
        known = ", ".join(kind.model_fields)
        raise InvalidRequest(f"world {world}: {name}: {first['msg']} (options: {known})") from None
