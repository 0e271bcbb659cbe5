"""Tasks of several steps: pictures to draw, to change and to ask about, all in one message.

Every change is a picture of its own, which the next request may refer to; only two changes that are asked for by
themselves, and nothing else, make a single picture (see `editing`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from genllava_finetune.worlds.grammar import Forms, add_noise, fill
from genllava_finetune.worlds.shapes.dialogue import (
    Check,
    Dialogue,
    EditCheck,
    StepsCheck,
    Turn,
)
from genllava_finetune.worlds.shapes.language.task_sentences import IN_ANY_WAY, IN_ORDER
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import (
    MAX_TRAIN_TURNS,
    NOTHING,
    Split,
    Withheld,
    sample_scene,
)
from genllava_finetune.worlds.shapes.task_requests import (
    DECLINED,
    MAX_PICTURES,
    NAMED,
    State,
    ask,
    borrow,
    edit_request,
    lending_scene,
    lendings_of,
    next_request,
)

_TURNS: Final = ((1, 2, 3), (60, 28, 12))
_STEPS: Final = ((2, 3, 4, 5), (30, 42, 19, 9))
"""How many steps the last message asks for."""
_EARLIER_STEPS: Final = ((1, 2), (3, 1))
_BROUGHT: Final = ((0, 1, 2), (45, 38, 17))
_FIRST: Final = {"draw": 22, "edit": 48, "borrow": 10, "ask": 20}
_LATER: Final = {"draw": 25, "edit": 45, "borrow": 10, "ask": 20}
_LAST: Final = {"draw": 14, "edit": 28, "borrow": 8, "ask": 50}
_ALIKE_SHARE: Final = 0.08
"""Messages whose requests are all of one kind; in training only."""
_TRIES: Final = 6


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
        state = State(split, forms, withhold)
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
        state = State(split, withhold.forms, withhold)
        images: list[Scene] = []
        for _ in range(rng.randint(2, 4)):
            images.append(lending_scene(rng, images, state, lambda: sample_scene(rng, split, withhold=withhold)))
        state.bring(images)
        turns: list[Turn] = []
        for _ in range(rng.randint(1, 3)):
            lendings = lendings_of(state)
            if not lendings or len(state.scenes) == MAX_PICTURES:
                break
            turn = borrow(rng, state, *rng.choice(lendings))
            state.advance(turn)
            turns.append(replace(turn, user=add_noise(rng, turn.user), images=() if turns else tuple(images)))
        if turns:
            return Dialogue(tuple(turns))


def sample_naming(rng: random.Random, split: Split = "train", withhold: Withheld = NOTHING) -> Dialogue:
    """Many pictures, and requests that name one of them, for training: tasks rarely have more than three."""
    while True:
        state = State(split, withhold.forms, withhold)
        images = tuple(sample_scene(rng, split, withhold=withhold) for _ in range(rng.randint(3, MAX_PICTURES - 1)))
        state.bring(images)
        turns: list[Turn] = []
        for _ in range(MAX_TRAIN_TURNS):
            which = rng.randint(1, min(len(state.scenes), NAMED))
            asks = len(state.scenes) == MAX_PICTURES or rng.random() < 0.6
            turn = ask(rng, state, True, which) if asks else edit_request(rng, state, True, which)
            if turn is not None:
                state.advance(turn)
                turns.append(replace(turn, images=() if turns else images))
        if turns:
            return Dialogue(tuple(turns))


def _incoming(rng: random.Random, state: State, first: bool) -> tuple[Scene, ...]:
    """The pictures the user sends along."""
    count = rng.choices(*_BROUGHT)[0] if first else int(rng.random() < 0.1)
    scenes: list[Scene] = []

    def draw() -> Scene:
        return sample_scene(rng, state.split, withhold=state.withhold)

    for _ in range(count):
        scenes.append(lending_scene(rng, [*state.scenes, *scenes], state, draw))
    return tuple(scenes)


def _message(rng: random.Random, state: State, count: int, alike: float) -> Turn | None:
    """One message of `count` steps, the state brought up to date; None if nothing fitted."""
    requests: list[Turn] = []
    only = rng.choice(tuple(_FIRST)) if not state.settled and rng.random() < alike else None
    while len(requests) < count:
        weights = _FIRST if not requests else _LATER if len(requests) < count - 1 else _LAST
        if only is not None:
            weights = dict.fromkeys(weights, 0) | {only: 1}
        elif not state.settled:
            weights = weights | DECLINED
        for _ in range(_TRIES):
            request = next_request(rng, state, weights, alone=count == 1)
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


def _follows(before: Sequence[Turn], request: Turn, state: State) -> bool:
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
