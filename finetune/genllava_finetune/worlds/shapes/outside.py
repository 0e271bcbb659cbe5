"""Beyond the domain: chat, and requests for what the model cannot see, draw or do, which it says honestly."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Final

from genllava_finetune.worlds.grammar import Forms, Intent, add_noise, fill
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import DeclineCheck, Look, Turn, answer
from genllava_finetune.worlds.shapes.language import foreign_words as foreign
from genllava_finetune.worlds.shapes.language import outside_requests as requests
from genllava_finetune.worlds.shapes.language.noun_phrases import the_thing
from genllava_finetune.worlds.shapes.language.words import PLURAL, say
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, COLORS, SHAPES

OUTSIDE: Final = "I can only see, draw and edit simple shapes."
_ANSWERS: Final = {
    requests.GREETING: "Hello! I can see, draw and edit simple shapes.",
    requests.THANKS: "You are welcome!",
    requests.GOODBYE: "Goodbye!",
    requests.ABILITIES: "I can answer questions about pictures of simple shapes, draw them and edit them.",
}
WEIGHTS: Final = {"chat": 20, "draw": 36, "edit": 22, "question": 22}
KINDS: Final = tuple(WEIGHTS)
PSEUDO_SHARE: Final = 0.3
"""How often a training text has an invented word in place of a noun."""


def sample_outside(rng: random.Random, forms: Forms, kind: str | None = None) -> Turn:
    """A message beyond the domain.

    Args:
        forms: with "held_out", the words for foreign things are withheld from training as well.
        kind: one of `KINDS`; drawn by `WEIGHTS` if None.
    """
    if kind is None:
        kind = rng.choices(KINDS, list(WEIGHTS.values()))[0]
    said = OUTSIDE
    if kind == "chat":
        intent = rng.choice(list(_ANSWERS))
        said = _ANSWERS[intent]
    elif kind == "draw":
        intent = rng.choices((requests.DRAW, requests.WRITE), (85, 15))[0]
    elif kind == "edit":
        intent = rng.choices((requests.CHANGE, requests.STYLE), (70, 30))[0]
    else:
        intent = requests.QUESTION
    return _turn(rng, kind, intent, forms, said)


def _turn(rng: random.Random, kind: str, intent: Intent, forms: Forms, said: str) -> Turn:
    form = intent.draw(rng, forms)
    words: dict[str, str] = {}
    for name, word in _WORDS.items():
        if f"{{{name}}}" in form:
            words[name] = word(rng, forms)
    text = " ".join(fill(form, words).split())
    user = add_noise(rng, text + ("?" if kind == "question" and rng.random() < 0.7 else ""))
    return Turn(user, (answer(said),), DeclineCheck("outside"), f"outside.{kind}", form, looks=(Look(),))


@functools.cache
def _known(words: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    return foreign.only(words, held_out)


def _pick(rng: random.Random, words: tuple[str, ...], forms: Forms) -> str:
    if forms == "all":
        return rng.choice(words)
    return rng.choice(_known(words, forms == "held_out"))


def _noun(rng: random.Random, forms: Forms) -> str:
    if forms != "held_out" and rng.random() < PSEUDO_SHARE:
        return foreign.pseudo_word(rng)
    return _pick(rng, foreign.NOUNS, forms)


def _thing(rng: random.Random, forms: Forms) -> str:
    """`a fluffy dog in the rain`."""
    adjective = rng.choice(foreign.ADJECTIVES) + " " if rng.random() < 0.35 else ""
    scenery = " " + rng.choice(foreign.SCENERY) if rng.random() < 0.18 else ""
    return fill("a {words}", {"words": f"{adjective}{_noun(rng, forms)}{scenery}"})


def _things(rng: random.Random, forms: Forms) -> str:
    """Something to draw, of which at least one part is beyond the domain."""
    draw = rng.random()
    if draw < 0.5:
        return _thing(rng, forms)
    shape, color = rng.choice(SHAPES), rng.choice(COLORS)
    known = fill("a {words}", {"words": f"{color} {shape}" if rng.random() < 0.5 else shape})
    if draw < 0.6:
        pair = [known, _thing(rng, forms)]
        rng.shuffle(pair)
        return rng.choice(("{} and {}", "{} with {}", "{} next to {}", "{} on {}")).format(*pair)
    if draw < 0.7:
        return fill("a {words}", {"words": f"{_pick(rng, foreign.COLORS, forms)} {shape}"})
    if draw < 0.8:
        strange = foreign.pseudo_word(rng) if forms != "held_out" and rng.random() < 0.2 else None
        strange = strange or _pick(rng, foreign.SHAPES, forms)
        return fill("a {words}", {"words": f"{color} {strange}" if rng.random() < 0.5 else strange})
    if draw < 0.88:
        plural = PLURAL[shape] if rng.random() < 0.7 else say(rng, "things")
        return f"{rng.choice(foreign.TOO_MANY)} {color + ' ' if rng.random() < 0.4 else ''}{plural}"
    ground = rng.choice([name for name in (*COLORS, *foreign.COLORS[:12]) if name not in BACKGROUNDS])
    return f"{known} on a {ground} background"


def _the_known(rng: random.Random, forms: Forms) -> str:
    """Something that may well be in the picture."""
    what = Description(rng.choice(SHAPES), rng.choice(COLORS) if rng.random() < 0.3 else None)
    return the_thing(rng, what if rng.random() < 0.8 else Description(), forms)


_WORDS: Final[dict[str, Callable[[random.Random, Forms], str]]] = {
    "things": _things,
    "thing": _thing,
    "foreign": _noun,
    "person": lambda rng, forms: _pick(rng, foreign.PEOPLE, forms),
    "the": _the_known,
    "color": lambda rng, forms: _pick(rng, foreign.COLORS, forms),
    "picture": lambda rng, forms: say(rng, "picture"),
    "word": _noun,
    "city": lambda rng, forms: rng.choice(foreign.CITIES),
    "number": lambda rng, forms: str(rng.randrange(2, 100)),
}
