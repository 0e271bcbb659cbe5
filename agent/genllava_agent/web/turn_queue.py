"""Who has the model next: turns of several people wait in line, and those of one person take turns with the others'."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from genllava.errors import Cancelled
from genllava_agent.errors import AgentError

_PATIENCE = 0.1
"""Seconds between two looks at whether a turn that waits is still wanted."""
_REMEMBERED = 1000
"""People of whom it is kept which of their turns ran last."""


class TooManyWaiting(AgentError):
    """So many turns wait that no more is taken."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the line.

    Attributes:
        owner: whose turn it is.
        number: counts all turns, in the order in which they came.
    """

    owner: str
    number: int


class TurnQueue:
    """A line for the model. A person with many turns waits behind another one's first.

    Args:
        at_once: turns that run at the same time.
        waiting: turns that wait at most.
    """

    def __init__(self, at_once: int = 1, waiting: int = 32) -> None:
        self._at_once, self._most = at_once, waiting
        self._running: list[Ticket] = []
        self._waiting: list[Ticket] = []
        self._count = 0
        self._served: OrderedDict[str, int] = OrderedDict()  # by owner, the number of the turn that ran last
        self._changed = threading.Condition()

    @contextmanager
    def place(self, owner: str) -> Iterator[Ticket]:
        """A place in the line, given back at the end; call `ahead` until it is 0, and then the turn may run.

        Raises:
            TooManyWaiting: the line is full.
        """
        with self._changed:
            if len(self._waiting) >= self._most:
                raise TooManyWaiting(f"{len(self._waiting)} turns wait for the model already: try again in a minute")
            self._count += 1
            ticket = Ticket(owner, self._count)
            self._waiting.append(ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                for line in (self._waiting, self._running):
                    if ticket in line:
                        line.remove(ticket)
                self._changed.notify_all()

    def ahead(self, ticket: Ticket) -> int:
        """How many turns are before this one, those that run included; 0: it may run, and counts as running."""
        with self._changed:
            if ticket in self._running:
                return 0
            order = self._order()
            before = order.index(ticket)
            if before == 0 and len(self._running) < self._at_once:
                self._waiting.remove(ticket)
                self._running.append(ticket)
                self._served[ticket.owner] = ticket.number
                self._served.move_to_end(ticket.owner)
                if len(self._served) > _REMEMBERED:
                    self._served.popitem(last=False)
                self._changed.notify_all()
                return 0
            return max(1, len(self._running) + before - (self._at_once - 1))

    def wait(self, ticket: Ticket, cancel: Callable[[], bool]) -> Iterator[int]:
        """Wait until the turn may run; yields how many are before it whenever that changes.

        Raises:
            Cancelled: it is no longer wanted.
        """
        said = 0
        while ahead := self.ahead(ticket):
            if ahead != said:
                said = ahead
                yield ahead
            if cancel():
                raise Cancelled("cancelled while other turns had the model")
            with self._changed:
                self._changed.wait(_PATIENCE)

    def _order(self) -> list[Ticket]:
        """Those that wait, the next one first: everybody's first turn before anybody's second, and whoever has waited
        for longest since their last one first."""
        rounds: dict[str, int] = {}
        for ticket in self._running:
            rounds[ticket.owner] = rounds.get(ticket.owner, 0) + 1
        ranked = []
        for ticket in self._waiting:
            rank = rounds.get(ticket.owner, 0)
            rounds[ticket.owner] = rank + 1
            ranked.append(((rank, self._served.get(ticket.owner, 0), ticket.number), ticket))
        return [ticket for _, ticket in sorted(ranked, key=lambda each: each[0])]
