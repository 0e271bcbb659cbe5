"""How the state of a waiting turn is written: plain data and our own records, and nothing else is ever made of it.

What is read is compared with a sum first, and then made only of the types named here, which are imported already: a
name in the data is looked up in a table and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import ormsgpack
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.types import Interrupt, Overwrite
from pydantic import BaseModel

from genllava_agent import records, state
from genllava_agent.stores.artifacts import WAITING_STATE, damaged

_MODELS: Final[dict[str, type[BaseModel]]] = {
    model.__name__: model
    for model in (
        records.ImageRecord,
        records.Step,
        records.Tried,
        records.Request,
        records.Region,
        records.Question,
        state.Action,
        state.Stream,
        AIMessage,
        HumanMessage,
        SystemMessage,
        ToolMessage,
    )
}
_SEQUENCES: Final[dict[str, type[Any]]] = {"set": set, "frozenset": frozenset}
_EXTENSION: Final = 71
"""Of msgpack, for everything that is not plain data: (name, fields)."""
_SUM: Final = 16
"""Bytes of the sum before the data."""
_OPTIONS: Final = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_REPLACE_SURROGATES
)


class Serializer(SerializerProtocol):
    """Writes and reads what LangGraph's savers keep.

    Raises:
        TypeError: something is to be written that is not in the list.
        ThreadQuarantined: what is read was not written here, or has changed.
    """

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if obj is None:
            return "null", b""
        data = _packed(obj)
        return "msgpack", _sum(data) + data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, body = data
        if kind == "null" and not body:
            return None
        if kind != "msgpack" or not isinstance(body, bytes) or body[:_SUM] != _sum(body[_SUM:]):
            raise damaged(WAITING_STATE)
        try:
            return ormsgpack.unpackb(body[_SUM:], ext_hook=_revived, option=ormsgpack.OPT_NON_STR_KEYS)
        except Exception as error:  # one that the hook raises comes out of the library as a ValueError
            raise damaged(WAITING_STATE) from error

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> Serializer:
        """This list is whole: LangGraph adds nothing to it."""
        return self


def serializer() -> Serializer:
    """The one that all stores use."""
    return Serializer()


def _packed(obj: Any) -> bytes:
    return ormsgpack.packb(obj, default=_plain, option=_OPTIONS)


def _plain(obj: Any) -> ormsgpack.Ext | str:
    if isinstance(obj, BaseException):
        return repr(obj)
    name = type(obj).__name__
    if _MODELS.get(name) is type(obj):
        fields: Any = dict(obj)  # nested records stay records
    elif isinstance(obj, Interrupt):  # the schema of the answer is the graph's, and not kept
        name, fields = "Interrupt", {"value": obj.value, "id": obj.id}
    elif isinstance(obj, Overwrite):
        name, fields = "Overwrite", obj.value
    elif _SEQUENCES.get(name) is type(obj):
        fields = list(obj)
    else:
        raise TypeError(f"{type(obj).__module__}.{name} is not kept in the state of a turn")
    return ormsgpack.Ext(_EXTENSION, _packed((name, fields)))


def _revived(code: int, data: bytes) -> Any:
    if code != _EXTENSION:
        raise ValueError("an extension that is not written here")
    name, fields = ormsgpack.unpackb(data, ext_hook=_revived, option=ormsgpack.OPT_NON_STR_KEYS)
    if name in _MODELS:
        return _MODELS[name].model_validate(fields)
    if name == "Interrupt":
        return Interrupt(value=fields["value"], id=fields["id"])
    if name == "Overwrite":
        return Overwrite(fields)
    return _SEQUENCES[name](fields)


def _sum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_SUM]
