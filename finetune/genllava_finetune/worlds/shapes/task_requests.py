"""The requests of a task, each of one step: what they ask for, and what is known after them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from genllava_finetune.worlds.grammar import Forms, fill
from genllava_finetune.worlds.shapes import answers
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import (
    AnswerCheck,
    EditCheck,
    Look,
    SceneCheck,
    Turn,
    answer,
    edit,
)
from genllava_finetune.worlds.shapes.editing import focus_after, is_held_out_edit, sample_edit
from genllava_finetune.worlds.shapes.edits import Background, Changed, Preserved
from genllava_finetune.worlds.shapes.generation import Kind, sample_generation
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.language.noun_phrases import inner, place_words, the_picture
from genllava_finetune.worlds.shapes.language.task_sentences import ANSWERED, BORROW, WHAT_IS_AT
from genllava_finetune.worlds.shapes.language.words import ORDINAL, say
from genllava_finetune.worlds.shapes.notes import look, values
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.proposals import OPERATIONS, common_words
from genllava_finetune.worlds.shapes.scene import CELLS, COLORS, SHAPES, SIZES, Scene
from genllava_finetune.worlds.shapes.specification import Specification
from genllava_finetune.worlds.shapes.splits import (
    Split,
    Withheld,
    in_distribution,
    split_of,
)
from genllava_finetune.worlds.shapes.understanding import WEIGHTS, sample_question

MAX_PICTURES: Final = 6
"""Most pictures of one conversation, the user's and ours together."""

NAMED: Final = len(ORDINAL) - 1
"""Pictures are called by their number up to this one."""
DECLINED: Final = {"outside": 3, "impossible": 5}
"""What is answered with words in the middle of a task, and the task goes on; in training only."""
_ASKED: Final = {
    **WEIGHTS, "count": 26, "caption_short": 1, "caption_full": 5, "background": 6, "what_is_at": 12,
    "relation": 5, "relation_what": 4, "compare": 4, "logic": 4, "ambiguous": 3,
}  # fmt: skip
_ABOUT_BACKGROUND: Final = ("background", "caption_short", "caption_full")
_LENDING_TRIES: Final = 60
"""Few scenes of the smaller splits stay in theirs before another background."""
_ADJECTIVES: Final = "|".join((*SIZES, *COLORS, "big", "tiny", "little"))
_THE_THING: Final = re.compile(rf"\bthe ((?:(?:{_ADJECTIVES}) )*(?:{'|'.join(SHAPES)}))\b(?!')")
_THE_PICTURE: Final = re.compile(rf"\bthe ({'|'.join(ORDINAL)}) (?:picture|image|drawing)\b")
_TELLING: Final = re.compile(
    r"(please )?(tell|say|can you|could you|would you|do you know|i want|i wonder|i'd|give|describe|name|locate|find)"
)


@dataclass(frozen=True, slots=True)
class AnyBackground:
    """A condition on scenes that does not mind the background, which was left to whoever drew the picture."""

    condition: Callable[[Scene], bool]
    background: str

    def __call__(self, scene: Scene) -> bool:
        return self.condition(replace(scene, background=self.background))


@dataclass(slots=True)
class State:
    """What is known after the steps so far.

    Attributes:
        scenes: what the pictures show, in order of entry.
        unsettled: numbers of the pictures whose background was left open.
        focus: what `it` means in the latest picture.
        several: the latest pictures came in together, so that none of them is `the` picture.
        withhold: what training never shows or asks for.
    """

    split: Split
    forms: Forms
    withhold: Withheld
    scenes: list[Scene] = field(default_factory=list)
    unsettled: frozenset[int] = frozenset()
    focus: Description | None = None
    several: bool = False

    @property
    def settled(self) -> bool:
        """Leave nothing open that a later step depends on."""
        return self.split != "train"

    def bring(self, images: Sequence[Scene]) -> None:
        if images:
            self.scenes += images
            self.focus, self.several = None, len(images) > 1

    def advance(self, turn: Turn) -> None:
        """Bring the state to after a request of one step."""
        (step,), check = turn.steps, turn.check
        self.focus = None
        if step.target is None:
            return
        self.scenes.append(step.target)
        self.several = False
        number = len(self.scenes)
        if isinstance(check, SceneCheck):
            spec = getattr(check.holds, "__self__", None)
            if isinstance(spec, Specification) and spec.background is None and self.settled:
                self.unsettled |= {number}
        elif isinstance(check, EditCheck):
            if isinstance(check.changed, Changed):
                self.focus = focus_after(check.changed.source, check.changed.operations)
            if step.source in self.unsettled and check.operations != ("background",):
                self.unsettled |= {number}


def lending_scene(rng: random.Random, scenes: Sequence[Scene], state: State, draw: Callable[[], Scene]) -> Scene:
    """A scene, often one to which another picture can lend its background."""
    scene = draw()
    if scenes and rng.random() < 0.4:
        for _ in range(_LENDING_TRIES):
            if any(_lent(scene, source, state) or _lent(source, scene, state) for source in scenes):
                break
            scene = draw()
    return scene


def _lent(target: Scene, source: Scene, state: State) -> Scene | None:
    """`target` on the background of `source`; None if that is nothing to ask for."""
    scene = replace(target, background=source.background)
    fine = scene != target and split_of(scene) == state.split and in_distribution(scene, state.withhold)
    held_out = fine and is_held_out_edit(target, (Background(source.background),), state.withhold)
    return scene if fine and not held_out else None


def next_request(rng: random.Random, state: State, weights: dict[str, int], alone: bool) -> Turn | None:
    """A request of one step; `alone`: in whole sentences, for it is all there is of the message."""
    if not state.scenes:
        return _draw(rng, state, alone)
    lendings = [] if alone else lendings_of(state)
    usual = 3 if state.settled else 1  # the smaller splits rarely have any
    possible = {
        "draw": weights["draw"] * (len(state.scenes) < MAX_PICTURES),
        "edit": weights["edit"] * (len(state.scenes) < MAX_PICTURES),
        "borrow": weights["borrow"] * usual * (len(state.scenes) < MAX_PICTURES and bool(lendings)),
        "ask": weights["ask"],
    }
    if not alone and "impossible" in weights:
        possible |= {name: weights[name] for name in DECLINED}
    if not any(possible.values()):
        return None
    kind = rng.choices(list(possible), list(possible.values()))[0]
    if kind == "draw":
        return _draw(rng, state, alone)
    if kind == "borrow":
        return borrow(rng, state, *rng.choice(lendings))
    if kind == "outside":
        return sample_outside(rng, inner(state.forms))
    if kind == "impossible":
        return _impossible(rng, state)
    return edit_request(rng, state, alone) if kind == "edit" else ask(rng, state, alone)


def _draw(rng: random.Random, state: State, alone: bool) -> Turn:
    def sample() -> Turn:
        kinds: tuple[Kind, ...] = ("full", "placed", "partial", "count", "relation")
        kind = rng.choices(kinds, (55, 45, 0, 0, 0) if state.settled else (42, 33, 15, 5, 5))[0]
        forms = _forms(state, alone)
        return sample_generation(rng, state.split, forms, kind=kind, short=not alone, withhold=state.withhold)

    made: dict[Scene, Turn] = {}

    def scene() -> Scene:
        turn = sample()
        while len(turn.steps[0].target.things if turn.steps[0].target else ()) > 3 and rng.random() < 0.7:
            turn = sample()
        target = turn.steps[0].target
        assert target is not None
        made[target] = turn
        return target

    return made[lending_scene(rng, state.scenes, state, scene)]


def _forms(state: State, alone: bool) -> Forms:
    return state.forms if alone else inner(state.forms)


def _which(rng: random.Random, state: State) -> tuple[int, bool]:
    """(number of the picture a request is about, whether the sentence has to name it)."""
    latest = len(state.scenes)
    if state.several:
        return rng.randint(latest - 1, latest), True
    if latest > 1 and rng.random() < 0.35:
        return rng.randint(1, min(latest, NAMED)), True
    return latest, latest <= NAMED and rng.random() < 0.05


def edit_request(rng: random.Random, state: State, alone: bool, which: int | None = None) -> Turn | None:
    number, named = _which(rng, state) if which is None else (which, True)
    turn = sample_edit(
        rng,
        state.scenes[number - 1],
        number,
        _forms(state, alone),
        state.split,
        name_number=named,
        kinds=(rng.choice(OPERATIONS),),
        focus=None if named else state.focus,
        short=not alone,
        settled=state.settled,
        withhold=state.withhold,
    )
    if turn is None:
        return None
    text = turn.user
    if named and not alone and rng.random() < 0.5:
        text = _THE_THING.sub(r"its \1", text, count=1)
    return _unminding(state, number, replace(turn, user=_shortly(rng, text)))


def _impossible(rng: random.Random, state: State) -> Turn | None:
    """A change of the latest picture that cannot be made."""
    if state.several or state.unsettled:
        return None
    turn = sample_impossible_edit(rng, state.scenes[-1], 1, inner(state.forms), pronoun=False, withhold=state.withhold)
    return None if turn is None else turn.of(len(state.scenes))


def _shortly(rng: random.Random, text: str) -> str:
    """`the second picture` as `the second one`, at times."""
    return _THE_PICTURE.sub(r"the \1 one", text) if rng.random() < 0.4 else text


def _unminding(state: State, number: int, turn: Turn) -> Turn:
    """The edit with the background out of its check where it was never asked for."""
    check = turn.check
    if number not in state.unsettled or not isinstance(check, EditCheck) or check.operations == ("background",):
        return turn
    background = state.scenes[number - 1].background
    changed, preserved = AnyBackground(check.changed, background), AnyBackground(check.preserved, background)
    return replace(turn, check=EditCheck(changed, preserved, check.operations))


def lendings_of(state: State) -> list[tuple[int, int, Scene]]:
    """(picture, the one whose background it could have, what comes of it)."""
    numbered = list(enumerate(state.scenes[:NAMED], 1))
    found = []
    for number, target in enumerate(state.scenes, 1):
        for other, source in numbered:
            scene = _lent(target, source, state)
            if scene is not None and other not in state.unsettled and (number <= NAMED or number == len(state.scenes)):
                found.append((number, other, scene))
    return found


def borrow(rng: random.Random, state: State, number: int, other: int, scene: Scene) -> Turn:
    """`put the second one's background behind the third`."""
    target, operations = state.scenes[number - 1], (Background(scene.background),)
    latest = number == len(state.scenes) and not state.several
    names = {"source": _name(rng, other), "target": _name(rng, number) if number <= NAMED else "it"}
    if latest and (number > NAMED or rng.random() < 0.4):
        names["target"] = rng.choice(("it", "this one", "the last one", f"the last {say(rng, 'picture')}"))
    form = BORROW.draw(rng, inner(state.forms))
    text = fill(form, names | common_words(rng))
    check = EditCheck(Changed(target, operations), Preserved(target, operations), ("background",))
    step = edit(number, scene, [thing.cell for thing in scene.things])
    notes = (values("background", f"image {other}", scene.background),)
    return Turn(text, (step,), check, "edit", form, looks=(Look(number, notes, beside=other),))


def _name(rng: random.Random, number: int) -> str:
    """A picture: `the second one`, `the second`, `image 2`."""
    draw = rng.random()
    if draw < 0.35:
        return f"the {ORDINAL[number]} one"
    return f"the {ORDINAL[number]}" if draw < 0.5 else the_picture(rng, number)


def ask(rng: random.Random, state: State, alone: bool, which: int | None = None) -> Turn | None:
    number, named = _which(rng, state) if which is None else (which, True)
    scene = state.scenes[number - 1]
    weights = {f: w for f, w in _ASKED.items() if number not in state.unsettled or f not in _ABOUT_BACKGROUND}
    family = rng.choices(list(weights), list(weights.values()))[0]
    if family == "what_is_at":
        return None if alone else _what_is_at(rng, state, number, named)
    try:
        turn = sample_question(
            rng, scene, _forms(state, alone), family, number=number if named else None, withhold=state.withhold
        )
    except ValueError:  # this scene gives no such question
        return None
    return replace(turn.of(number), user=turn.user if alone else _answered(rng, state, turn.user))


def _what_is_at(rng: random.Random, state: State, number: int, named: bool) -> Turn:
    scene = state.scenes[number - 1]
    cell = rng.choice(scene.things).cell if scene.things and rng.random() < 0.85 else rng.randrange(len(CELLS))
    what = Description(cell=cell)
    there = what.select(scene)
    said = answers.appearance(there[0]) if there else answers.NOTHING
    form = WHAT_IS_AT.draw(rng, inner(state.forms))
    here = f"in {the_picture(rng, number)}" if named else ""
    text = " ".join(fill(form, place_words(rng, cell) | {"here": here, "thing": say(rng, "thing")}).split())
    user = _answered(rng, state, text)
    looks = (Look(number, (look(scene, what),)),)
    return Turn(user, (answer(said),), AnswerCheck((said,)), "what_is_at", form, looks=looks)


def _answered(rng: random.Random, state: State, question: str) -> str:
    """The question as one of several requests."""
    text = question.lower().rstrip(" .?!,")
    form = "{question}?" if _TELLING.match(text) else ANSWERED.draw(rng, inner(state.forms))
    return _shortly(rng, fill(form, {"question": text}))
