"""The turns of a thread up to one of them, and what is asked of them again and again."""

from __future__ import annotations

from functools import cached_property

from genllava_agent.records import ImageRecord, Turn


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
