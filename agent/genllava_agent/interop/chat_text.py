"""The text of a reply piece by piece, so that what was streamed is what the whole reply says."""

from __future__ import annotations

from collections.abc import Sequence

from genllava_agent.answers import compose
from genllava_agent.records import Step


class ReplyText:
    """Puts the words of the model and the notes on its steps together as they come.

    Args:
        stop: the text ends before the first of these.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = [word for word in stop if word]
        self._whole = ""  # all that was said
        self._sent = 0  # characters of it that were handed on
        self._answering = False

    def delta(self, text: str) -> str:
        """The model goes on writing; returns what may be shown now."""
        if not self._answering and self._whole and not text.startswith(" "):
            self._whole += " "
        self._answering = True
        self._whole += text
        return self._ready(False)

    def stepped(self, steps: Sequence[Step]) -> str:
        """Steps have ended."""
        self._answering = False
        if any(step.text or step.unsure or step.outcome != "ok" for step in steps):
            self._complete(compose(steps, ""))
        return self._ready(False)

    def ended(self, text: str) -> str:
        """The reply is over, and this is all of it."""
        self._complete(text)
        return self._ready(True)

    def _complete(self, text: str) -> None:
        if text.startswith(self._whole):
            self._whole = text
        elif not self._whole.endswith(text):  # what was said first was taken back
            self._whole += " " + text

    def _ready(self, whole: bool) -> str:
        """What was not handed on yet; but not what may be the beginning of a stop word."""
        ends = [place for word in self._stop if (place := self._whole.find(word)) >= 0]
        held = 0 if whole else max((len(word) - 1 for word in self._stop), default=0)
        end = min(ends) if ends else len(self._whole) - held
        new = self._whole[self._sent : max(end, self._sent)]
        self._sent += len(new)
        return new
