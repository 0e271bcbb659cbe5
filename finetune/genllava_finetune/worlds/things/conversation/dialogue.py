"""Conversations of a person and the assistant about pictures, with everything that is right in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from genllava_finetune.worlds.things.conversation.talk import Said, Talk
from genllava_finetune.worlds.things.conversation.thread_turns import several, thread_turn
from genllava_finetune.worlds.things.knowledge.things import Thing
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.questions.asking import ask
from genllava_finetune.worlds.things.requests.outside import NO_PICTURE
from genllava_finetune.worlds.things.requests.requests import draw, edit, impossible

_TURNS: Final = {1: 46, 2: 18, 3: 14, 4: 10, 5: 7, 6: 5}
"""How many turns of a hundred conversations."""
_ENDS: Final = frozenset({"undo", "undo_n", "redo", "again"})
"""After these the conversation is not what it was: the agent takes turns out of it."""


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
        if not MAKERS[kind](talk) and not talk.brought:
            continue
        if talk.brought:  # nothing could be said about it yet
            made = talk.question() if talk.scene is not None else talk.unreadable()
            assert made, "a picture that nothing can be said of"
        if talk.turns[-1].intent in _ENDS or (talk.scene is None and talk.current and source.random() < 0.6):
            break
    return talk


KINDS: Final[Mapping[str, float]] = {
    "question": 24, "edit": 25, "draw": 17, "follow": 16, "tool": 7, "thread": 8, "several": 6, "impossible": 3,
    "words": 7, "no picture": 1,
}  # fmt: skip
"""How often each kind of turn comes, where it can."""


def _draw(talk: Talk) -> bool:
    if talk.brought:
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


MAKERS: Final[Mapping[str, Callable[[Talk], bool]]] = {
    "question": _question, "edit": _edit, "draw": _draw, "follow": Talk.follow_up, "tool": Talk.tool,
    "thread": thread_turn, "several": lambda talk: several(talk, MAKERS), "impossible": _impossible,
    "words": Talk.words, "no picture": _no_picture,
}  # fmt: skip
"""What adds a turn of each kind to a conversation; it says whether it could."""
