"""Conversations that are kept in memory between turns, so that nothing is read or seen twice.

They are a cache: what a turn gives does not depend on what is found here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import EOS, IMAGE
from genllava_agent.records import ImageRecord, Turn

if TYPE_CHECKING:
    from genllava import Drawing, GenLlavaPipeline
    from genllava.protocols.shapes.conversation import Conversation
    from genllava.protocols.shapes.conversation_state import Mark
    from genllava_agent.history import History

MAX_BYTES: Final = 2_000_000_000
"""Of key-value caches kept in memory; the conversations that were used longest ago are read again when they go on."""


_SEEN_LATEST: Final = 3
"""Pictures from before the window that are still seen, besides the first one."""


@dataclass(slots=True, eq=False)
class Standing:
    """A conversation that has come to the end of some turn.

    Attributes:
        conversation: where it stands.
        start: how many of the thread's first turns are no longer in it.
        marks: where each of its turns ended, by the turn's id.
    """

    conversation: Conversation
    start: int = 0
    marks: dict[str, Mark] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The turn at whose end it stands."""
        return next(reversed(self.marks))


class LiveConversations:
    """Conversations by the turns they went through. What is taken out is a copy that shares what was computed."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: list[Standing] = []
        self._turns: dict[str, set[str]] = {}
        """By thread, the turns that it went through, as far as something is kept of them."""
        self._guard = threading.Lock()

    def take(
        self,
        pipeline: GenLlavaPipeline,
        history: History,
        picture: Callable[[ImageRecord], Drawing],
    ) -> Standing:
        """A conversation that stands where `history` ends, for one user.

        Args:
            picture: gets the pixels, and the latents if there are any.

        Raises:
            InvalidRequest: the history was made with another model.
        """
        start = history.window_start(pipeline.protocol.language.max_length // 2)
        standing, known = self._nearest(history, start)
        if standing is None:
            before = self._passed_through(history)
            conversation = pipeline.conversation() if before is None else before.conversation.anew()
            standing, known = Standing(conversation, start), start
            if start:
                records = [record for turn in history[:start] for record in turn.images]
                numbers = [record.number for record in records]
                standing.conversation.recall([picture(r) for r in records], _captions(history[:start]), numbers)
        for turn in history[known:]:
            if not (turn.stream or turn.images or any(step.outcome == "ok" for step in turn.steps)):
                ids: Sequence[int] = ()  # it came to nothing
            else:
                ids = turn.stream if _is_whole(pipeline, turn) else as_said(pipeline, turn)
            numbers = [record.number for record in turn.images]
            standing.conversation.replay(ids, [picture(record) for record in turn.images], left=numbers)
            standing.conversation.end_turn()  # of a turn that did not end by itself, which the next one begins behind
            standing.marks[turn.id] = standing.conversation.mark()
        return standing

    def keep(self, standing: Standing, last: str, thread: str) -> None:
        """Keep a conversation of a thread that has come to the end of turn `last`."""
        standing.marks[last] = standing.conversation.mark()
        with self._guard:
            self._turns.setdefault(thread, set()).update(standing.marks)
            # One whose last turn is in the new one, and so are those before it, has nothing that the new one has not.
            self._kept = [old for old in self._kept if old.start != standing.start or old.last not in standing.marks]
            self._kept.append(standing)
            if len(self._kept) == 1:  # the latest stays, however large
                return
            sizes = [old.conversation.cache_bytes for old in self._kept]
            while len(self._kept) > 1 and sum(sizes) > self._max_bytes:
                del self._kept[0], sizes[0]
                self._forget_names()

    def share(self, thread: str, turns: set[str]) -> None:
        """Another thread goes on from these turns."""
        with self._guard:
            self._turns[thread] = turns
            self._forget_names()

    def forget(self, thread: str) -> None:
        """Take conversations back to before the turns that only this thread went through; drop those that went through
        nothing else."""
        with self._guard:
            turns = self._turns.pop(thread, set()).difference(*self._turns.values())
            before = [(kept, list(takewhile(lambda turn: turn not in turns, kept.marks))) for kept in self._kept]
            self._kept = [
                kept if len(left) == len(kept.marks) else _back_at(kept, left) for kept, left in before if left
            ]

    def clear(self) -> None:
        """Drop all conversations."""
        with self._guard:
            self._kept, self._turns = [], {}

    def _forget_names(self) -> None:
        """Of turns that nothing is kept of."""
        kept = {turn for standing in self._kept for turn in standing.marks}
        self._turns = {thread: left for thread, turns in self._turns.items() if (left := turns & kept)}

    def _nearest(self, history: Sequence[Turn], start: int) -> tuple[Standing | None, int]:
        """A copy of what is kept that has gone furthest along `history`, gone back to there; and how far that is."""
        counted = max((record.number for turn in history[:start] for record in turn.images), default=0)
        with self._guard:
            for known in range(len(history), start, -1):
                turn = history[known - 1].id
                for place, kept in enumerate(self._kept):
                    turns = history[start:known]
                    if turn not in kept.marks or kept.start != start or not _went_through(kept, turns, counted):
                        continue
                    self._kept.append(self._kept.pop(place))  # used last
                    return _back_at(kept, [old.id for old in turns]), known
        return None, start

    def _passed_through(self, history: Sequence[Turn]) -> Standing | None:
        """What is kept of these turns and was used last, wherever it starts and stands."""
        turns = {turn.id for turn in history}
        with self._guard:
            return next((kept for kept in reversed(self._kept) if not turns.isdisjoint(kept.marks)), None)


def _went_through(kept: Standing, turns: Sequence[Turn], counted: int) -> bool:
    """Whether a conversation went through these turns and no others, with all their pictures and no others.

    Args:
        counted: pictures before them.
    """
    if [turn.id for turn in turns] != list(kept.marks)[: len(turns)]:
        return False
    for turn in turns:
        pictures = kept.marks[turn.id].pictures
        seen = [number for number in range(counted + 1, pictures + 1) if number not in kept.conversation.hidden]
        if seen != [record.number for record in turn.images]:
            return False
        counted = pictures
    return True


def _back_at(kept: Standing, turns: Sequence[str]) -> Standing:
    """A copy of what is kept, as it was after the last of these turns, the first that it went through."""
    conversation = kept.conversation.branch()
    conversation.rollback(kept.marks[turns[-1]])
    return Standing(conversation, kept.start, {turn: kept.marks[turn] for turn in turns})


def _is_whole(pipeline: GenLlavaPipeline, turn: Turn) -> bool:
    """Whether the token stream of a turn is known, and shows its pictures: others may have removed some messages."""
    language = pipeline.protocol.language
    shown = turn.stream.count(layout.token_id(language.tokenizer, IMAGE))
    return bool(turn.stream) and shown == len(turn.images) * language.tokens_per_image


def as_said(pipeline: GenLlavaPipeline, turn: Turn) -> tuple[int, ...]:
    """The token stream of a turn that was not held in it, as if its pictures had come with the request."""
    language, numbers = pipeline.protocol.language, [record.number for record in turn.images]
    if not turn.request.text and not numbers:  # the assistant spoke first
        return (*layout.answer(language.tokenizer, turn.text), layout.token_id(language.tokenizer, EOS))
    seen = " ".join(
        f"{layout.picture_prefix(record.number)} {record.caption}" for record in turn.images if record.caption
    )
    text = turn.request.text
    return tuple(layout.exchange(language.tokenizer, text, numbers, language.tokens_per_image, seen, turn.text))


def _captions(turns: Sequence[Turn]) -> dict[int, str]:
    """What is known of the pictures of these turns that are still to be seen, by number."""
    records = [record for turn in turns for record in turn.images]
    if not records:
        return {}
    noted = " ".join(step.seen for turn in turns for step in turn.steps)
    plans = {r.id: r.plan for turn in turns if not turn.request.region for r in turn.images}  # others are of a part
    shown = {record.number: record for record in (records[0], *records[-_SEEN_LATEST:])}
    return {
        number: record.caption or layout.noted_caption(noted, number) or plans.get(record.id) or ""
        for number, record in shown.items()
    }
