"""A conversation as models without tools in their chat template can read it: user and assistant, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genllava.protocols.parts import Message
from genllava.protocols.verbs import RESULTS

Blocks = list[dict[str, Any]]


@dataclass(slots=True)
class Turn:
    """The user's latest turn, and what was said and done about it.

    Attributes:
        history: messages before it, user and assistant in turns.
        request: the content blocks of the user's message.
        said: the assistant's words since.
        done: results of calls since, in words.
        images: blocks with the pictures that those calls made.
    """

    history: list[Message]
    request: Blocks
    said: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    images: Blocks = field(default_factory=list)

    def asking(self, question: str = "") -> list[Message]:
        """The conversation with what was done so far, and a question of ours at its end."""
        texts = []
        if self.said:
            texts.append("Already answered: " + " ".join(self.said))
        if self.done:
            texts.append("So far: " + " ".join(self.done))
        if question:
            texts.append(question)
        blocks: Blocks = [{"type": "text", "text": "\n\n" + "\n\n".join(texts)}] if texts else []
        return [*self.history, {"role": "user", "content": [*self.request, *self.images, *blocks]}]


def latest_turn(messages: Sequence[Message]) -> Turn:
    """Split a conversation at the user's latest request.

    Results of calls become words, calls are left out, pictures in results go to the user's side, and messages of one
    role that follow each other are joined.
    """
    joined: list[Message] = []
    turn: Turn | None = None
    for message in messages:
        role, blocks = message["role"], as_blocks(message["content"])
        shows = role == "user" and _only_shows(blocks)
        told = role == "tool" or bool(message.get(RESULTS)) or (shows and turn is not None and bool(turn.done))
        if told and turn is not None:
            turn.done += [] if shows else texts_of(blocks)
            turn.images += blocks if shows else [block for block in blocks if block["type"] == "image"]
        elif role == "assistant" and turn is not None:
            turn.said += texts_of(blocks)
        elif role == "assistant":
            _join(joined, "assistant", blocks)
        else:
            if turn is not None:
                _close(joined, turn)
                turn = None
            if role == "system":
                _join(joined, "user", blocks)
            else:
                turn = Turn([], blocks)
    if turn is None:
        turn = Turn([], [])
    if joined and joined[-1]["role"] == "user":  # a system message
        turn.request = [*joined.pop()["content"], *turn.request]
    turn.history = joined
    return turn


def as_blocks(content: str | Sequence[dict[str, Any]]) -> Blocks:
    """Content of a message as a list of blocks."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _close(joined: list[Message], turn: Turn) -> None:
    """Put a turn that is over behind the messages."""
    _join(joined, "user", turn.request)
    told = [*turn.said, *turn.done]
    _join(joined, "assistant", [{"type": "text", "text": " ".join(told) or "Done."}])
    if turn.images:
        _join(joined, "user", turn.images)


def _join(joined: list[Message], role: str, blocks: Blocks) -> None:
    if joined and joined[-1]["role"] == role:
        joined[-1]["content"] = [*joined[-1]["content"], *blocks]
    else:
        joined.append({"role": role, "content": list(blocks)})


def _only_shows(blocks: Blocks) -> bool:
    """Whether a message only shows pictures, each behind its name."""
    return bool(blocks) and blocks[-1]["type"] == "image"


def texts_of(blocks: Blocks) -> list[str]:
    """The texts among content blocks that are not empty."""
    return [block["text"] for block in blocks if block["type"] == "text" and block["text"]]
