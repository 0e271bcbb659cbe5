"""How checkpoints are written: by LangGraph's serializer, with a checksum, and with a list of what is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import EXT_PYDANTIC_V2, JsonPlusSerializer
from pydantic import BaseModel

from genllava_agent import records, state
from genllava_agent.stores.artifacts import damaged

_SUM: Final = 16
"""Bytes of the checksum before the data."""
_MODELS: Final[dict[tuple[str, str], type[BaseModel]]] = {
    (made.__module__, made.__name__): made
    for module in (records, state)
    for made in vars(module).values()
    if isinstance(made, type) and issubclass(made, BaseModel) and made.__module__ == module.__name__
}


class Serializer(JsonPlusSerializer):
    """LangGraph's, which makes nothing but its own types, messages and our records of what it reads, whatever somebody
    has written there; records are validated.

    Raises:
        TypeError: something is to be written that cannot be kept.
        ThreadQuarantined: what is read was not written here, or has changed.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=list(_MODELS))
        self._made = self._unpack_ext_hook
        self._unpack_ext_hook = self._revived

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        return kind, _sum(kind, data) + data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, body = data
        if not isinstance(body, bytes) or kind not in ("null", "bytes", "bytearray", "msgpack"):
            raise damaged("a checkpoint")
        if body[:_SUM] != _sum(kind, body[_SUM:]):
            raise damaged("a checkpoint")
        try:
            return super().loads_typed((kind, body[_SUM:]))
        except Exception as error:  # one that the hook raises comes out of the library as a ValueError
            raise damaged(f"a checkpoint, or another version wrote it: {error}") from error

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> Serializer:
        """This list is whole: LangGraph adds nothing to it."""
        return self

    def _revived(self, code: int, data: bytes) -> Any:
        if code == EXT_PYDANTIC_V2:  # LangGraph would make a record of whatever fields there are
            module, name, fields, *_ = ormsgpack.unpackb(data, ext_hook=self._revived, option=_OPTIONS)
            if (module, name) in _MODELS:
                return _MODELS[module, name].model_validate(fields)
        return self._made(code, data)


def serializer() -> Serializer:
    """The one that all stores use."""
    return Serializer()


_OPTIONS: Final = ormsgpack.OPT_NON_STR_KEYS


def _sum(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + b"\0" + data).digest()[:_SUM]
