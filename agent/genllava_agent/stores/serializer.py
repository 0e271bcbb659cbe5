"""How the state of a waiting turn is written: plain data and our own records, and nothing else is ever made of it."""

from __future__ import annotations

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from genllava_agent import records


def serializer() -> JsonPlusSerializer:
    """LangGraph's own, which revives no type but ours and never unpickles."""
    ours = [records.ImageRecord, records.Step, records.Request, records.Region, records.Question]
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=ours)
