"""How the values of checkpoints are written: as LangGraph does, under a checksum."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from typing import Any, Final

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from genllava_agent.stores.artifacts import damaged

_SUM: Final = 16
"""Bytes of the checksum before the data."""
_KEPT: Final = 4096
"""Lists of messages that are kept as they were read: a long thread is read again with every turn."""


class Serializer(JsonPlusSerializer):
    """LangGraph's, which makes nothing but its own types and messages of what it reads, whatever somebody has written
    there.

    Raises:
        TypeError: something is to be written that cannot be kept.
        ThreadQuarantined: what is read was not written here, or has changed.
    """

    def __init__(self) -> None:
        super().__init__(allowed_msgpack_modules=[])
        self._messages: dict[bytes, list[BaseMessage]] = {}
        self._guard = threading.Lock()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        return kind, _sum(kind, data)[:_SUM] + data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, body = data
        if not isinstance(body, bytes) or kind not in ("null", "bytes", "bytearray", "msgpack"):
            raise damaged("a checkpoint")
        found = _sum(kind, body[_SUM:])
        if body[:_SUM] != found[:_SUM]:
            raise damaged("a checkpoint")
        if (known := self._messages.get(found)) is not None:
            return _copied(known)
        try:
            value = super().loads_typed((kind, body[_SUM:]))
        except Exception as error:  # LangGraph raises whatever it stumbles upon
            raise damaged(f"a checkpoint, or another version wrote it: {error}") from error
        if isinstance(value, list) and value and all(isinstance(each, BaseMessage) for each in value):
            with self._guard:
                self._messages[found] = _copied(value)
                while len(self._messages) > _KEPT:
                    del self._messages[next(iter(self._messages))]
        return value

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> Serializer:
        """This list is whole: LangGraph adds nothing to it."""
        return self


def serializer() -> Serializer:
    """The one that all stores use."""
    return Serializer()


def _copied(messages: list[BaseMessage]) -> list[BaseMessage]:
    """The same with fields of their own; what is in these is shared, since to copy that takes as long as to read it."""
    return [message.model_copy() for message in messages]


def _sum(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + b"\0" + data).digest()
