"""Conversations that are kept in memory between turns, so that nothing is read or seen twice.

They are a cache: what a turn gives does not depend on what is found here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from genllava_agent.records import ImageRecord, Turn

if TYPE_CHECKING:
    from genllava import Conversation, Drawing, GenLlavaPipeline
    from genllava.conversation import Mark

MAX_BYTES: Final = 2_000_000_000
"""Of key-value caches kept in memory; the conversations that were used longest ago are read again when they go on."""


@dataclass(slots=True, eq=False)
class _Kept:
    conversation: Conversation
    marks: dict[str, Mark] = field(default_factory=dict)
    """Where each of its turns ended, by the turn's id."""


class LiveConversations:
    """Conversations by the turns they went through. What is taken out is a copy that shares what was computed."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: list[_Kept] = []
        self._guard = threading.Lock()

    def take(
        self,
        pipeline: GenLlavaPipeline,
        history: Sequence[Turn],
        picture: Callable[[ImageRecord], Drawing],
    ) -> tuple[Conversation, dict[str, Mark]]:
        """A conversation that stands where `history` ends, and where each turn in it ended.

        Args:
            picture: gets the pixels, and the latents if there are any.

        Raises:
            InvalidRequest: the history was made with another model.
        """
        conversation, marks, known = self._nearest(history)
        if conversation is None:
            conversation = pipeline.conversation()
        for turn in history[known:]:
            conversation.replay(turn.stream, [picture(record) for record in turn.images])
            marks[turn.id] = conversation.mark()
        return conversation, marks

    def keep(self, conversation: Conversation, marks: dict[str, Mark], last: str, per_token: int) -> None:
        """Keep a conversation that has come to the end of turn `last`."""
        kept = _Kept(conversation, {**marks, last: conversation.mark()})
        with self._guard:
            # One whose every turn is in the new one has nothing that it has not.
            self._kept = [old for old in self._kept if not old.marks.keys() <= kept.marks.keys()]
            self._kept.append(kept)
            sizes = [len(old.conversation.ids) * per_token for old in self._kept]
            while len(self._kept) > 1 and sum(sizes) > self._max_bytes:
                del self._kept[0], sizes[0]

    def forget(self, turns: set[str]) -> None:
        """Drop conversations that went through any of these turns."""
        with self._guard:
            self._kept = [kept for kept in self._kept if not turns & kept.marks.keys()]

    def _nearest(self, history: Sequence[Turn]) -> tuple[Conversation | None, dict[str, Mark], int]:
        """A copy of what is kept that has gone furthest along `history`, gone back to there; and how far that is."""
        with self._guard:
            for known in range(len(history), 0, -1):
                turn = history[known - 1].id
                for place, kept in enumerate(self._kept):
                    if turn not in kept.marks:
                        continue
                    self._kept.append(self._kept.pop(place))  # used last
                    conversation = kept.conversation.branch()
                    conversation.rollback(kept.marks[turn])
                    path = {old.id for old in history[:known]}
                    return conversation, {key: mark for key, mark in kept.marks.items() if key in path}, known
        return None, {}, 0


def bytes_per_token(pipeline: Any) -> int:
    """What a token takes in the key-value cache."""
    config = pipeline.llava.config.text_config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * head_dim * pipeline.llava.dtype.itemsize)
