"""Conversations: pictures that come in or are drawn, and what is asked about them and of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from genllava_finetune.worlds.grammar import Forms, Intent, fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import (
    Check,
    Dialogue,
    EditCheck,
    StepsCheck,
    Turn,
)
from genllava_finetune.worlds.shapes.editing import (
    HeldOutEdit,
    focus_after,
    sample_edit,
    sample_impossible_edit,
    sample_undo,
)
from genllava_finetune.worlds.shapes.edits import Changed
from genllava_finetune.worlds.shapes.generation import HeldOut, Kind, sample_generation
from genllava_finetune.worlds.shapes.language.joining import STEPS, STEPS_AFTER_QUESTION, STEPS_TELL
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import (
    MAX_TRAIN_TURNS,
    NOTHING,
    Split,
    Withheld,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    sample_scene,
)
from genllava_finetune.worlds.shapes.understanding import FOLLOWED, sample_follow_up, sample_question

HeldOutPart = Literal["attr_combo", "count", "relation", "edit_combo"]

MAX_PICTURES: Final = 4
"""Most pictures of one conversation, the user's and ours together."""

_TURNS: Final = (range(1, MAX_TRAIN_TURNS + 1), (2, 4, 5))
_NEXT: Final = {
    "question": 36, "edit": 33, "generation": 9, "outside": 4, "impossible": 6, "steps": 12,
    "follow_up": 20, "undo": 20,
}  # fmt: skip
_FIRST_WITHOUT_PICTURE: Final = {"generation": 78, "outside": 10, "steps": 12}
_REDRAWS: Final = 6
"""Kinds of turn to try."""
_TRIES: Final[dict[Split, int]] = {"train": 3, "dev": 12, "test": 12}
"""Tries for each; few edits of a scene of the smaller splits lead to another one of the same split."""


@dataclass(slots=True)
class _State:
    """What is known after the turns so far.

    Attributes:
        scenes: what the pictures show, in order of entry.
        focus: what `it` means in the latest picture.
        several: the latest pictures came in together, so that none of them is `the` picture.
        settled: leave nothing open, so that what a right answer draws is known beforehand.
        edited: the picture that the latest turn made another of.
        asked: the family of the latest turn's question, and the picture it was about, if the same can be asked again.
        withhold: what training never shows or asks for; `heldout` is of it.
    """

    split: Split
    forms: Forms
    heldout: HeldOutPart | None
    settled: bool
    withhold: Withheld
    scenes: list[Scene] = field(default_factory=list)
    focus: Description | None = None
    several: bool = False
    edited: int | None = None
    asked: tuple[str, int] | None = None

    @property
    def room(self) -> int:
        return MAX_PICTURES - len(self.scenes)

    @property
    def heldout_drawing(self) -> HeldOut | None:
        return None if self.heldout == "edit_combo" else self.heldout

    @property
    def heldout_edit(self) -> HeldOutEdit | None:
        return self.heldout if self.heldout in ("attr_combo", "edit_combo") else None


def sample_dialogue(
    rng: random.Random,
    split: Split,
    forms: Forms,
    turns: int | None = None,
    heldout: HeldOutPart | None = None,
    *,
    withhold: Withheld = NOTHING,
) -> Dialogue:
    """A conversation in which pictures are looked at, drawn and changed.

    Args:
        turns: number of turns; random, at most `MAX_TRAIN_TURNS`, if None.
        heldout: what its pictures or requests hold that training never has.
        withhold: what training never shows or asks for; `heldout` is of it.
    """
    count = turns if turns is not None else rng.choices(*_TURNS)[0]
    while True:
        state = _State(split, forms, heldout, split != "train" and count > 1, withhold)
        made: list[Turn] = []
        while len(made) < count:
            turn = _next_turn(rng, state, first=not made)
            if turn is None:
                break
            made.append(turn)
        if len(made) == count and _qualifies(made, heldout):
            return Dialogue(tuple(made))


def _qualifies(turns: Sequence[Turn], heldout: HeldOutPart | None) -> bool:
    """Whether what is to be held out can have come up."""
    tasks = {step.task for turn in turns for step in turn.steps}
    pictures = any(turn.images for turn in turns) or "T2I" in tasks
    needed = {
        "attr_combo": pictures,
        "count": pictures,
        "edit_combo": "I2I" in tasks,
        "relation": bool(tasks - {"I2I"}),
    }
    return heldout is None or needed[heldout]


def _next_turn(rng: random.Random, state: _State, first: bool) -> Turn | None:
    """One more turn, the state brought up to date; None if nothing fitted."""
    images = _incoming(rng, state, first)
    weights = _NEXT if state.scenes or images else _FIRST_WITHOUT_PICTURE
    possible = {"follow_up": not images and state.asked is not None, "undo": not images and state.edited is not None}
    weights = {kind: weight for kind, weight in weights.items() if possible.get(kind, True)}
    for _ in range(_REDRAWS):
        kind = rng.choices(tuple(weights), tuple(weights.values()))[0]
        for _ in range(_TRIES[state.split]):
            known = replace(state, scenes=[*state.scenes, *images])
            if images:
                known.focus, known.several = None, len(images) > 1
                known.edited = known.asked = None
            turn = _BUILDERS[kind](rng, known)
            if turn is not None:
                _advance(state, known, turn)
                return replace(turn, images=images)
            images = tuple(_picture(rng, state) for _ in images)
    return None


def _incoming(rng: random.Random, state: _State, first: bool) -> tuple[Scene, ...]:
    """The pictures the user sends along."""
    count = rng.choices((0, 1, 2), (25, 67, 8))[0] if first else int(rng.random() < 0.06)
    if count >= state.room:
        return ()
    return tuple(_picture(rng, state) for _ in range(count))


def _picture(rng: random.Random, state: _State) -> Scene:
    return sample_scene(rng, state.split, want=_wanted(state.heldout, state.withhold))


def _wanted(heldout: HeldOutPart | None, withhold: Withheld) -> Callable[[Scene], bool]:
    if heldout == "attr_combo":
        return lambda scene: has_held_out_pair(scene) and not has_held_out_count(scene)
    if heldout == "count":
        return lambda scene: has_held_out_count(scene) and not has_held_out_pair(scene)
    return lambda scene: in_distribution(scene, withhold)


def _advance(state: _State, known: _State, turn: Turn) -> None:
    """Bring `state` to after the turn; `known` is what held when the user asked."""
    drawn = [step.target for step in turn.steps if step.target is not None]
    state.scenes = [*known.scenes, *drawn]
    state.several = known.several and not drawn
    state.focus = _focus(turn)
    last = turn.steps[-1]
    undone = isinstance(turn.check, EditCheck) and "undo" in turn.check.operations
    state.edited = None if undone else last.source
    state.asked = (turn.family, turn.about) if turn.family in FOLLOWED and turn.about is not None else None


def _focus(turn: Turn) -> Description | None:
    check = turn.check.checks[-1] if isinstance(turn.check, StepsCheck) else turn.check
    if isinstance(check, EditCheck) and isinstance(check.changed, Changed) and check.changed.operations:
        return focus_after(check.changed.source, check.changed.operations)
    return None


def _which(rng: random.Random, state: _State) -> tuple[int, bool]:
    """(number of the picture a request is about, whether the sentence has to name it)."""
    if state.several:
        return rng.randint(len(state.scenes) - 1, len(state.scenes)), True
    if len(state.scenes) > 1 and rng.random() < 0.25:
        return rng.randint(1, len(state.scenes)), True
    return len(state.scenes), rng.random() < 0.04


def _question(rng: random.Random, state: _State) -> Turn | None:
    number, named = _which(rng, state)
    turn = sample_question(
        rng,
        state.scenes[number - 1],
        state.forms,
        heldout_relations=state.heldout == "relation",
        number=number if named else None,
        withhold=state.withhold,
    )
    return turn.of(number)


def _edit(rng: random.Random, state: _State) -> Turn | None:
    if not state.room:
        return None
    number, named = _which(rng, state)
    return sample_edit(
        rng,
        state.scenes[number - 1],
        number,
        state.forms,
        state.split,
        state.heldout_edit,
        named,
        focus=None if named else state.focus,
        settled=state.settled,
        withhold=state.withhold,
    )


def _follow_up(rng: random.Random, state: _State) -> Turn | None:
    if state.asked is None:
        return None
    family, number = state.asked
    turn = sample_follow_up(rng, state.scenes[number - 1], state.forms, family, withhold=state.withhold)
    return None if turn is None else turn.of(number)


def _undo(rng: random.Random, state: _State) -> Turn | None:
    if state.edited is None or not state.room:
        return None
    return sample_undo(rng, state.scenes[state.edited - 1], state.edited, state.forms)


def _impossible(rng: random.Random, state: _State) -> Turn | None:
    if state.several:
        return None
    number = len(state.scenes)
    pronoun = state.focus is None and number == 1
    turn = sample_impossible_edit(
        rng, state.scenes[-1], number, state.forms, pronoun=pronoun, withhold=state.withhold
    )
    return None if turn is None else turn.of(number)


def _generation(rng: random.Random, state: _State) -> Turn | None:
    if not state.room:
        return None
    kind: Kind | None = "full" if state.settled else None
    return sample_generation(
        rng, state.split, state.forms, state.heldout_drawing, kind=kind, withhold=state.withhold
    )


def _outside(rng: random.Random, state: _State) -> Turn | None:
    return sample_outside(rng, state.forms)


def _steps(rng: random.Random, state: _State) -> Turn | None:
    """Two requests in one message, the second about what the first leaves.

    Two edits in one message are one step (see `editing`), so they are not among these.
    """
    if state.several:
        return None
    kinds: tuple[str, ...] = ("edit", "question")
    if not state.scenes or rng.random() < 0.12:
        first = _first_drawing(rng, state)
    elif rng.random() < 0.2:
        first, kinds = _plain_question(rng, state), ("edit",)
    else:
        first, kinds = _plain_edit(rng, state), ("question",)
    if first is None:
        return None
    between = replace(state, scenes=list(state.scenes))
    _advance(between, state, first)
    kind = rng.choice(kinds)
    second = _plain_edit(rng, between) if kind == "edit" else _plain_question(rng, between)
    if second is None:
        return None
    after_question = first.steps[0].task == "I2T"
    intent = STEPS_AFTER_QUESTION if after_question else STEPS if kind == "edit" else STEPS_TELL
    return _joined(rng, intent, state.forms, first, second)


def _first_drawing(rng: random.Random, state: _State) -> Turn | None:
    if state.room < 2:
        return None
    kind: Kind = "full" if state.settled or rng.random() < 0.5 else "partial"
    return sample_generation(
        rng, state.split, _inner(state.forms), state.heldout_drawing, kind=kind, withhold=state.withhold
    )


def _plain_edit(rng: random.Random, state: _State) -> Turn | None:
    if not state.room:
        return None
    return sample_edit(
        rng,
        state.scenes[-1],
        len(state.scenes),
        _inner(state.forms),
        state.split,
        state.heldout_edit,
        focus=state.focus,
        short=True,
        settled=state.settled,
        withhold=state.withhold,
    )


def _plain_question(rng: random.Random, state: _State) -> Turn | None:
    heldout = state.heldout == "relation"
    turn = sample_question(
        rng, state.scenes[-1], _inner(state.forms), heldout_relations=heldout, withhold=state.withhold
    )
    return turn.of(len(state.scenes))


def _inner(forms: Forms) -> Forms:
    """Where whole messages are of withheld forms, the requests in them are ordinary."""
    return "train" if forms == "held_out" else forms


def _joined(rng: random.Random, intent: Intent, forms: Forms, first: Turn, second: Turn) -> Turn:
    form = intent.draw(rng, forms)
    texts = [turn.user.rstrip(" .?!,") for turn in (first, second)]
    texts = [text[:1].lower() + text[1:] if not text.isupper() else text.lower() for text in texts]
    user = fill(form, {"one": texts[0], "other": texts[1]})
    checks: list[Check] = [first.check, second.check]
    kept = tuple(check for check in checks if not isinstance(check, StepsCheck))
    steps = (*first.steps, *second.steps)
    return Turn(
        user,
        steps,
        StepsCheck(kept),
        "steps",
        form,
        looks=(*first.looks, *second.looks),
        asked=(*(first.asked or texts[:1]), *(second.asked or texts[1:])),
    )


_BUILDERS: Final[dict[str, Callable[[random.Random, _State], Turn | None]]] = {
    "question": _question,
    "edit": _edit,
    "generation": _generation,
    "outside": _outside,
    "impossible": _impossible,
    "steps": _steps,
    "follow_up": _follow_up,
    "undo": _undo,
}
