"""The turns of a thread, read from its messages, and what is asked of them again and again.

A turn is what the user said until the assistant's reply. Its reply keeps in `response_metadata["turn"]` what messages
have no place for; a turn of somebody else's assistant has no such note, and is read from its messages alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from genllava.errors import InvalidRequest
from genllava_agent.messages import PROVIDER, blocks, is_text, records_in, reference, text_of, with_images
from genllava_agent.records import ImageRecord, Request, Turn

TURN: Final = "turn"
"""Key of a reply's `response_metadata`."""
_ELSEWHERE: Final = {"id", "parent", "images", "text"}
"""Fields of a turn that its messages have."""


class History(tuple[Turn, ...]):
    """Turns, the first one first. What is worked out of them goes on to longer histories: no turn pays for all that
    were before it."""

    @cached_property
    def records(self) -> dict[str, ImageRecord]:
        """Their pictures, by name, in their order."""
        return {record.id: record for turn in self for record in turn.images}

    @cached_property
    def _windows(self) -> dict[int, tuple[int, int]]:
        """By the most tokens of a window: its start, and the tokens that are in it."""
        return {}

    def then(self, turn: Turn) -> History:
        """The history with a turn more."""
        longer = History((*self, turn))
        longer.records = self.records | {record.id: record for record in turn.images} if turn.images else self.records
        longer._windows = {most: longer._moved(most, len(self), *window) for most, window in self._windows.items()}
        return longer

    def window_start(self, most: int) -> int:
        """How many of the first turns a conversation leaves out, so that at most `most` tokens are read again and
        again.

        When that is exceeded, turns are left out until half of it remains: until the next time, what is read stays the
        same, and nothing has to be read anew.
        """
        if most not in self._windows:
            start = total = 0
            for place in range(len(self)):
                start, total = self._moved(most, place, start, total)
            self._windows[most] = start, total
        return self._windows[most][0]

    def _moved(self, most: int, place: int, start: int, total: int) -> tuple[int, int]:
        """The window after the turn at `place`, from what it was before."""
        total += len(self[place].stream)
        if total > most:
            while start <= place and total > most // 2:
                total -= len(self[start].stream)
                start += 1
        return start, total


_NOTHING: Final = History()


def exchanges(messages: Sequence[AnyMessage]) -> list[list[AnyMessage]]:
    """Messages by turns: a turn begins where the user speaks after a reply."""
    turns: list[list[AnyMessage]] = []
    replied = True
    for message in messages:
        if isinstance(message, HumanMessage) and replied:
            turns.append([])
            replied = False
        elif not turns:  # the assistant spoke first, or somebody gave instructions
            turns.append([])
        replied = replied or is_reply(message)
        turns[-1].append(message)
    return turns


def is_reply(message: BaseMessage) -> bool:
    """Whether the assistant says something and calls nothing."""
    return isinstance(message, AIMessage) and not message.tool_calls


def read_history(turns: Sequence[Sequence[AnyMessage]], known: History = _NOTHING) -> History:
    """The turns in their messages.

    Args:
        turns: all of them finished.
        known: turns that were read before; as far as they are the first ones they are not read again.
    """
    same = 0
    for messages, turn in zip(turns, known, strict=False):
        reply = _own(messages)
        if reply is None or reply.id != turn.id or not _shown_still(turn, messages):
            break
        same += 1
    history = known if same == len(known) else History(known[:same])
    for messages in turns[same:]:
        history = history.then(turn_of(messages, history[-1] if history else None))
    return history


def _shown_still(turn: Turn, messages: Sequence[AnyMessage]) -> bool:
    """Whether nobody has removed messages with pictures of a turn."""
    if not turn.images:
        return True
    shown = {block.get("id") for message in messages for block in blocks(message) if isinstance(block, Mapping)}
    return all(record.id in shown for record in turn.images)


def turn_of(messages: Sequence[AnyMessage], before: Turn | None) -> Turn:
    """The turn that was said in these messages."""
    parent, number = (None, 1) if before is None else (before.id, before.number + 1)
    reply = _own(messages)
    if reply is not None:
        shown = {record.id: record for message in messages for record in records_in(message)}
        kept = dict(reply.response_metadata[TURN])
        asked = {"text": _asked(messages), **kept.pop("request", {})}
        given = {"id": reply.id, "parent": parent, "text": _first_text(reply), "request": asked, **kept}
        turn = Turn.model_validate(given)
        since = 0 if before is None else min(before.number, turn.number - 1)  # a turn may be brought back behind others
        return turn.model_copy(update={"images": _in_order(shown, since, turn.number)})
    shown = {record.id: record for message in messages for record in records_in(message)}
    text = _asked(messages)
    said = " ".join(filter(None, (text_of(message) for message in messages if is_reply(message)))) or "Done."
    images = _in_order(shown, number - 1, number)
    names = tuple(record.id for record in images)
    about = repr((parent, text, [record.key for record in images], said))  # what is the same has the same id
    return Turn(
        id=hashlib.sha256(about.encode(errors="surrogatepass")).hexdigest(),
        parent=parent,
        number=number,
        at=0.0,
        request=Request(text=text, images=names),
        images=images,
        text=said,
    )


def turn_metadata(turn: Turn) -> dict[str, Any]:
    """What the reply of a turn keeps of it besides its words and pictures."""
    kept = turn.model_dump(mode="json", exclude=_ELSEWHERE, exclude_defaults=True)
    return {TURN: {**kept, "request": turn.request.model_dump(mode="json", exclude={"text"}, exclude_defaults=True)}}


def messages_of(turn: Turn) -> list[AnyMessage]:
    """The request and the reply of a turn as messages, from which `turn_of` reads it again."""
    given = [reference(record) for record in turn.images if record.origin in ("user", "region")]
    made = [reference(record) for record in turn.images if record.origin not in ("user", "region")]
    request = HumanMessage(turn.request.text, id=f"{turn.id}-request")
    return [with_images(request, given), reply_message(turn, made)]


def reply_message(turn: Turn, images: Sequence[dict[str, Any]], links: str = "", **more: Any) -> AIMessage:
    """The reply of a turn.

    Args:
        images: content blocks of its pictures.
        links: what stands behind its words, for front ends.
        **more: fields of the message.
    """
    about = {"model_provider": PROVIDER, **turn_metadata(turn), **more.pop("response_metadata", {})}
    content: Any = turn.text if not links else [{"type": "text", "text": turn.text}, {"type": "text", "text": links}]
    message: AIMessage = with_images(AIMessage(content, id=turn.id, response_metadata=about, **more), images, content)
    return message


def number_of(messages: Sequence[AnyMessage]) -> int:
    """The number of the turn that was said in these messages; 0 where they do not say it."""
    reply = _own(messages)
    return 0 if reply is None else int(reply.response_metadata[TURN].get("number", 0))


def check_types(messages: Sequence[AnyMessage]) -> None:
    """Raises:
    InvalidRequest: there is a message of a type that no chat model has.
    """
    for message in messages:
        if not isinstance(message, (HumanMessage, AIMessage, SystemMessage, ToolMessage)):
            raise InvalidRequest(f"messages of the type {message.type!r} are not understood: human, ai, system or tool")


def _own(messages: Sequence[AnyMessage]) -> AIMessage | None:
    """The reply of a turn that was ours."""
    for message in reversed(messages):
        if isinstance(message, AIMessage) and TURN in message.response_metadata:
            return message
    return None


def _asked(messages: Sequence[AnyMessage]) -> str:
    """What was said in one message or in several before a reply."""
    return "\n\n".join(filter(None, (text_of(message) for message in messages if isinstance(message, HumanMessage))))


def _first_text(reply: AIMessage) -> str:
    """What we said; what follows it may be links to pictures."""
    content = reply.content
    if isinstance(content, str):
        return content
    return next((block if isinstance(block, str) else block["text"] for block in content if is_text(block)), "")


def _in_order(shown: dict[str, ImageRecord], before: int, number: int) -> tuple[ImageRecord, ...]:
    """The pictures that came with turn `number`, and not those of turns up to `before` that it shows again; between
    these there are turns whose replies somebody has removed."""
    return tuple(sorted((r for r in shown.values() if before < r.turn <= number), key=lambda r: r.number))
