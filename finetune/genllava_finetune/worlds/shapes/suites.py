"""The frozen test suites: what is asked, drawn from fixed seeds, the same on every machine.

A suite is a list of cases; a case is a dialogue with the pictures its user brings. Every suite but the iid ones holds
one thing that training never showed. Tuning uses the `dev` split only.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from PIL import Image

from genllava_finetune.worlds.base import Asked, Pictures, Suite
from genllava_finetune.worlds.grammar import Forms
from genllava_finetune.worlds.shapes.conversation import sample_dialogue
from genllava_finetune.worlds.shapes.dialogue import Dialogue, Turn
from genllava_finetune.worlds.shapes.editing import HeldOutEdit, sample_edit
from genllava_finetune.worlds.shapes.elsewhere import draw_elsewhere
from genllava_finetune.worlds.shapes.generation import HeldOut, sample_generation
from genllava_finetune.worlds.shapes.impossible import sample_impossible_edit
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import (
    HELD_OUT_PAIRS,
    HELD_OUT_RELATIONS,
    RESEARCH,
    Split,
    has_held_out_count,
    has_held_out_pair,
    in_distribution,
    sample_scene,
)
from genllava_finetune.worlds.shapes.tasks import sample_task
from genllava_finetune.worlds.shapes.understanding import FAMILIES, WEIGHTS, sample_question

_TRIES: Final = 30

@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    Attributes:
        seed: of whatever the model draws, and of how a drawing made elsewhere looks.
        elsewhere: the user's pictures were made in another program.
        shown: pictures to show in place of those of the dialogue's scenes, turn by turn.
    """

    dialogue: Dialogue
    seed: int
    elsewhere: bool = False
    shown: Pictures | None = None

    @property
    def turn(self) -> Turn:
        """The first turn: all there is, but in conversations."""
        return self.dialogue.turns[0]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns."""
        return self.dialogue.turns

    def showing(self, pictures: Pictures) -> Case:
        """The same with other pictures in the place of the user's."""
        return replace(self, shown=pictures)

    @property
    def pictures(self) -> Pictures:
        """What the user brings, turn by turn; drawn anew each time, since many at once take gigabytes."""
        if self.shown is not None:
            return self.shown
        rng = random.Random(self.seed)
        return tuple(tuple(self._draw(rng, scene) for scene in turn.images) for turn in self.dialogue.turns)

    def _draw(self, rng: random.Random, scene: Scene) -> Image.Image:
        return draw_elsewhere(rng, scene) if self.elsewhere else render(scene)


Sample = Callable[[random.Random, Split], Dialogue | None]
"""Draws a dialogue; None if nothing fitting came of it, and it is to be tried again."""


def _about(turn: Turn | None, scene: Scene) -> Dialogue | None:
    return None if turn is None else Dialogue((replace(turn, images=(scene,)),))


def _only_pair(scene: Scene) -> bool:
    return has_held_out_pair(scene) and not has_held_out_count(scene)


def _only_count(scene: Scene) -> bool:
    return has_held_out_count(scene) and not has_held_out_pair(scene)


def _withheld_colors(scene: Scene) -> bool:
    colors = {thing.color for thing in scene.things}
    return in_distribution(scene) and any({first, second} <= colors for _, first, second in HELD_OUT_RELATIONS)


def _names_pair(turn: Turn) -> bool:
    """Whether question and answer together name shape and colour of a withheld pair that is in the picture."""
    words = f"{turn.user} {turn.steps[0].text}".lower()
    things = {(thing.shape, thing.color) for scene in turn.images for thing in scene.things}
    return any(shape in words and color in words for shape, color in things & HELD_OUT_PAIRS)


def _family(family: str) -> Sample:
    def sample(rng: random.Random, split: Split) -> Dialogue | None:
        scene = sample_scene(rng, split, withhold=RESEARCH)
        try:
            return _about(sample_question(rng, scene, "train", family, withhold=RESEARCH), scene)
        except ValueError:
            return None  # this scene gives no such question

    return sample


def _questions(want: Callable[[Scene], bool] = in_distribution, forms: Forms = "train") -> Sample:
    def sample(rng: random.Random, split: Split) -> Dialogue | None:
        scene = sample_scene(rng, split, want=want)
        return _about(sample_question(rng, scene, forms, withhold=RESEARCH), scene)

    return sample


def _questions_about_pairs(rng: random.Random, split: Split) -> Dialogue | None:
    """Questions that turn on a withheld pair, in the usual mixture of those families that can."""
    family = rng.choices(FAMILIES, list(WEIGHTS.values()))[0]
    for _ in range(_TRIES):
        scene = sample_scene(rng, split, want=_only_pair)
        try:
            turn = replace(sample_question(rng, scene, "train", family, withhold=RESEARCH), images=(scene,))
        except ValueError:
            continue
        if _names_pair(turn):
            return Dialogue((turn,))
    return None


def _questions_about_relations(rng: random.Random, split: Split) -> Dialogue | None:
    """Whether a withheld relation holds, as often as not, and what stands in one."""
    wanted = rng.choice((("Yes.",), ("No.",), ()))
    scene = sample_scene(rng, split, want=_withheld_colors)
    try:
        family = "relation" if wanted else "relation_what"
        turn = sample_question(rng, scene, "train", family, heldout_relations=True, withhold=RESEARCH)
    except ValueError:
        return None
    return _about(turn, scene) if not wanted or turn.steps[0].text in wanted else None


def _generation(heldout: HeldOut | None = None, forms: Forms = "train") -> Sample:
    return lambda rng, split: Dialogue((sample_generation(rng, split, forms, heldout, withhold=RESEARCH),))


def _editing(heldout: HeldOutEdit | None = None, forms: Forms = "train") -> Sample:
    def sample(rng: random.Random, split: Split) -> Dialogue | None:
        scene = sample_scene(rng, split, want=_only_pair if heldout == "attr_combo" else in_distribution)
        return _about(sample_edit(rng, scene, 1, forms, split, heldout, withhold=RESEARCH), scene)

    return sample


def _impossible(rng: random.Random, split: Split) -> Dialogue | None:
    scene = sample_scene(rng, split, withhold=RESEARCH)
    return _about(sample_impossible_edit(rng, scene, 1, "train", withhold=RESEARCH), scene)


def _conversation(turns: tuple[int, ...], forms: Forms = "train") -> Sample:
    return lambda rng, split: sample_dialogue(rng, split, forms, turns=rng.choice(turns), withhold=RESEARCH)


def _tasks(forms: Forms) -> Sample:
    return lambda rng, split: sample_task(rng, split, forms, withhold=RESEARCH)


def _outside(forms: Forms) -> Sample:
    def sample(rng: random.Random, split: Split) -> Dialogue | None:
        turn = sample_outside(rng, forms)
        return _about(turn, sample_scene(rng, split, withhold=RESEARCH)) if rng.random() < 0.5 else Dialogue((turn,))

    return sample


SAMPLES: Final[dict[str, Sample]] = {
    "routing": _conversation((1,)),
    "routing/template": _conversation((1,), "held_out"),
    **{f"questions.{family}": _family(family) for family in FAMILIES},
    "questions/attr_combo": _questions_about_pairs,
    "questions/count": _questions(_only_count),
    "questions/relation": _questions_about_relations,
    "questions/template": _questions(forms="held_out"),
    "questions/elsewhere": _questions(),
    "generation": _generation(),
    "generation/attr_combo": _generation("attr_combo"),
    "generation/count": _generation("count"),
    "generation/relation": _generation("relation"),
    "generation/template": _generation(forms="held_out"),
    "editing": _editing(),
    "editing/attr_combo": _editing("attr_combo"),
    "editing/edit_combo": _editing("edit_combo"),
    "editing/template": _editing(forms="held_out"),
    "impossible": _impossible,
    "conversation": _conversation((3,)),
    "conversation/template": _conversation((3,), "held_out"),
    "conversation/turns": _conversation((4, 5)),
    "outside": _outside("train"),
    "outside/template": _outside("held_out"),
    "tasks": _tasks("train"),
    "tasks/template": _tasks("held_out"),
}
"""How each suite draws its dialogues. A dot names a family of the iid suite, a slash what is held out."""

_WITHHELD: Final = {
    "attr_combo": "some pairs of shape and colour",
    "count": "four objects on beige",
    "relation": "some relations of two colours",
    "edit_combo": "some changes, and some pairs of changes in one sentence",
    "template": "a part of the sentence forms, and of the words for what is outside the world",
}
"""What the research setting withholds from training, by the name after the slash."""
_ROUTING_TIMES: Final = 4
"""A route costs next to nothing, and nearly all are right: more cases than elsewhere."""


def build_suite(name: str, split: Split, n: int) -> list[Case]:
    """The first `n` cases of a suite; a longer one begins with the shorter ones.

    Raises:
        KeyError: there is no such suite.
    """
    sample, rng = SAMPLES[name], random.Random(f"suite:{name}:{split}")
    cases: list[Case] = []
    while len(cases) < n:
        dialogue = sample(rng, split)
        if dialogue is not None:
            cases.append(Case(dialogue, rng.randrange(2**31), elsewhere=name == "questions/elsewhere"))
    return cases


def _suite(name: str) -> Suite:
    kind, _, held_out = name.partition("/")
    asked: Asked = "turn"
    if kind == "routing":  # openings of conversations, with everything mixed
        asked = "first task"
    elif kind in ("conversation", "tasks"):
        asked = "conversation"
    return Suite(
        partial(build_suite, name),
        asked,
        withheld=_WITHHELD.get(held_out, ""),
        family=kind.partition(".")[0] if "." in kind else "",
        times=_ROUTING_TIMES if kind == "routing" else 1,
        by_step=kind == "tasks",
    )


SUITES: Final = {name: _suite(name) for name in SAMPLES}
