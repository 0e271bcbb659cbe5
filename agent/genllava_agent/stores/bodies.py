"""Heads and turns as text with a sum, so that what was changed behind our back is noticed."""

from __future__ import annotations

import hashlib

from genllava_agent.records import Head, Turn
from genllava_agent.stores.artifacts import damaged
from genllava_agent.stores.faults import storing


def written(record: Head | Turn) -> tuple[str, str]:
    """(body, sum) of a record."""
    body = record.model_dump_json()
    return body, _sum(body)


def read_head(row: object) -> Head:
    """The head in (body, sum).

    Raises:
        ThreadQuarantined: it is missing or damaged.
    """
    body = _intact(row, "its head")
    with storing():
        return Head.model_validate_json(body)


def read_turn(row: object, key: str) -> Turn:
    """The turn `key` in (body, sum).

    Raises:
        ThreadQuarantined: it is missing or damaged, or another one.
    """
    body = _intact(row, f"turn {key}")
    with storing():
        turn = Turn.model_validate_json(body)
    if turn.id != key:
        raise damaged(f"turn {key}")
    return turn


def _intact(row: object, what: str) -> str:
    match row:
        case (str(body), str(expected)) if _sum(body) == expected:
            return body
    raise damaged(what)


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest()
