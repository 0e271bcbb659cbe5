"""Conversations of a person and the assistant about pictures, with everything that is right in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genllava.protocols.verbs import image_name
from genllava_finetune.worlds.things import corpus, phrases
from genllava_finetune.worlds.things.asked import Asking, Request
from genllava_finetune.worlds.things.edits import ORDER, Change, apply
from genllava_finetune.worlds.things.followups import ask_again, follow
from genllava_finetune.worlds.things.knowledge import Thing
from genllava_finetune.worlds.things.outside import NO_PICTURE, in_words, unread
from genllava_finetune.worlds.things.questions import Question, ask
from genllava_finetune.worlds.things.requests import draw, edit, impossible
from genllava_finetune.worlds.things.sampling import sample_scene
from genllava_finetune.worlds.things.scene import MOST, Item, Scene
from genllava_finetune.worlds.things.tool_requests import LOOKING, Call, ask_tool, tool_result

_TURNS: Final = {1: 46, 2: 18, 3: 14, 4: 10, 5: 7, 6: 5}
"""How many turns of a hundred conversations."""
_UNREAD: Final = 0.07
"""Share of the pictures that people bring that cannot be read."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a conversation.

    Attributes:
        scene: what it shows; None for one that cannot be read.
        own: the assistant drew it.
    """

    scene: Scene | None
    own: bool = False


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
    """The assistant calls a tool; `result` is what the tool says, `picture` whether a picture comes of it."""

    call: Call
    result: str
    picture: bool = False


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
        learn: whether the assistant learns it here.
    """

    text: str
    intent: str
    brought: tuple[Shown, ...]
    outcomes: tuple[Outcome, ...]
    expected: tuple[Mapping[str, Any], ...]
    learn: bool = True


@dataclass(slots=True)
class Talk:
    """A conversation that is being made.

    Attributes:
        pictures: all of it so far, in order.
        current: number of the picture that is in view (from 1), 0 before there is one.
        focus: what "it" means there.
        last: what was asked last, where a follow-up can refer to it.
        pictures_before: how many pictures there were before each turn.
    """

    source: random.Random
    known: Sequence[Thing]
    withhold: bool = False
    pictures: list[Shown] = field(default_factory=list)
    current: int = 0
    focus: Item | None = None
    last: Request | Question | None = None
    turns: list[Turn] = field(default_factory=list)
    pictures_before: list[int] = field(default_factory=list)
    _brought: list[Shown] = field(default_factory=list)

    # --- what turns are made of ---

    @property
    def scene(self) -> Scene | None:
        """What the picture in view shows."""
        return self.pictures[self.current - 1].scene if self.current else None

    def asking(self, scene: Scene | None = None) -> Asking:
        """What requests are made from."""
        return Asking(self.source, self.known, scene or self.scene, self.focus, self.withhold)

    def bring(self, *, readable: bool | None = None) -> None:
        """The person brings a picture with the next message."""
        read = self.source.random() >= _UNREAD if readable is None else readable
        scene = sample_scene(self.source, self.known, free=self.source.random() < 0.6) if read else None
        self._brought.append(Shown(scene))
        self.pictures.append(self._brought[-1])
        self.current, self.focus, self.last = len(self.pictures), None, None

    def add(
        self, text: str, intent: str, outcomes: Sequence[Outcome], expected: Sequence[Mapping[str, Any]], learn: bool = True
    ) -> None:
        """A turn is over."""
        self.pictures_before.append(len(self.pictures) - len(self._brought))
        self.turns.append(Turn(text, intent, tuple(self._brought), tuple(outcomes), tuple(expected), learn))
        self._brought = []

    def show(self, scene: Scene) -> None:
        """The assistant made a picture."""
        self.pictures.append(Shown(scene, own=True))
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
            self.current = len(self.pictures)
        return Called(call, tool_result(self.source, call), picture)

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

    def thread(self) -> bool:
        """Undo, again, back to another picture; and pictures of before."""
        choices = [_undo, _undo, _again, _again, _show, _combine, _background_of, _other_picture]
        return self.source.choice(choices)(self)

    def several(self) -> bool:
        """Two or three requests in one message."""
        return _several(self)


_SAME: Final = frozenset({"upscale", "add_text", "draw_boxes", "adjust"})
"""Tools whose pictures show what was shown before."""


def make_dialogue(
    source: random.Random, known: Sequence[Thing], *, withhold: bool = False, turns: int | None = None,
    kinds: Mapping[str, float] | None = None, brought: float = 0.55,
) -> Talk:  # fmt: skip
    """A random conversation.

    Args:
        known: the things that occur.
        withhold: without the sentences that the research recipe withholds.
        turns: how many messages; random if None.
        kinds: how often each kind of turn comes, in the place of `KINDS`.
        brought: how often a person brings a picture where there is none; where there is one, a tenth of that.
    """
    talk = Talk(source, known, withhold)
    wanted = turns or source.choices(list(_TURNS), list(_TURNS.values()))[0]
    weights = dict(KINDS if kinds is None else kinds)
    while len(talk.turns) < wanted:
        if source.random() < (brought / 10 if talk.current else brought):
            talk.bring()
        kind = source.choices(list(weights), list(weights.values()))[0]
        if not _MAKERS[kind](talk) and not talk._brought:
            continue
        if talk._brought:  # nothing could be said about it yet
            made = talk.question() if talk.scene is not None else talk.unreadable()
            assert made, "a picture that nothing can be said of"
        if talk.turns[-1].intent in _ENDS or (talk.scene is None and talk.current and source.random() < 0.6):
            break
    return talk


KINDS: Final[Mapping[str, float]] = {
    "question": 24, "edit": 25, "draw": 17, "follow": 16, "tool": 7, "thread": 8, "several": 6, "impossible": 3, "words": 7,
    "no picture": 1,
}  # fmt: skip
"""How often each kind of turn comes, where it can."""


def _draw(talk: Talk) -> bool:
    if talk._brought:
        return False
    return talk.picture(draw(talk.source, talk.known, scene=talk.scene, withhold=talk.withhold))


def _edit(talk: Talk) -> bool:
    if talk.scene is None:
        return talk.unreadable()
    return talk.picture(edit(talk.source, talk.scene, talk.known, focus=talk.focus, withhold=talk.withhold))


def _impossible(talk: Talk) -> bool:
    if talk.scene is None:
        return False
    return talk.picture(impossible(talk.source, talk.scene, talk.known, focus=talk.focus, withhold=talk.withhold))


def _question(talk: Talk) -> bool:
    return talk.question() or talk.unreadable()


def _no_picture(talk: Talk) -> bool:
    """A question or a change where there is no picture."""
    if talk.pictures:
        return False
    scene = sample_scene(talk.source, talk.known, least=1)
    found: Any = ask(talk.source, scene, known=talk.known) if talk.source.random() < 0.5 else None
    found = found or edit(talk.source, scene, talk.known)
    if found is None or found.intent in ("add", "add_several"):
        return False
    talk.add(found.text, "no_picture", [Said(NO_PICTURE)], [{"declines": True}])
    return True


_MAKERS: Final[Mapping[str, Callable[[Talk], bool]]] = {
    "question": _question, "edit": _edit, "draw": _draw, "follow": Talk.follow_up, "tool": Talk.tool, "thread": Talk.thread,
    "several": Talk.several, "impossible": _impossible, "words": Talk.words, "no picture": _no_picture,
}  # fmt: skip
_TAKEN: Final = Change("take")
"""Of what comes from another picture."""
_ENDS: Final = frozenset({"undo", "undo_n", "redo", "again"})
"""After these the conversation is not what it was: the agent takes turns out of it."""


def _last_made(talk: Talk) -> bool:
    return bool(talk.turns) and any(isinstance(each, Drawn) for each in talk.turns[-1].outcomes)


def _verb(talk: Talk, intent: str, call: Call, expected: Mapping[str, Any], **slots: str) -> bool:
    text = talk.asking().say(intent, slots)
    talk.add(text, intent, [Called(call, "")], [{"thread": expected}])
    return True


def _undo(talk: Talk) -> bool:
    if not _last_made(talk) or talk._brought:
        return False
    if len(talk.turns) > 2 and talk.source.random() < 0.3:
        count = talk.source.randint(2, min(len(talk.turns), 4))
        slots = {"number": phrases.number(talk.source, count)}
        return _verb(talk, "undo_n", Call("undo", {"turns": count}), {"undo": count}, **slots)
    if talk.source.random() < 0.25:
        return _verb(talk, "redo", Call("redo"), {"redo": 1})
    return _verb(talk, "undo", Call("undo"), {"undo": 1})


def _again(talk: Talk) -> bool:
    return _last_made(talk) and not talk._brought and _verb(talk, "again", Call("retry"), {"again": True})


def _show(talk: Talk) -> bool:
    if len(talk.pictures) < 2 or talk._brought:
        return False
    number = talk.source.choice([n for n in range(1, len(talk.pictures) + 1) if n != talk.current])
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures))}
    made = _verb(talk, "show", Call("show_image", {"image": image_name(number)}), {"show": number}, **slots)
    talk.current, talk.focus, talk.last = number, None, None
    return made


def _others(talk: Talk) -> list[int]:
    """Numbers of the other pictures that can be read."""
    return [n for n, shown in enumerate(talk.pictures, 1) if n != talk.current and shown.scene is not None]


def _combine(talk: Talk) -> bool:
    """Something of another picture is put into the one in view."""
    others = [n for n in _others(talk) if talk.pictures[n - 1].scene.items]  # type: ignore[union-attr]
    scene = talk.scene
    if scene is None or not others or len(scene.items) >= MOST:
        return False
    number = talk.source.choice(others)
    other = talk.pictures[number - 1].scene
    assert other is not None
    item = talk.source.choice(other.items)
    place = item.place if item.place in scene.free else next((p for p in ORDER if p in scene.free), None)
    if place is None:
        return False
    new = replace(item, place=place, shift=(0.0, 0.0))
    slots = {
        "the": phrases.the(talk.source, item, other),
        "picture": phrases.picture(talk.source, number, len(talk.pictures)),
    }
    after = Scene(scene.background, (*scene.items, new))
    expected = {"edits": [{"combine": item.name, "of": number}]}
    return talk.picture(Request(talk.asking().say("combine", slots), "combine", after, _TAKEN, (), (), new, expected))


def _background_of(talk: Talk) -> bool:
    others = [n for n in _others(talk) if talk.scene and talk.pictures[n - 1].scene.background != talk.scene.background]  # type: ignore[union-attr]
    if talk.scene is None or not others:
        return False
    number = talk.source.choice(others)
    other = talk.pictures[number - 1].scene
    assert other is not None
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures))}
    expected = {"edits": [{"background": other.background}]}
    text, after = talk.asking().say("background_of", slots), Scene(other.background, talk.scene.items)
    return talk.picture(Request(text, "background_of", after, _TAKEN, (), (), talk.focus, expected))


def _other_picture(talk: Talk) -> bool:
    """A question about a picture of before."""
    others = _others(talk)
    if not others:
        return False
    number = talk.source.choice(others)
    other = talk.pictures[number - 1].scene
    assert other is not None
    found = ask(talk.source, other, known=talk.known, withhold=talk.withhold)
    if found is None:
        return False
    question = found.text.rstrip(" ?.!").lower()
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures)), "question": question}
    text = talk.asking().say("ask_other_picture", slots)
    talk.add(text, "ask_other_picture", [Said(found.answer)], [{"answers": found.expected}])
    return True


def _several(talk: Talk) -> bool:
    """Two or three requests of a message, each about what came of the one before."""
    if talk._brought and talk.scene is None:
        return False
    count = 2 if talk.source.random() < 0.75 else 3
    part = Talk(talk.source, talk.known, talk.withhold, list(talk.pictures), talk.current, talk.focus)
    for _ in range(12):
        if len(part.turns) == count:
            break
        kind = talk.source.choice(("edit", "edit", "question", "draw" if not part.turns else "edit", "tool"))
        if part.scene is None and kind != "draw":
            continue
        _MAKERS[kind](part)
    if len(part.turns) < count or sum(isinstance(t.outcomes[0], Said) for t in part.turns[:-1]) > 1:
        return False
    said = [turn.text.strip(" .!?") for turn in part.turns]
    slots = dict(zip(("first", "second", "third"), (text[:1].lower() + text[1:] for text in said), strict=False))
    text = talk.asking().say("join_two" if count == 2 else "join_three", slots)
    talk.pictures, talk.current, talk.focus = part.pictures, part.current, part.focus
    outcomes = [each for turn in part.turns for each in turn.outcomes]
    made = sum(isinstance(o, Drawn) or (isinstance(o, Called) and o.picture) for o in outcomes)
    before = len(talk.pictures) - made - len(talk._brought)
    talk.add(text, f"join_{count}", outcomes, [each for turn in part.turns for each in turn.expected])
    talk.pictures_before[-1] = before
    talk.last = part.last if isinstance(part.last, Request) else None
    return True
