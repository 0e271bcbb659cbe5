"""Tasks of several steps: pictures to draw, to change and to ask about, all in one message.

Every change is a picture of its own, which the next request may refer to; only two changes that are asked for by
themselves, and nothing else, make a single picture (see `editing`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from genllava_finetune.worlds.grammar import Forms, add_noise, fill
from genllava_finetune.worlds.shapes import answers
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import (
    AnswerCheck,
    Check,
    Dialogue,
    EditCheck,
    Look,
    SceneCheck,
    StepsCheck,
    Turn,
    answer,
    edit,
)
from genllava_finetune.worlds.shapes.editing import focus_after, is_held_out_edit, sample_edit
from genllava_finetune.worlds.shapes.edits import Background, Changed, Preserved
from genllava_finetune.worlds.shapes.generation import Kind, sample_generation
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.language.noun_phrases import inner, place_words, the_picture
from genllava_finetune.worlds.shapes.language.task_sentences import ANSWERED, BORROW, IN_ANY_WAY, IN_ORDER, WHAT_IS_AT
from genllava_finetune.worlds.shapes.language.words import ORDINAL, say
from genllava_finetune.worlds.shapes.notes import look, values
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.proposals import OPERATIONS, common_words
from genllava_finetune.worlds.shapes.scene import CELLS, COLORS, SHAPES, SIZES, Scene
from genllava_finetune.worlds.shapes.specification import Specification
from genllava_finetune.worlds.shapes.splits import (
    MAX_TRAIN_TURNS,
    NOTHING,
    Split,
    Withheld,
    in_distribution,
    sample_scene,
    split_of,
)
from genllava_finetune.worlds.shapes.understanding import WEIGHTS, sample_question

MAX_PICTURES: Final = 6
"""Most pictures of one conversation, the user's and ours together."""

_NAMED: Final = len(ORDINAL) - 1
"""Pictures are called by their number up to this one."""
_TURNS: Final = ((1, 2, 3), (60, 28, 12))
_STEPS: Final = ((2, 3, 4, 5), (30, 42, 19, 9))
"""How many steps the last message asks for."""
_EARLIER_STEPS: Final = ((1, 2), (3, 1))
_BROUGHT: Final = ((0, 1, 2), (45, 38, 17))
_FIRST: Final = {"draw": 22, "edit": 48, "borrow": 10, "ask": 20}
_LATER: Final = {"draw": 25, "edit": 45, "borrow": 10, "ask": 20}
_LAST: Final = {"draw": 14, "edit": 28, "borrow": 8, "ask": 50}
_DECLINED: Final = {"outside": 3, "impossible": 5}
"""What is answered with words in the middle of a task, and the task goes on; in training only."""
_ALIKE_SHARE: Final = 0.08
"""Messages whose requests are all of one kind; in training only."""
_ASKED: Final = {
    **WEIGHTS, "count": 26, "caption_short": 1, "caption_full": 5, "background": 6, "what_is_at": 12,
    "relation": 5, "relation_what": 4, "compare": 4, "logic": 4, "ambiguous": 3,
}  # fmt: skip
_ABOUT_BACKGROUND: Final = ("background", "caption_short", "caption_full")
_TRIES: Final = 6
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
class _State:
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


def sample_task(
    rng: random.Random,
    split: Split,
    forms: Forms,
    turns: int | None = None,
    alike: float = _ALIKE_SHARE,
    *,
    withhold: Withheld = NOTHING,
) -> Dialogue:
    """A short conversation whose last message asks for two to five steps.

    Args:
        forms: of the whole messages; the requests in a message of several are ordinary.
        turns: number of messages; random, up to three, if None.
        alike: share of messages whose requests are all of one kind, in training only.
        withhold: what training never shows or asks for.
    """
    count = turns or rng.choices(*_TURNS)[0]
    while True:
        state = _State(split, forms, withhold)
        made: list[Turn] = []
        while len(made) < count:
            images = _incoming(rng, state, first=not made)
            state.bring(images)
            steps = rng.choices(*(_STEPS if len(made) == count - 1 else _EARLIER_STEPS))[0]
            turn = _message(rng, state, steps, alike)
            if turn is None:
                break
            made.append(replace(turn, images=images))
        else:
            return Dialogue(tuple(made))


def sample_borrowing(rng: random.Random, split: Split = "train", withhold: Withheld = NOTHING) -> Dialogue:
    """Pictures that are given each other's backgrounds, for training: which of two is changed is easily mistaken."""
    while True:
        state = _State(split, withhold.forms, withhold)
        images: list[Scene] = []
        for _ in range(rng.randint(2, 4)):
            images.append(_lending(rng, images, state, lambda: sample_scene(rng, split, withhold=withhold)))
        state.bring(images)
        turns: list[Turn] = []
        for _ in range(rng.randint(1, 3)):
            lendings = _lendings(state)
            if not lendings or len(state.scenes) == MAX_PICTURES:
                break
            turn = _borrow(rng, state, *rng.choice(lendings))
            state.advance(turn)
            turns.append(replace(turn, user=add_noise(rng, turn.user), images=() if turns else tuple(images)))
        if turns:
            return Dialogue(tuple(turns))


def sample_naming(rng: random.Random, split: Split = "train", withhold: Withheld = NOTHING) -> Dialogue:
    """Many pictures, and requests that name one of them, for training: tasks rarely have more than three."""
    while True:
        state = _State(split, withhold.forms, withhold)
        images = tuple(sample_scene(rng, split, withhold=withhold) for _ in range(rng.randint(3, MAX_PICTURES - 1)))
        state.bring(images)
        turns: list[Turn] = []
        for _ in range(MAX_TRAIN_TURNS):
            which = rng.randint(1, min(len(state.scenes), _NAMED))
            ask = len(state.scenes) == MAX_PICTURES or rng.random() < 0.6
            turn = _ask(rng, state, True, which) if ask else _edit(rng, state, True, which)
            if turn is not None:
                state.advance(turn)
                turns.append(replace(turn, images=() if turns else images))
        if turns:
            return Dialogue(tuple(turns))


def _incoming(rng: random.Random, state: _State, first: bool) -> tuple[Scene, ...]:
    """The pictures the user sends along."""
    count = rng.choices(*_BROUGHT)[0] if first else int(rng.random() < 0.1)
    scenes: list[Scene] = []

    def draw() -> Scene:
        return sample_scene(rng, state.split, withhold=state.withhold)

    for _ in range(count):
        scenes.append(_lending(rng, [*state.scenes, *scenes], state, draw))
    return tuple(scenes)


def _lending(rng: random.Random, scenes: Sequence[Scene], state: _State, draw: Callable[[], Scene]) -> Scene:
    """A scene, often one to which another picture can lend its background."""
    scene = draw()
    if scenes and rng.random() < 0.4:
        for _ in range(_LENDING_TRIES):
            if any(_lent(scene, source, state) or _lent(source, scene, state) for source in scenes):
                break
            scene = draw()
    return scene


def _lent(target: Scene, source: Scene, state: _State) -> Scene | None:
    """`target` on the background of `source`; None if that is nothing to ask for."""
    scene = replace(target, background=source.background)
    fine = scene != target and split_of(scene) == state.split and in_distribution(scene, state.withhold)
    held_out = fine and is_held_out_edit(target, (Background(source.background),), state.withhold)
    return scene if fine and not held_out else None


def _message(rng: random.Random, state: _State, count: int, alike: float) -> Turn | None:
    """One message of `count` steps, the state brought up to date; None if nothing fitted."""
    requests: list[Turn] = []
    only = rng.choice(tuple(_FIRST)) if not state.settled and rng.random() < alike else None
    while len(requests) < count:
        weights = _FIRST if not requests else _LATER if len(requests) < count - 1 else _LAST
        if only is not None:
            weights = dict.fromkeys(weights, 0) | {only: 1}
        elif not state.settled:
            weights = weights | _DECLINED
        for _ in range(_TRIES):
            request = _request(rng, state, weights, alone=count == 1)
            if request is not None and _follows(requests, request, state):
                break
        else:
            return None
        requests.append(request)
        state.advance(request)
    if count == 1:
        return requests[0]
    if count == 2 and all(request.steps[0].task == "I2I" for request in requests):
        return None
    return _string(rng, state.forms, requests)


def _follows(before: Sequence[Turn], request: Turn, state: _State) -> bool:
    """Whether a request may come next in a message; where all is settled, what follows words is of the same picture."""
    if not before:
        return True
    last = before[-1]
    if any(request.user == other.user for other in before):
        return False
    asked = last.steps[0].target is None and None not in (last.about, request.about)
    if state.settled and asked and last.about != request.about:
        return False
    kinds = [r.check.operations[0] for r in (*before, request) if isinstance(r.check, EditCheck)]
    return not any({pair, pair[::-1]} & state.withhold.edit_pairs for pair in pairwise(kinds))


def _request(rng: random.Random, state: _State, weights: dict[str, int], alone: bool) -> Turn | None:
    """A request of one step; `alone`: in whole sentences, for it is all there is of the message."""
    if not state.scenes:
        return _draw(rng, state, alone)
    lendings = [] if alone else _lendings(state)
    usual = 3 if state.settled else 1  # the smaller splits rarely have any
    possible = {
        "draw": weights["draw"] * (len(state.scenes) < MAX_PICTURES),
        "edit": weights["edit"] * (len(state.scenes) < MAX_PICTURES),
        "borrow": weights["borrow"] * usual * (len(state.scenes) < MAX_PICTURES and bool(lendings)),
        "ask": weights["ask"],
    }
    if not alone and "impossible" in weights:
        possible |= {name: weights[name] for name in _DECLINED}
    if not any(possible.values()):
        return None
    kind = rng.choices(list(possible), list(possible.values()))[0]
    if kind == "draw":
        return _draw(rng, state, alone)
    if kind == "borrow":
        return _borrow(rng, state, *rng.choice(lendings))
    if kind == "outside":
        return sample_outside(rng, inner(state.forms))
    if kind == "impossible":
        return _impossible(rng, state)
    return _edit(rng, state, alone) if kind == "edit" else _ask(rng, state, alone)


def _draw(rng: random.Random, state: _State, alone: bool) -> Turn:
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

    return made[_lending(rng, state.scenes, state, scene)]


def _forms(state: _State, alone: bool) -> Forms:
    return state.forms if alone else inner(state.forms)


def _which(rng: random.Random, state: _State) -> tuple[int, bool]:
    """(number of the picture a request is about, whether the sentence has to name it)."""
    latest = len(state.scenes)
    if state.several:
        return rng.randint(latest - 1, latest), True
    if latest > 1 and rng.random() < 0.35:
        return rng.randint(1, min(latest, _NAMED)), True
    return latest, latest <= _NAMED and rng.random() < 0.05


def _edit(rng: random.Random, state: _State, alone: bool, which: int | None = None) -> Turn | None:
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


def _impossible(rng: random.Random, state: _State) -> Turn | None:
    """A change of the latest picture that cannot be made."""
    if state.several or state.unsettled:
        return None
    turn = sample_impossible_edit(rng, state.scenes[-1], 1, inner(state.forms), pronoun=False, withhold=state.withhold)
    return None if turn is None else turn.of(len(state.scenes))


def _shortly(rng: random.Random, text: str) -> str:
    """`the second picture` as `the second one`, at times."""
    return _THE_PICTURE.sub(r"the \1 one", text) if rng.random() < 0.4 else text


def _unminding(state: _State, number: int, turn: Turn) -> Turn:
    """The edit with the background out of its check where it was never asked for."""
    check = turn.check
    if number not in state.unsettled or not isinstance(check, EditCheck) or check.operations == ("background",):
        return turn
    background = state.scenes[number - 1].background
    changed, preserved = AnyBackground(check.changed, background), AnyBackground(check.preserved, background)
    return replace(turn, check=EditCheck(changed, preserved, check.operations))


def _lendings(state: _State) -> list[tuple[int, int, Scene]]:
    """(picture, the one whose background it could have, what comes of it)."""
    numbered = list(enumerate(state.scenes[:_NAMED], 1))
    found = []
    for number, target in enumerate(state.scenes, 1):
        for other, source in numbered:
            scene = _lent(target, source, state)
            if scene is not None and other not in state.unsettled and (number <= _NAMED or number == len(state.scenes)):
                found.append((number, other, scene))
    return found


def _borrow(rng: random.Random, state: _State, number: int, other: int, scene: Scene) -> Turn:
    """`put the second one's background behind the third`."""
    target, operations = state.scenes[number - 1], (Background(scene.background),)
    latest = number == len(state.scenes) and not state.several
    names = {"source": _name(rng, other), "target": _name(rng, number) if number <= _NAMED else "it"}
    if latest and (number > _NAMED or rng.random() < 0.4):
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


def _ask(rng: random.Random, state: _State, alone: bool, which: int | None = None) -> Turn | None:
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


def _what_is_at(rng: random.Random, state: _State, number: int, named: bool) -> Turn:
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


def _answered(rng: random.Random, state: _State, question: str) -> str:
    """The question as one of several requests."""
    text = question.lower().rstrip(" .?!,")
    form = "{question}?" if _TELLING.match(text) else ANSWERED.draw(rng, inner(state.forms))
    return _shortly(rng, fill(form, {"question": text}))


def _string(rng: random.Random, forms: Forms, requests: Sequence[Turn]) -> Turn:
    """All requests in one message."""
    changes = [request.steps[0].task == "I2I" for request in requests[-2:]]
    intent = (IN_ORDER if all(changes) else IN_ANY_WAY)[len(requests)]
    form = intent.draw(rng, forms)
    texts = [request.user.lower().rstrip(" .!,") for request in requests]
    user = fill(form, dict(zip("abcde", texts, strict=False)))
    user = re.sub(r"\?\s*[.,;]", "?", user).removesuffix("?" if rng.random() < 0.3 else "")
    checks: list[Check] = [request.check for request in requests]
    kept = tuple(check for check in checks if not isinstance(check, StepsCheck))
    return Turn(
        add_noise(rng, user),
        tuple(request.steps[0] for request in requests),
        StepsCheck(kept),
        f"{len(requests)} steps",
        form,
        looks=tuple(look for request in requests for look in request.looks),
        asked=tuple(texts),
    )
