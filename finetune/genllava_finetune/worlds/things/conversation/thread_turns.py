"""Turns about the conversation itself: undo, again, back to a picture; pictures of before; several requests at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from genllava.protocols.verbs import image_name
from genllava_finetune.worlds.things.conversation.talk import Called, Drawn, Said, Talk
from genllava_finetune.worlds.things.language import phrases
from genllava_finetune.worlds.things.pictures.scene import MOST, Scene
from genllava_finetune.worlds.things.questions.asking import ask
from genllava_finetune.worlds.things.requests.asked import Request
from genllava_finetune.worlds.things.requests.edits import ORDER, Change
from genllava_finetune.worlds.things.requests.tools import Call

_TAKEN: Final = Change("take")
"""Of what comes from another picture."""


def thread_turn(talk: Talk) -> bool:
    """Undo, again, back to another picture; and pictures of before."""
    choices = [_undo, _undo, _again, _again, _show, _combine, _background_of, _other_picture]
    return talk.source.choice(choices)(talk)


def _last_made(talk: Talk) -> bool:
    return bool(talk.turns) and any(isinstance(each, Drawn) for each in talk.turns[-1].outcomes)


def _verb(talk: Talk, intent: str, call: Call, expected: Mapping[str, Any], **slots: str) -> bool:
    text = talk.asking().say(intent, slots)
    talk.add(text, intent, [Called(call, verb=True)], [{"thread": expected}])
    return True


def _undo(talk: Talk) -> bool:
    if not _last_made(talk) or talk.brought:
        return False
    if len(talk.turns) > 2 and talk.source.random() < 0.3:
        count = talk.source.randint(2, min(len(talk.turns), 4))
        slots = {"number": phrases.number(talk.source, count)}
        return _verb(talk, "undo_n", Call("undo", {"turns": count}), {"undo": count}, **slots)
    if talk.source.random() < 0.25:
        return _verb(talk, "redo", Call("redo"), {"redo": 1})
    return _verb(talk, "undo", Call("undo"), {"undo": 1})


def _again(talk: Talk) -> bool:
    return _last_made(talk) and not talk.brought and _verb(talk, "again", Call("retry"), {"again": True})


def _show(talk: Talk) -> bool:
    if len(talk.pictures) < 2 or talk.brought:
        return False
    number = talk.source.choice([n for n in range(1, len(talk.pictures) + 1) if n != talk.current])
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures))}
    made = _verb(talk, "show", Call("show_image", {"image": image_name(number)}), {"show": number}, **slots)
    talk.current, talk.focus, talk.last = number, None, None
    return made


def _others(talk: Talk) -> list[tuple[int, Scene]]:
    """The other pictures that can be read: their numbers, and what they show."""
    shown = enumerate((each.scene for each in talk.pictures), 1)
    return [(number, scene) for number, scene in shown if number != talk.current and scene is not None]


def _combine(talk: Talk) -> bool:
    """Something of another picture is put into the one in view."""
    others = [(number, other) for number, other in _others(talk) if other.items]
    scene = talk.scene
    if scene is None or not others or len(scene.items) >= MOST:
        return False
    number, other = talk.source.choice(others)
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
    """The picture in view gets the background of another one."""
    if talk.scene is None:
        return False
    others = [(number, other) for number, other in _others(talk) if other.background != talk.scene.background]
    if not others:
        return False
    number, other = talk.source.choice(others)
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures))}
    expected = {"edits": [{"background": other.background}]}
    text, after = talk.asking().say("background_of", slots), Scene(other.background, talk.scene.items)
    return talk.picture(Request(text, "background_of", after, _TAKEN, (), (), talk.focus, expected))


def _other_picture(talk: Talk) -> bool:
    """A question about a picture of before."""
    others = _others(talk)
    if not others:
        return False
    number, other = talk.source.choice(others)
    found = ask(talk.source, other, known=talk.known, withhold=talk.withhold)
    if found is None:
        return False
    question = found.text.rstrip(" ?.!").lower()
    slots = {"picture": phrases.picture(talk.source, number, len(talk.pictures)), "question": question}
    text = talk.asking().say("ask_other_picture", slots)
    talk.add(text, "ask_other_picture", [Said(found.answer)], [{"answers": found.expected}])
    return True


def several(talk: Talk, makers: Mapping[str, Callable[[Talk], bool]]) -> bool:
    """Two or three requests of a message, each about what came of the one before.

    Args:
        makers: of each kind of turn.
    """
    if talk.brought and talk.scene is None:
        return False
    count = 2 if talk.source.random() < 0.75 else 3
    part = Talk(talk.source, talk.known, talk.withhold, list(talk.pictures), talk.current, talk.focus)
    for _ in range(12):
        if len(part.turns) == count:
            break
        kind = talk.source.choice(("edit", "edit", "question", "draw" if not part.turns else "edit", "tool"))
        if part.scene is None and kind != "draw":
            continue
        makers[kind](part)
    if len(part.turns) < count or sum(isinstance(t.outcomes[0], Said) for t in part.turns[:-1]) > 1:
        return False
    said = [turn.text.strip(" .!?") for turn in part.turns]
    slots = dict(zip(("first", "second", "third"), (text[:1].lower() + text[1:] for text in said), strict=False))
    text = talk.asking().say("join_two" if count == 2 else "join_three", slots)
    talk.pictures, talk.current, talk.focus = part.pictures, part.current, part.focus
    outcomes = [each for turn in part.turns for each in turn.outcomes]
    talk.add(text, f"join_{count}", outcomes, [each for turn in part.turns for each in turn.expected])
    talk.last = part.last if isinstance(part.last, Request) else None
    return True
