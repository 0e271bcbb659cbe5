"""A conversation that is being made: its pictures, its turns, and what each kind of turn comes to."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genllava_finetune.worlds.things.knowledge.things import Thing
from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import Item, Scene
from genllava_finetune.worlds.things.questions.asking import Question, ask
from genllava_finetune.worlds.things.requests.asked import Asking, Request
from genllava_finetune.worlds.things.requests.edits import apply
from genllava_finetune.worlds.things.requests.followups import ask_again, follow
from genllava_finetune.worlds.things.requests.outside import in_words, unread
from genllava_finetune.worlds.things.requests.tools import CHARTS, LOOKING, Call, ask_tool

_SAME: Final = frozenset({"upscale", "add_text", "draw_boxes", "adjust"})
"""Tools whose pictures show what was shown before."""
_UNREAD: Final = 0.07
"""Share of the pictures that people bring that cannot be read."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a conversation.

    Attributes:
        scene: what it shows; None for one that cannot be read.
    """

    scene: Scene | None


@dataclass(frozen=True, slots=True)
class Said:
    """The assistant answers in words."""

    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """The assistant draws; `source` is the number of the picture that it edits (from 1), 0 for a new picture."""

    scene: Scene
    source: int = 0


@dataclass(frozen=True, slots=True)
class Called:
    """The assistant calls a tool.

    Attributes:
        picture: whether a picture comes of it.
        verb: whether it is a verb of the thread (undo, redo, retry, show_image), which ends the turn.
    """

    call: Call
    picture: bool = False
    verb: bool = False


Outcome = Said | Drawn | Called


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the person, with what is right after it.

    Attributes:
        text: the message.
        intent: what it asks for.
        brought: pictures that come with it.
        outcomes: what the assistant does, in order.
        expected: what a grader wants to find, in the form of the test file: one for each step.
    """

    text: str
    intent: str
    brought: tuple[Shown, ...]
    outcomes: tuple[Outcome, ...]
    expected: tuple[Mapping[str, Any], ...]


@dataclass(slots=True)
class Talk:
    """A conversation that is being made.

    Attributes:
        pictures: all of it so far, in order.
        current: number of the picture that is in view (from 1), 0 before there is one.
        focus: what "it" means there.
        last: what was asked last, where a follow-up can refer to it.
        brought: pictures that come with the message that is being made.
    """

    source: random.Random
    known: Sequence[Thing]
    withhold: bool = False
    pictures: list[Shown] = field(default_factory=list)
    current: int = 0
    focus: Item | None = None
    last: Request | Question | None = None
    turns: list[Turn] = field(default_factory=list)
    brought: list[Shown] = field(default_factory=list)

    # --- what turns are made of ---

    @property
    def scene(self) -> Scene | None:
        """What the picture in view shows."""
        return self.pictures[self.current - 1].scene if self.current else None

    def asking(self) -> Asking:
        """What requests are made from."""
        return Asking(self.source, self.known, self.scene, self.focus, withhold=self.withhold)

    def bring(self, *, readable: bool | None = None) -> None:
        """The person brings a picture with the next message."""
        read = self.source.random() >= _UNREAD if readable is None else readable
        scene = sample_scene(self.source, self.known, free=self.source.random() < 0.6) if read else None
        self.brought.append(Shown(scene))
        self.pictures.append(self.brought[-1])
        self.current, self.focus, self.last = len(self.pictures), None, None

    def add(
        self, text: str, intent: str, outcomes: Sequence[Outcome], expected: Sequence[Mapping[str, Any]]
    ) -> None:
        """A turn is over."""
        self.turns.append(Turn(text, intent, tuple(self.brought), tuple(outcomes), tuple(expected)))
        self.brought = []

    def show(self, scene: Scene) -> None:
        """The assistant made a picture."""
        self.pictures.append(Shown(scene))
        self.current = len(self.pictures)

    # --- turns ---

    def question(self, found: Question | None = None) -> bool:
        """A question about the picture in view; False if there is none to ask."""
        if self.scene is None:
            return False
        found = found or ask(self.source, self.scene, known=self.known, withhold=self.withhold)
        if found is None:
            return False
        self.add(found.text, found.intent, [Said(found.answer)], [{"answers": found.expected}])
        self.focus, self.last = found.subject or self.focus, found
        return True

    def picture(self, found: Request | None) -> bool:
        """A new picture or a change of the one in view."""
        if found is None:
            return False
        if found.answer:
            self.add(found.text, found.intent, [Said(found.answer)], [found.expected])
            self.last = found
            return True
        source = 0 if found.change is None else self.current
        self.show(found.scene)
        self.add(found.text, found.intent, [Drawn(found.scene, source)], [found.expected])
        self.focus, self.last = found.focus, found
        return True

    def tool(self) -> bool:
        """A tool is to do something to the picture in view."""
        if not self.current:
            return False
        found = ask_tool(self.asking(), self.current, len(self.pictures))
        if found is None:
            return False
        outcomes = [self.call(call) for call in found.calls]
        expected = {"tools": [{"name": call.name, "arguments": dict(call.arguments)} for call in found.calls]}
        self.add(found.text, found.intent, outcomes, [expected])
        self.last = None
        return True

    def call(self, call: Call) -> Called:
        """What comes of a call of a tool; a picture that it makes cannot be read any more."""
        picture = call.name not in LOOKING
        if picture:
            self.pictures.append(Shown(self.scene if call.name in _SAME else None))
        if picture and call.name not in CHARTS:
            self.current = len(self.pictures)
        return Called(call, picture)

    def words(self) -> bool:
        """Small talk, or what cannot be done."""
        found = in_words(self.asking())
        self.add(found.text, found.intent, [Said(found.answer)], [found.expected])
        return True

    def unreadable(self) -> bool:
        """A question about, or a change of, a picture that cannot be read."""
        if not self.current or self.scene is not None:
            return False
        found = unread(self.asking())
        self.add(found.text, found.intent, [Said(found.answer)], [found.expected])
        return True

    def follow_up(self) -> bool:
        """A follow-up of the last turn."""
        if isinstance(self.last, Question) and self.scene is not None:
            return self.question(ask_again(self.asking(), self.last))
        if not isinstance(self.last, Request):
            return False
        if self.last.answer:
            return self.picture(self._which(self.last))
        return self.picture(follow(self.asking(), self.last))

    def _which(self, asked: Request) -> Request | None:
        """The answer to the assistant's question which one is meant."""
        if asked.change is None or self.scene is None:
            return None
        item = self.source.choice(asked.change.items)
        after = apply(self.scene, replace(asked.change, items=(item,)))
        if after is None or after.key == self.scene.key:
            return None
        text = self.asking().say("answer_which", {"the": phrases.the(self.source, item, self.scene)})
        return Request(text, "answer_which", after, replace(asked.change, items=(item,)), focus=after.at(item.place))
