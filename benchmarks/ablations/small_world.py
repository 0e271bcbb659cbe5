"""A part of the shapes world that a small model learns in a minute: one or two large things, in the four corners.

Scenes are drawn by the world's own renderer, made small, and read again by its own parser.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, overload

from PIL import Image

from genllava_finetune.data.rows import Row, read_row
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import CANVAS, CELLS, Scene, Thing
from genllava_finetune.worlds.stable_hash import stable_hash

SIDE: Final = 32
"""Width and height of the pictures, in pixels."""
SHAPES: Final = ("circle", "square", "triangle", "cross")
COLORS: Final = ("red", "green", "blue", "yellow")
CORNERS: Final = (0, 2, 6, 8)
BACKGROUND: Final = "white"
UNDERSTANDING: Final = "understanding"
GENERATION: Final = "generation"
EDITING: Final = "editing"
TASKS: Final = (UNDERSTANDING, GENERATION, EDITING)
NO_PLAN: Final = "picture"
"""The plan of a picture where the visual queries alone shall carry what is asked for."""
_ONE_THING: Final = 0.35
_HELD_OUT: Final = 5
"""One scene of so many is never trained on."""
_DESCRIBE: Final = "tell me what is there"
_DRAW: Final = ("draw", "make a picture of", "i want to see")
_RECOLOR: Final = ("make the {shape} {color}", "paint the {shape} {color}", "the {shape} should be {color}")
_REMOVE: Final = ("remove the {shape}", "take the {shape} away", "there should be no {shape}")
_ADD: Final = ("add a {thing}", "put a {thing} there", "there should be a {thing} too")
_QUESTIONS: Final = (
    ("what colour is the {shape} ?", "tell me the colour of the {shape}"),
    ("what is {place} ?", "which shape is {place} ?"),
    ("where is the {shape} ?", "tell me where the {shape} is"),
    ("how many things are there ?", "count the things"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Something that a user asks for, and what is right.

    Attributes:
        task: one of `TASKS`.
        request: the user's words.
        shown: what the user's picture shows; None: there is none.
        answer: in words.
        target: what the picture that is asked for shows.
    """

    task: str
    request: str
    shown: Scene | None = None
    answer: str = ""
    target: Scene | None = None

    @property
    def plan(self) -> str:
        """What the picture that is asked for shows, in words."""
        return "" if self.target is None else caption(self.target)


def caption(scene: Scene) -> str:
    """What a scene shows: `red circle top left and blue square bottom right`."""
    return " and ".join(_named(thing) for thing in scene.things)


def picture(scene: Scene) -> Image.Image:
    """The scene as the model sees it and as it is drawn, `SIDE` pixels wide and high."""
    return _picture(scene.signature, scene).copy()


def read(image: Image.Image) -> Scene | None:
    """What a picture of any size shows; None if something in it is not of the world."""
    return parse(image.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)).scene


def sample_scene(rng: random.Random, *, held_out: bool = False) -> Scene:
    """What a picture of a random case shows."""
    case = sample_case(rng, rng.choice(TASKS), held_out=held_out)
    scene = case.target or case.shown
    assert scene is not None
    return scene


def sample_case(rng: random.Random, task: str, *, held_out: bool = False) -> Case:
    """A random case.

    Args:
        task: one of `TASKS`.
        held_out: all it shows is what is never trained on, or none of it is.
    """
    if task == EDITING:
        while True:
            scene = _scene(rng, held_out)
            request, target = _change(rng, scene)
            if _is_held_out(target) == held_out:
                return Case(task, request, scene, target=target)
    scene = _scene(rng, held_out)
    if task == GENERATION:
        things = " and ".join(rng.sample([_named(thing) for thing in scene.things], len(scene.things)))
        return Case(task, f"{rng.choice(_DRAW)} {things}", target=scene)
    return _question(rng, scene)


def held_out_cases(task: str, count: int) -> list[Case]:
    """The first `count` test cases of a task; those of more begin with those of fewer."""
    rng = random.Random(f"test {task}")
    return [sample_case(rng, task, held_out=True) for _ in range(count)]


def case_row(case: Case, identity: str, *, plans: bool = True) -> Row:
    """A case as a training row.

    Args:
        plans: pictures are planned in words; else their plan is always the same word.
    """
    images = [picture(scene) for scene in (case.shown, case.target) if scene is not None]
    asked: list[dict[str, Any]] = [{"type": "image"}] if case.shown is not None else []
    plan = case.plan if plans else NO_PLAN
    said: dict[str, Any] = {"type": "text", "text": case.answer}
    if case.task == GENERATION:
        said = {"type": "draw", "prompt": plan}
    elif case.task == EDITING:
        said = {"type": "edit", "instruction": plan, "source": 0}
    return _row(images, [*asked, {"type": "text", "text": case.request}], said, identity)


def text_row(case: Case, identity: str) -> Row:
    """The case without pictures: what they show is told in words, and what they shall show is answered in words."""
    told = case.request if case.shown is None else f"{caption(case.shown)} . {case.request}"
    said = {"type": "text", "text": case.answer or case.plan}
    return _row([], [{"type": "text", "text": told}], said, identity)


def caption_row(case: Case, identity: str) -> Row:
    """A picture of the case, and what it shows in words."""
    scene = case.target or case.shown
    assert scene is not None
    said = {"type": "text", "text": caption(scene)}
    return _row([picture(scene)], [{"type": "image"}, {"type": "text", "text": _DESCRIBE}], said, identity)


class Rows(Sequence[Row]):
    """Training rows, each made when it is asked for: row k depends on the seed and k alone.

    Args:
        seed: of all rows.
        count: how many.
        shares: of the tasks, relative to each other; all alike if there are none.
        plans: as `case_row` has it.
        texts, captions: shares of rows as `text_row` and `caption_row` make them.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        shares: dict[str, float] | None = None,
        plans: bool = True,
        texts: float = 0.0,
        captions: float = 0.0,
    ) -> None:
        self._seed, self._count, self._plans = seed, count, plans
        self._shares, self._texts, self._captions = shares or dict.fromkeys(TASKS, 1.0), texts, captions

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        number = index % self._count
        rng = random.Random(f"train {self._seed} {number}")
        task = rng.choices(list(self._shares), list(self._shares.values()))[0]
        case, identity = sample_case(rng, task), f"small-shapes:{self._seed}:{number}"
        kind = rng.random()
        if kind < self._texts:
            return text_row(case, identity)
        if kind < self._texts + self._captions:
            return caption_row(case, identity)
        return case_row(case, identity, plans=self._plans)


def words() -> list[str]:
    """All words that a user or a model says."""
    frames = [*_DRAW, *_RECOLOR, *_REMOVE, *_ADD, *(form for forms in _QUESTIONS for form in forms)]
    said = [word for frame in frames for word in frame.split() if "{" not in word]
    places = " ".join(CELLS[cell] for cell in CORNERS).split()
    return sorted({*said, *places, *SHAPES, *COLORS, "and", ".", "nothing", "one", "two", NO_PLAN})


@functools.lru_cache(maxsize=4096)
def _picture(signature: str, scene: Scene) -> Image.Image:
    return render(scene).resize((SIDE, SIDE), Image.Resampling.BOX)


def _named(thing: Thing) -> str:
    return f"{thing.color} {thing.shape} {thing.position}"


def _row(images: list[Image.Image], asked: list[dict[str, Any]], said: dict[str, Any], identity: str) -> Row:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": [said]}]
    value = {"images": images, "messages": messages, "source": "small-shapes", "license": "Apache-2.0"}
    return read_row({**value, "id": identity})


def _is_held_out(scene: Scene) -> bool:
    return stable_hash(scene.signature) % _HELD_OUT == 0


def _scene(rng: random.Random, held_out: bool) -> Scene:
    while True:
        count = 1 if rng.random() < _ONE_THING else 2
        cells, shapes = rng.sample(CORNERS, count), rng.sample(SHAPES, count)
        things = [Thing(cell, shape, rng.choice(COLORS), "large") for cell, shape in zip(cells, shapes, strict=True)]
        scene = Scene(BACKGROUND, tuple(things))
        if _is_held_out(scene) == held_out:
            return scene


def _question(rng: random.Random, scene: Scene) -> Case:
    forms = _QUESTIONS[number := rng.choices(range(4), (3, 3, 3, 1))[0]]
    thing = rng.choice(scene.things)
    cell = rng.choice(CORNERS) if rng.random() < 0.3 else thing.cell
    there = scene.select(cell=cell)
    what, count = there[0].shape if there else "nothing", ("one", "two")[len(scene.things) - 1]
    answers = (thing.color, what, thing.position, count)
    request = rng.choice(forms).format(shape=thing.shape, place=CELLS[cell])
    return Case(UNDERSTANDING, request, scene, answer=answers[number])


def _change(rng: random.Random, scene: Scene) -> tuple[str, Scene]:
    """A request that changes the scene, and what comes of it."""
    thing = rng.choice(scene.things)
    if rng.random() < 0.4:
        color = rng.choice([color for color in COLORS if color != thing.color])
        changed = Thing(thing.cell, thing.shape, color, thing.size)
        return rng.choice(_RECOLOR).format(shape=thing.shape, color=color), scene.replacing(thing, changed)
    if len(scene.things) > 1:
        return rng.choice(_REMOVE).format(shape=thing.shape), scene.without([thing])
    shape = rng.choice([shape for shape in SHAPES if shape != thing.shape])
    new = Thing(rng.choice([cell for cell in CORNERS if cell != thing.cell]), shape, rng.choice(COLORS), "large")
    return rng.choice(_ADD).format(thing=_named(new)), scene.with_thing(new)
