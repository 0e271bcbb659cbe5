"""Single edits that make sense in a scene, with the words that ask for them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from genllava_finetune.worlds.grammar import Forms, Instruction
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.edits import (
    STEP,
    Add,
    Background,
    Move,
    Operation,
    Recolor,
    Reference,
    Remove,
    Replace,
    Resize,
    Swap,
    shifted,
)
from genllava_finetune.worlds.shapes.language import instructions
from genllava_finetune.worlds.shapes.language.noun_phrases import a_thing, all_things, place_words, the_thing
from genllava_finetune.worlds.shapes.language.words import BACKGROUND_WORDS, PLURAL, WAYS, say
from genllava_finetune.worlds.shapes.scene import (
    BACKGROUNDS,
    CELLS,
    COLORS,
    MAX_OBJECTS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    place,
)
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld

OPERATIONS: Final = ("add", "remove", "recolor", "resize", "move", "replace", "swap", "background")

_SUBSETS: Final = {
    ("shape",): 60,
    ("color",): 22,
    ("shape", "color"): 40,
    ("shape", "size"): 22,
    ("cell",): 20,
    ("size",): 8,
    ("shape", "cell"): 10,
    ("color", "size"): 8,
    ("shape", "color", "size"): 12,
    ("color", "cell"): 4,
    ("shape", "color", "cell"): 3,
    ("shape", "color", "size", "cell"): 2,
}
"""Which attributes a description names, and how often."""
_SUBSET_NAMES: Final = tuple(_SUBSETS)
_SUBSET_WEIGHTS: Final = tuple(itertools.accumulate(_SUBSETS.values()))


@dataclass(frozen=True, slots=True)
class Context:
    """What a proposal may draw on.

    Attributes:
        focus: what `it` means, from the turn before; None if nothing in particular.
        withheld: propose what `withhold` withholds from training, and only that.
        pairs: pairs of shape and colour not to bring about.
        settled: leave nothing open, so that exactly one result is right.
        withhold: what training never asks for.
    """

    forms: Forms
    focus: Description | None = None
    withheld: bool = False
    pairs: frozenset[tuple[str, str]] = frozenset()
    settled: bool = False
    withhold: Withheld = NOTHING

    def choices(self, kind: str, options: Sequence[str]) -> list[str]:
        """`options` without, or where `withheld` only, the attribute withheld for operations of `kind`."""
        special = self.withhold.attribute(kind)
        if self.withheld and special is not None:
            return [special] if special in options else []
        return [option for option in options if option != special]


@dataclass(frozen=True, slots=True)
class Proposal:
    operation: Operation
    instruction: Instruction
    words: Mapping[str, str]


def subset(thing: Thing, names: Sequence[str]) -> Description:
    return Description(**{name: getattr(thing, name) for name in names})


def describe_uniquely(rng: random.Random, scene: Scene, thing: Thing) -> Description:
    """A random description that fits `thing` and no other object of `scene`."""
    for _ in range(12):
        what = subset(thing, rng.choices(_SUBSET_NAMES, cum_weights=_SUBSET_WEIGHTS)[0])
        if len(what.select(scene)) == 1:
            return what
    return subset(thing, ("shape", "cell"))


def _one(
    rng: random.Random, scene: Scene, context: Context, fits: Callable[[Thing], bool] | None = None
) -> tuple[Reference, str] | None:
    """One object, and what to call it."""
    if context.focus is not None and len(context.focus.select(scene)) == 1 and rng.random() < 0.7:
        (thing,) = context.focus.select(scene)
        return (Reference(context.focus), "it") if fits is None or fits(thing) else None
    things = [thing for thing in scene.things if fits is None or fits(thing)]
    if not things:
        return None
    what = describe_uniquely(rng, scene, rng.choice(things))
    if len(scene.things) == 1 and rng.random() < 0.4:
        what = Description()
    return Reference(what), the_thing(rng, what, context.forms)


def _several(rng: random.Random, scene: Scene, context: Context) -> tuple[Reference, str] | None:
    """All objects, or two or more that share an attribute."""
    what = Description()
    if rng.random() < 0.7:
        name = rng.choices(("shape", "color", "size"), (5, 2, 2))[0]
        shared = [t for t in scene.things if sum(getattr(o, name) == getattr(t, name) for o in scene.things) > 1]
        if not shared:
            return None
        what = subset(rng.choice(shared), (name,))
    if len(what.select(scene)) < 2:
        return None
    return Reference(what, every=True), all_things(rng, what, context.forms)


def _some(
    rng: random.Random, scene: Scene, context: Context, fits: Callable[[Thing], bool] | None = None
) -> tuple[Reference, str] | None:
    if len(scene.things) > 1 and rng.random() < 0.2:
        return _several(rng, scene, context)
    return _one(rng, scene, context, fits)


def object_words(rng: random.Random, phrase: str) -> dict[str, str]:
    """Words for the slots `{it}`, `{its}` and those every instruction may use."""
    plural = phrase.endswith("s") and not phrase.endswith("cross")
    its = "its" if phrase == "it" else f"{phrase}'" if plural else f"{phrase}'s"
    return common_words(rng) | {"it": phrase, "its": its}


def common_words(rng: random.Random) -> dict[str, str]:
    return {
        "picture": say(rng, "picture"),
        "word_color": say(rng, "color"),
        "word_background": rng.choice(BACKGROUND_WORDS),
    }


def recolor(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    found = _some(rng, scene, context)
    if found is None:
        return None
    things = found[0].what.select(scene)
    options = context.choices("recolor", COLORS)
    options = [c for c in options if all((t.shape, c) not in context.pairs for t in things)]
    options = [c for c in options if any(t.color != c for t in things)]
    if not options:
        return None
    color = rng.choice(options)
    return Proposal(Recolor(found[0], color), instructions.RECOLOR, object_words(rng, found[1]) | {"color": color})


def resize(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    found = _some(rng, scene, context)
    if found is None:
        return None
    sizes = {thing.size for thing in found[0].what.select(scene)}
    size = rng.choice(SIZES) if len(sizes) > 1 else next(size for size in SIZES if size not in sizes)
    return Proposal(Resize(found[0], size), instructions.RESIZE[size], object_words(rng, found[1]))


def replace_shape(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    found = _some(rng, scene, context)
    if found is None:
        return None
    things = found[0].what.select(scene)
    color = rng.choice(COLORS) if rng.random() < 0.3 else None
    options = context.choices("replace", SHAPES)
    options = [s for s in options if all((s, color or t.color) not in context.pairs and t.shape != s for t in things)]
    if not options:
        return None
    shape = rng.choice(options)
    size = rng.choice(SIZES) if color is not None and rng.random() < 0.3 else None
    words = object_words(rng, found[1])
    if found[0].every:
        adjectives = " ".join(word for word in (size and say(rng, size), color) if word)
        words["new"] = f"{adjectives} {PLURAL[shape]}".strip()
        instruction = instructions.REPLACE_ALL
    else:
        words["new"] = a_thing(rng, Description(shape, color, size), context.forms)
        instruction = instructions.REPLACE
    return Proposal(Replace(found[0], shape, color, size), instruction, words)


def remove(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    if len(scene.things) < 2:
        return None
    special = context.withhold.attribute("remove")
    found = _some(rng, scene, context, lambda thing: (thing.color == special) == context.withheld)
    if found is None or len(found[0].what.select(scene)) == len(scene.things):
        return None
    return Proposal(Remove(found[0]), instructions.REMOVE, object_words(rng, found[1]))


def move(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    found = _one(rng, scene, context)
    if found is None:
        return None
    (thing,) = found[0].what.select(scene)
    words = object_words(rng, found[1])
    names = context.choices("move", [CELLS[cell] for cell in scene.free_cells])
    if rng.random() < 0.25:
        ways = [w for w in STEP if (cell := shifted(thing.cell, w)) is not None and CELLS[cell] in names]
        if not ways:
            return None
        way = rng.choice(ways)
        words["way"] = rng.choice(WAYS[way])
        return Proposal(Move(found[0], direction=way), instructions.SHIFT, words)
    if not names:
        return None
    cell = CELLS.index(rng.choice(names))
    return Proposal(Move(found[0], cell), instructions.MOVE, words | place_words(rng, cell))


def swap(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    if len(scene.things) < 2:
        return None
    one, other = rng.sample(scene.things, 2)
    first, second = describe_uniquely(rng, scene, one), describe_uniquely(rng, scene, other)
    words = common_words(rng)
    words |= {"one": the_thing(rng, first, context.forms), "other": the_thing(rng, second, context.forms)}
    return Proposal(Swap(Reference(first), Reference(second)), instructions.SWAP, words)


def add(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    if len(scene.things) >= MAX_OBJECTS:
        return None
    shape, color = rng.choice(context.choices("add", SHAPES)), rng.choice(COLORS)
    if (shape, color) in context.pairs:
        return None
    thing = place(rng, rng.choice(scene.free_cells), shape, color, rng.choice(SIZES))
    named = context.settled
    wanted = Description(
        shape if named or rng.random() < 0.95 else None,
        color if named or rng.random() < 0.85 else None,
        thing.size if named or rng.random() < 0.45 else None,
    )
    words = common_words(rng) | {"new": a_thing(rng, wanted, context.forms)}
    if named or rng.random() < 0.6:
        words |= place_words(rng, thing.cell)
        return Proposal(Add(replace(wanted, cell=thing.cell), thing), instructions.ADD_AT, words)
    return Proposal(Add(wanted, thing), instructions.ADD, words)


def background(rng: random.Random, scene: Scene, context: Context) -> Proposal | None:
    options = [color for color in context.choices("background", BACKGROUNDS) if color != scene.background]
    if not options:
        return None
    color = rng.choice(options)
    return Proposal(Background(color), instructions.BACKGROUND, common_words(rng) | {"color": say(rng, color)})


PROPOSE: Final[Mapping[str, Callable[[random.Random, Scene, Context], Proposal | None]]] = {
    "add": add,
    "remove": remove,
    "recolor": recolor,
    "resize": resize,
    "move": move,
    "replace": replace_shape,
    "swap": swap,
    "background": background,
}
