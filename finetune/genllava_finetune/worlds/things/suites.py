"""The frozen test suites of the things world: what is asked, grown from fixed seeds, the same on every machine.

A suite is a list of cases; a case is a conversation with the pictures that its user brings. The suites after a slash
hold what the research recipe withholds from training; a model that was trained on everything has seen all but the cases
themselves. Tuning uses the `dev` split only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from PIL import Image

from genllava_finetune.worlds.base import Asked as AskedOf
from genllava_finetune.worlds.base import Pictures, Split, Suite
from genllava_finetune.worlds.things.conversation.dialogue import MAKERS, make_dialogue
from genllava_finetune.worlds.things.conversation.talk import Called, Drawn, Said, Shown, Talk, Turn
from genllava_finetune.worlds.things.conversation.thread_turns import several
from genllava_finetune.worlds.things.grading.grading import TOOL, Asked, View
from genllava_finetune.worlds.things.grading.test_file_cases import Draws, Expected, Wish, expected_of
from genllava_finetune.worlds.things.grading.words import occurs, tokens
from genllava_finetune.worlds.things.knowledge.things import Thing, things_of
from genllava_finetune.worlds.things.language.typed import as_typed
from genllava_finetune.worlds.things.language.wording import read_phrases
from genllava_finetune.worlds.things.pictures import elsewhere
from genllava_finetune.worlds.things.pictures.augment import augment
from genllava_finetune.worlds.things.pictures.render import render
from genllava_finetune.worlds.things.pictures.sampling import sample_scene, shifted
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.pictures.unreadable import KINDS, unreadable
from genllava_finetune.worlds.things.questions import asking
from genllava_finetune.worlds.things.questions.asking import Question, ask
from genllava_finetune.worlds.things.requests.asked import Asking
from genllava_finetune.worlds.things.requests.outside import in_words
from genllava_finetune.worlds.things.requests.requests import draw, edit, impossible

THINGS: Final = 286
"""How many things occur, the first ones of `knowledge/order.yaml`."""
FAMILIES: Final = tuple(dict.fromkeys(asking.FAMILIES.values()))
_ROUTING_TIMES: Final = 4
_SLIPS: Final = 6
"""How often a sentence is typed anew until it holds slips."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Attributes:
        seed: of whatever the model draws, and of how the user's pictures look.
        turns: the messages.
        brought: what the user brings with each of them.
        look: how these pictures are drawn: `neat`, `saved` as other programs do, or a kind of `elsewhere.READABLE` or
            of `unreadable.KINDS`.
        shown: other pictures in their place.
    """

    seed: int
    turns: tuple[Asked, ...]
    brought: tuple[tuple[Shown, ...], ...]
    look: str = "neat"
    shown: Pictures | None = None

    def showing(self, pictures: Pictures) -> Case:
        """The same with other pictures in the place of the user's."""
        return replace(self, shown=pictures)

    @property
    def pictures(self) -> Pictures:
        """What the user brings, turn by turn; drawn anew each time."""
        if self.shown is not None:
            return self.shown
        source = random.Random(self.seed)
        return tuple(tuple(self._picture(source, each) for each in brought) for brought in self.brought)

    def _picture(self, source: random.Random, shown: Shown) -> Image.Image:
        if shown.scene is None:
            return unreadable(source, self.look if self.look in KINDS else None)
        if self.look in elsewhere.READABLE:
            return elsewhere.READABLE[self.look](shown.scene, source).image
        image = render(shown.scene)
        return augment(image, source) if self.look == "saved" else image


@dataclass(frozen=True, slots=True)
class Source:
    """What cases are made from; `withheld`: of sentence families that the research recipe withholds alone."""

    random: random.Random
    known: Sequence[Thing]
    withheld: bool = False

    @property
    def families(self) -> dict[str, Any]:
        """Arguments for `ask`, `draw` and so on."""
        return {"withhold": not self.withheld, "only_withheld": self.withheld}

    def scene(self, least: int = 0) -> Scene:
        """A picture that a user brings."""
        return sample_scene(self.random, self.known, least=least, free=self.random.random() < 0.6)


Sample = Callable[[Source], Case | None]
"""Draws a case; None if nothing fitting came of it, and it is to be tried again."""


# --- from what the world makes to what is asked ---


def _case(source: Source, turns: Sequence[Asked], brought: Sequence[Sequence[Shown]], look: str = "neat") -> Case:
    return Case(source.random.randrange(2**31), tuple(turns), tuple(map(tuple, brought)), look)


def _about(source: Source, scene: Scene, turn: Asked, look: str = "neat") -> Case:
    """A single message about a picture that comes with it."""
    turn = replace(turn, view=View((scene,), (scene,)))
    return _case(source, [turn], [[Shown(scene)]], look)


def _question(found: Question) -> Asked:
    kind = asking.FAMILIES[found.intent]
    return Asked(
        found.text, ("I2T",), (expected_of({"answers": dict(found.expected)}),), kind=kind, intent=found.intent
    )


def turns_of(talk: Talk) -> list[Asked]:
    """The messages of a conversation of the world."""
    made: list[Asked] = []
    last: tuple[Expected | None, tuple[Scene, ...]] = (None, ())
    view = count = 0
    for turn in talk.turns:
        count += len(turn.brought)
        view = count if turn.brought else view
        there = tuple(shown.scene for shown in talk.pictures[:count])
        in_view = there[view - 1] if view else None
        sources: tuple[Scene, ...] = () if in_view is None else (in_view,)
        if turn.intent == "ask_other_picture":
            sources = tuple(scene for scene in there if scene is not None)
        steps = _steps(turn)
        tasks = tuple(map(_task, turn.outcomes))
        made.append(Asked(turn.text, tasks, steps, View(sources, there, *last), _kind(turn, steps), turn.intent))
        if steps[-1].draws is not None or steps[-1].edits is not None:
            last = (steps[-1], sources)
        after = sum(isinstance(o, Drawn) or (isinstance(o, Called) and o.picture) for o in turn.outcomes)
        count += after
        view = count if after else view
        if steps[-1].thread is not None and steps[-1].thread.show is not None:
            view = steps[-1].thread.show
    return made


def _steps(turn: Turn) -> tuple[Expected, ...]:
    """What is right; where a turn does not say it, its very pictures."""
    if all(turn.expected):
        return tuple(expected_of(each) for each in turn.expected)
    return tuple(Expected(draws=_exactly(each.scene)) for each in turn.outcomes if isinstance(each, Drawn))


def _exactly(scene: Scene) -> Draws:
    """The scene itself."""
    wishes = []
    for item in scene:
        name = {"shape" if item.style is None else "thing": item.name}
        wishes.append(Wish(**name, style=item.style, size=item.size, place=item.place, colour=item.colour))
    return Draws(background=scene.background, objects=tuple(wishes))


def _task(outcome: Said | Drawn | Called) -> str:
    if isinstance(outcome, Said):
        return "I2T"
    if isinstance(outcome, Called):
        return f"{TOOL} {outcome.call.name}"
    return "I2I" if outcome.source else "T2I"


def _kind(turn: Turn, steps: Sequence[Expected]) -> str:
    if len(steps) > 1:
        return "several"
    kind = steps[0].kind
    kinds = {"draws": "drawing", "edits": "editing", "answers": "question", "tools": "tool", "thread": "thread verb"}
    if kind == "answers" and steps[0].answers is not None and (steps[0].answers.talk or steps[0].answers.cannot_read):
        return "talk" if steps[0].answers.talk else "unreadable"
    return kinds.get(kind, kind)


def _dialogue(source: Source, turns: int, kinds: dict[str, float] | None = None) -> Case:
    talk = make_dialogue(source.random, source.known, withhold=not source.withheld, turns=turns, kinds=kinds)
    return _case(source, turns_of(talk), [turn.brought for turn in talk.turns])


# --- samples ---


def _family(family: str) -> Sample:
    names = [name for name, own in asking.FAMILIES.items() if own == family]

    def sample(source: Source) -> Case | None:
        scene = source.scene()
        found = ask(source.random, scene, source.random.choice(names), known=source.known, **source.families)
        return None if found is None else _about(source, scene, _question(found))

    return sample


def _any_question(source: Source) -> Case | None:
    scene = source.scene()
    found = ask(source.random, scene, known=source.known, **source.families)
    return None if found is None else _about(source, scene, _question(found))


def _elsewhere(look: str) -> Sample:
    def sample(source: Source) -> Case | None:
        scene = source.scene(least=1)
        seed = source.random.randrange(2**31)
        drawn = elsewhere.READABLE[look](scene, random.Random(seed))
        shown = drawn.scene
        if shown is None or not shown.items:
            return None
        found = ask(source.random, shown, known=source.known, withhold=True)
        if found is None or not _can_be_seen(found, drawn.holds):
            return None
        turn = replace(_question(found), view=View((shown,), (shown,)))
        return Case(seed, (turn,), ((Shown(scene),),), look)

    return sample


def _can_be_seen(question: Question, holds: frozenset[str]) -> bool:
    """Whether a question is about nothing that a drawing by another hand does not show."""
    said, asked = tokens(question.text), set(question.expected)
    for part, groups in (("style", ("style_adjectives", "style_phrases")), ("colour", ("colours",))):
        if part in holds:
            continue
        words = [word for group in groups for found in read_phrases()[group].values() for word in found]
        if part in asked or part in said or f"{part}s" in said or any(occurs(word, said) for word in words):
            return False
    hidden = {"style": ("ask_style", "ask_all_style", "ask_which_style"), "colour": ("ask_colour", "ask_which_colour")}
    hidden["style"] = (*hidden["style"], "ask_same")
    return not any(question.intent in names for part, names in hidden.items() if part not in holds)


def _drawing(source: Source) -> Case | None:
    found = draw(source.random, source.known, **source.families)
    if found is None or found.intent == "draw_if":
        return None
    turn = Asked(found.text, ("T2I",), (expected_of(found.expected),), kind="drawing", intent=found.intent)
    return _case(source, [turn], [[]])


def _editing(source: Source) -> Case | None:
    scene = source.scene()
    found = edit(source.random, scene, source.known, **source.families)
    if found is None:
        return None
    turn = Asked(found.text, ("I2I",), (expected_of(found.expected),), kind="editing", intent=found.intent)
    return _about(source, scene, turn)


def _impossible(source: Source) -> Case | None:
    scene = source.scene()
    found = impossible(source.random, scene, source.known, withhold=True)
    if found is None:
        return None
    turn = Asked(found.text, ("I2T",), (expected_of(found.expected),), kind="impossible", intent=found.intent)
    return _about(source, scene, turn)


def _outside(source: Source) -> Case | None:
    """A request outside of the world, with or without a picture."""
    scene = source.scene() if source.random.random() < 0.5 else None
    found = in_words(Asking(source.random, source.known, scene, None, "", not source.withheld, source.withheld))
    if "declines" not in found.expected:
        return None
    turn = Asked(found.text, ("I2T",), (expected_of(found.expected),), kind="outside", intent=found.intent)
    return _about(source, scene, turn) if scene is not None else _case(source, [turn], [[]])


def _near(source: Source) -> Case | None:
    """A request of the world, typed with slips: it is to be done."""
    case = _drawing(source) if source.random.random() < 0.5 else _editing(source)
    if case is None:
        return None
    turn = case.turns[0]
    for _ in range(_SLIPS):
        text = as_typed(source.random, turn.user)
        if sorted(tokens(text)) != sorted(tokens(turn.user)):
            return replace(case, turns=(replace(turn, user=text, kind=f"near {turn.kind}"),))
    return None


def _tools(source: Source) -> Case | None:
    talk = Talk(source.random, source.known, not source.withheld)
    for _ in range(2 if source.random.random() < 0.2 else 1):
        talk.bring(readable=source.random.random() < 0.8)
    if not talk.tool():
        return None
    return _case(source, turns_of(talk), [turn.brought for turn in talk.turns])


def _no_tool(source: Source) -> Case | None:
    """A question, a change or a drawing: no tool is to be called."""
    case = source.random.choice((_any_question, _editing, _editing, _drawing))(source)
    return None if case is None else replace(case, turns=(replace(case.turns[0], aspect="no tool"),))


def _several(source: Source) -> Case | None:
    talk = Talk(source.random, source.known, not source.withheld)
    if source.random.random() < 0.8:
        talk.bring(readable=True)
    return _case(source, turns_of(talk), [t.brought for t in talk.turns]) if several(talk, MAKERS) else None


def _verbs(source: Source) -> Case | None:
    """A conversation of two to four turns whose last one is about the conversation itself."""
    turns = source.random.choice((2, 3, 3, 4))
    case = _dialogue(source, turns, {"draw": 30, "edit": 40, "thread": 30})
    return case if case.turns[-1].kind == "thread verb" and len(case.turns) > 1 else None


def _unread(kind: str) -> Sample:
    def sample(source: Source) -> Case | None:
        talk = Talk(source.random, source.known, not source.withheld)
        talk.bring(readable=False)
        talk.unreadable()
        return _case(source, turns_of(talk), [t.brought for t in talk.turns], kind)

    return sample


def _own(source: Source) -> Case | None:
    """A picture of this world as other programs save it: it is not to be turned away."""
    scene = shifted(source.random, sample_scene(source.random, source.known, least=1))
    found = ask(
        source.random, scene, source.random.choice(("ask_what_all", "ask_caption", "ask_count_all")), known=source.known
    )
    return None if found is None else _about(source, scene, replace(_question(found), aspect="read"), "saved")


SAMPLES: Final[dict[str, Sample]] = {
    "routing": lambda source: _dialogue(source, 1),
    **{f"questions.{family}": _family(family) for family in FAMILIES},
    "questions/withheld": _any_question,
    **{f"elsewhere.{look}": _elsewhere(look) for look in elsewhere.READABLE},
    "drawing": _drawing,
    "drawing/withheld": _drawing,
    "editing": _editing,
    "editing/withheld": _editing,
    "several": _several,
    "conversation": lambda source: _dialogue(source, 3),
    "conversation/long": lambda source: _dialogue(source, source.random.choice((4, 5, 6))),
    "verbs": _verbs,
    "tools": _tools,
    "tools not needed": _no_tool,
    "impossible": _impossible,
    "outside": _outside,
    "outside/withheld": _outside,
    "near misses": _near,
    **{f"unreadable.{kind}": _unread(kind) for kind in KINDS},
    "own kept": _own,
}
"""How each suite draws its cases. A dot names a family, a slash what is held out."""
_WITHHELD: Final = {"withheld": "some families of sentences"}


def build_suite(name: str, split: Split, n: int, things: int = THINGS) -> list[Case]:
    """The first `n` cases of a suite; a longer one begins with the shorter ones.

    Args:
        things: the first so many things of `knowledge/order.yaml` occur.

    Raises:
        KeyError: there is no such suite.
    """
    source = Source(random.Random(f"things suite:{name}:{split}"), things_of(things), name.endswith("/withheld"))
    sample, cases = SAMPLES[name], list[Case]()
    while len(cases) < n:
        case = sample(source)
        if case is not None:
            cases.append(case)
    return cases


def _suite(name: str) -> Suite:
    kind, _, held_out = name.partition("/")
    asked: AskedOf = "turn"
    if kind == "routing":
        asked = "first task"
    elif kind in ("conversation", "several", "verbs", "tools"):
        asked = "conversation"
    options: dict[str, Any] = {"family": kind.partition(".")[0] if "." in kind else ""}
    options |= {"times": _ROUTING_TIMES if kind == "routing" else 1, "by_step": kind == "several"}
    return Suite(partial(build_suite, name), asked, withheld=_WITHHELD.get(held_out, ""), **options)


SUITES: Final = {name: _suite(name) for name in SAMPLES}
