"""What comes of a turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from genllava_agent.answers import compose
from genllava_agent.records import Question, Step

if TYPE_CHECKING:
    from langchain_core.messages.ai import UsageMetadata
    from PIL import Image

    from genllava_agent.pictures import ThreadImage


_SIDE: Final = 512
"""Longer side of a picture in a notebook, at most."""


class Conversation(Protocol):
    """The thread of a reply, see `threads`."""

    name: str

    def __call__(self, text: str, images: Any = None, *, region: Any = None, **options: Any) -> Reply:
        """Ask, and wait for the reply."""


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """A turn's text, pictures and steps.

    Attributes:
        text: what the assistant says.
        images: the pictures that were made in this turn, in their order.
        steps: what was done.
        thread: where it was said; call it to go on.
        turn: the number of the turn in its thread.
        pending: what the assistant wants to know before it goes on; None if the turn is over.
        stopped: why the turn ended early; empty if it did not.
        seed: of its pictures.
        seconds: it took.
        replaced: the question that this request was asked in place of an answer to.
        usage: tokens of the conversation up to the reply, and those of the reply; None while it waits.
    """

    text: str
    images: tuple[ThreadImage, ...]
    steps: tuple[Step, ...]
    thread: Conversation = field(repr=False)
    turn: int
    pending: Question | None = None
    stopped: str = ""
    seed: int = 0
    seconds: float = 0.0
    replaced: Question | None = None
    usage: UsageMetadata | None = None

    @property
    def image(self) -> Image.Image | None:
        """The last picture that was made in this turn."""
        return self.images[-1].image if self.images else None

    def __str__(self) -> str:
        """The text, and a line for each picture: what a terminal shows."""
        lines = [self.text]
        for picture in self.images:
            told = f"{picture.id}: {picture.record.plan or picture.record.origin}"
            if told not in self.text:
                lines.append(f"[{told}]")
        return "\n".join(lines)

    def __repr__(self) -> str:
        said = self.text if len(self.text) <= 200 else self.text[:200] + "…"
        made = "".join(f", {picture.id}" for picture in self.images)
        waits = "" if self.pending is None else f", waits for {self.pending.kind}"
        return f"<reply {said!r}{made}{waits}: turn {self.turn} of {self.thread!r}>"

    def _repr_html_(self) -> str:
        """For notebooks: the text and the pictures, each with its plan."""
        from genllava_agent.pages import markup

        parts = [markup.paragraph(self.text)]
        parts += [markup.figure(picture.image, picture.record, _SIDE, self.text) for picture in self.images]
        if self.pending is not None:
            parts.append(markup.waiting(self.pending))
        return "".join(parts)


def reply_text(steps: tuple[Step, ...], stopped: str, pending: Question | None) -> str:
    """The text of a reply: the question, if there is one, after what was done until then."""
    if pending is None:
        return compose(steps, stopped)
    done = compose(steps, stopped) + " " if steps else ""
    return done + pending.text
