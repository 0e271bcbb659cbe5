"""Edits: they change what they say and nothing else, and the checks tell a right result from a wrong one."""

from __future__ import annotations

import pickle
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genllava_finetune.worlds.grammar import Instruction, Intent, is_held_out_form
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import DeclineCheck, EditCheck, Turn
from genllava_finetune.worlds.shapes.editing import is_held_out_edit, sample_edit, sample_impossible_edit
from genllava_finetune.worlds.shapes.edits import (
    Add,
    Background,
    Changed,
    EditImpossibleError,
    Move,
    Operation,
    Preserved,
    Recolor,
    Reference,
    Remove,
    Replace,
    Resize,
    Swap,
    apply_all,
)
from genllava_finetune.worlds.shapes.language import instructions, joining
from genllava_finetune.worlds.shapes.plan import read_plan, write_plan
from genllava_finetune.worlds.shapes.proposals import OPERATIONS
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, COLORS, JITTER, Scene, Thing
from genllava_finetune.worlds.shapes.splits import RESEARCH, allowed, in_distribution, sample_scene, split_of

seeds = st.integers(0, 2**32).map(random.Random)
STAR = Thing(0, "star", "red", "small", 5, -5)
CIRCLE = Thing(4, "circle", "blue", "large", 1, 2)
SQUARE = Thing(8, "square", "blue", "small", 0, 3)
SCENE = Scene("white", (STAR, CIRCLE, SQUARE))


def exactly(scene: Scene) -> list[tuple[Thing, int, int]]:
    """The objects with their jitter, which equality of objects ignores."""
    return [(thing, thing.dx, thing.dy) for thing in scene.things]


def drawn_edit(rng: random.Random, kind: str | None = None, *, settled: bool = False) -> tuple[Turn, Scene, Scene]:
    while True:
        scene = sample_scene(rng, "train", withhold=RESEARCH)
        turn = sample_edit(rng, scene, 1, "train", "train", kinds=kind and [kind], settled=settled, withhold=RESEARCH)
        if turn is not None:
            target = turn.steps[0].target
            assert target is not None
            return turn, scene, target


def the(shape: str) -> Reference:
    return Reference(Description(shape))


def test_each_operation_by_example() -> None:
    cases: list[tuple[Operation, tuple[Thing, ...]]] = [
        (Recolor(the("star"), "green"), (replace(STAR, color="green"), CIRCLE, SQUARE)),
        (Resize(the("star"), "large"), (replace(STAR, size="large", dx=3, dy=-3), CIRCLE, SQUARE)),
        (Replace(the("star"), "cross"), (replace(STAR, shape="cross"), CIRCLE, SQUARE)),
        (Replace(the("star"), "cross", "pink"), (replace(STAR, shape="cross", color="pink"), CIRCLE, SQUARE)),
        (Remove(the("star")), (CIRCLE, SQUARE)),
        (Remove(Reference(Description(color="blue"), every=True)), (STAR,)),
        (Move(the("star"), 2), (replace(STAR, cell=2), CIRCLE, SQUARE)),
        (Move(the("circle"), direction="left"), (STAR, replace(CIRCLE, cell=3), SQUARE)),
        (Swap(the("star"), the("circle")), (replace(CIRCLE, cell=0), replace(STAR, cell=4), SQUARE)),
    ]
    for operation, things in cases:
        assert exactly(operation.apply(SCENE)) == exactly(Scene("white", things)), operation
    assert Background("black").apply(SCENE) == replace(SCENE, background="black")


@pytest.mark.parametrize(
    "operation",
    [
        Recolor(the("cross"), "green"),
        Recolor(Reference(Description(color="blue")), "green"),
        Move(the("star"), 4),
        Move(the("star"), direction="up"),
        Swap(the("star"), the("star")),
        Add(Description("cross"), Thing(4, "cross", "red", "small")),
    ],
)
def test_senseless_operations_are_refused(operation: Operation) -> None:
    with pytest.raises(EditImpossibleError):
        operation.apply(SCENE)


@pytest.mark.parametrize("kind", OPERATIONS)
@given(rng=seeds)
def test_an_edit_changes_what_it_says_and_nothing_else(kind: str, rng: random.Random) -> None:
    _, source, target = drawn_edit(rng, kind)
    before, after = {t.cell: t for t in source.things}, {t.cell: t for t in target.things}
    common = [cell for cell in before if cell in after]
    differing = [
        cell for cell in common if exactly(Scene("white", (before[cell],))) != exactly(Scene("white", (after[cell],)))
    ]
    lost, new = set(before) - set(after), set(after) - set(before)
    assert (source.background != target.background) == (kind == "background")
    kept = {"recolor": ("shape", "size", "dx", "dy"), "resize": ("shape", "color"), "replace": ()}
    if kind in kept:
        assert not lost | new
        assert differing
        assert all(getattr(before[c], n) == getattr(after[c], n) for c in differing for n in kept[kind])
    elif kind == "add":
        assert (len(new), lost, differing) == (1, set(), [])
    elif kind == "remove":
        assert lost
        assert (new, differing) == (set(), [])
        assert target.things
    elif kind == "move":
        assert (len(lost), len(new), differing) == (1, 1, [])
        assert replace(before[lost.pop()], cell=0) == replace(after[new.pop()], cell=0)
    elif kind == "swap":
        assert not lost | new
        assert sorted(replace(t, cell=0) for t in source.things) == sorted(replace(t, cell=0) for t in target.things)
    else:
        assert (lost, new, differing) == (set(), set(), [])
    for thing in target.things:
        assert max(abs(thing.dx), abs(thing.dy)) <= JITTER[thing.size]


@given(seeds)
def test_an_ordinary_edit_stays_in_training(rng: random.Random) -> None:
    turn, source, target = drawn_edit(rng)
    assert isinstance(turn.check, EditCheck)
    assert isinstance(turn.check.changed, Changed)
    assert allowed(target, "train")
    assert not is_held_out_form(turn.form)
    assert not is_held_out_edit(source, turn.check.changed.operations)
    assert apply_all(source, turn.check.changed.operations) == target
    assert turn.steps[0].source == 1
    assert read_plan(turn.steps[0].text.removeprefix("image 1: ")) == target
    assert turn.user
    assert "{" not in turn.user


def damaged(rng: random.Random, scene: Scene) -> Scene:
    """The scene with one thing about it wrong."""
    draw = rng.randrange(6)
    thing = rng.choice(scene.things)
    if draw == 0:
        return replace(scene, background=rng.choice([color for color in BACKGROUNDS if color != scene.background]))
    if draw == 1:
        return scene.without([thing])
    if draw == 2:
        return scene.with_thing(Thing(rng.choice(scene.free_cells), "circle", "red", "small"))
    if draw == 3:
        return scene.replacing(thing, replace(thing, color=rng.choice([c for c in COLORS if c != thing.color])))
    if draw == 4:
        return scene.replacing(thing, replace(thing, size="large" if thing.size == "small" else "small"))
    return scene.replacing(thing, replace(thing, cell=rng.choice(scene.free_cells)))


@given(seeds)
def test_the_check_passes_the_target_and_nothing_else(rng: random.Random) -> None:
    turn, source, target = drawn_edit(rng, settled=True)
    check = turn.check
    assert isinstance(check, EditCheck)
    assert check.changed(target)
    assert check.preserved(target)
    assert not check.changed(source)
    wrong = damaged(rng, target)
    assert not (check.changed(wrong) and check.preserved(wrong))


@given(seeds)
def test_what_was_left_open_may_come_out_any_way(rng: random.Random) -> None:
    wanted = Description("cross", "red")
    operations = (Add(wanted, Thing(1, "cross", "red", "small")),)
    check = Changed(SCENE, operations)
    cell = rng.choice(SCENE.free_cells)
    assert check(SCENE.with_thing(Thing(cell, "cross", "red", rng.choice(("small", "large")))))
    assert not check(SCENE.with_thing(Thing(cell, "cross", "green", "small")))


def test_change_and_preservation_are_told_apart() -> None:
    operations = (Recolor(the("star"), "green"),)
    changed, preserved = Changed(SCENE, operations), Preserved(SCENE, operations)
    assert preserved(SCENE)
    assert not changed(SCENE)
    both = apply_all(SCENE, operations).without([SQUARE])
    assert changed(both)
    assert not preserved(both)


@given(seeds)
def test_withheld_edits_are_drawn_when_asked_for_only(rng: random.Random) -> None:
    scene = sample_scene(rng, "test", withhold=RESEARCH)
    turn = sample_edit(rng, scene, 3, "train", "test", "edit_combo", name_number=True, withhold=RESEARCH)
    if turn is None:
        return
    assert isinstance(turn.check, EditCheck)
    assert isinstance(turn.check.changed, Changed)
    target = turn.steps[0].target
    assert is_held_out_edit(scene, turn.check.changed.operations)
    assert target is not None
    assert split_of(target) == "test"
    assert in_distribution(target)
    assert turn.steps[0].text.startswith("image 3: ")


@given(seeds)
def test_impossible_edits_are_declined_truthfully(rng: random.Random) -> None:
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    turn = sample_impossible_edit(rng, scene, 1, "train", withhold=RESEARCH)
    if turn is None:
        return
    assert isinstance(turn.check, DeclineCheck)
    assert not is_held_out_form(turn.form)
    (step,) = turn.steps
    assert step.task == "I2T"
    words = step.text.rstrip(".?").split()
    shapes = [t.shape for t in scene.things]
    if step.text.startswith("There is no ") and len(words) == 4 and words[3] != "shape":
        assert words[3] not in shapes
    if step.text.startswith("Which ") and words[2] == "do" and words[1] != "shape":
        assert shapes.count(words[1]) == ("two", "three", "four").index(words[-1]) + 2


def operations_of(module: object) -> list[Instruction]:
    found = [value for value in vars(module).values() if isinstance(value, Instruction)]
    return found + list(instructions.RESIZE.values())


def test_there_are_many_forms_of_each_operation() -> None:
    for instruction in operations_of(instructions):
        assert len(instruction.all.forms("train")) >= 60, instruction.all.name
    for intent in (value for value in vars(joining).values() if isinstance(value, Intent)):
        assert len(intent.forms()) >= 60, intent.name


def test_common_wordings_are_known() -> None:
    known = {form for instruction in operations_of(instructions) for form in instruction.all.forms()}
    assert known >= {
        "turn {it} {color}",
        "make {it} bigger",
        "get rid of {it}",
        "paint the {word_background} {color}",
        "swap {one} and {other}",
        "put {new} {at} the {position}",
        "recolour {it} {color}",
        "enlarge {it}",
        "change {it} to {new}",
        "delete {it}",
        "move {it} to the {position}",
    }


def test_all_operations_occur() -> None:
    rng = random.Random(4)
    kinds = [drawn_edit(rng)[0].check for _ in range(800)]
    names = [name for check in kinds if isinstance(check, EditCheck) for name in check.operations]
    assert all(names.count(kind) > 40 for kind in OPERATIONS)
    assert sum(isinstance(check, EditCheck) and len(check.operations) == 2 for check in kinds) > 40


def test_checks_can_be_pickled() -> None:
    turn, _, target = drawn_edit(random.Random(1))
    check = pickle.loads(pickle.dumps(turn)).check
    assert check.changed(target)
    assert check.preserved(target)


def test_drawing_an_edit_is_fast() -> None:
    rng = random.Random(2)
    scenes = [sample_scene(rng, "train", withhold=RESEARCH) for _ in range(1000)]
    sample_edit(rng, scenes[0], 1, "train", "train", withhold=RESEARCH)
    start = time.process_time()
    for scene in scenes:
        sample_edit(rng, scene, 1, "train", "train", withhold=RESEARCH)
    assert time.process_time() - start < 0.8


def test_the_plan_begins_with_what_changes_keeps_the_rest_in_order_and_adds_at_the_end() -> None:
    rng = random.Random(5)
    for kind in ("recolor", "move", "add", "remove"):
        for _ in range(20):
            turn, scene, _ = drawn_edit(rng, kind)
            phrases = turn.steps[0].text.removeprefix("image 1: ").split(", ")[:-1]
            before = write_plan(scene).split(", ")[:-1]
            if kind == "remove":
                assert phrases == [phrase for phrase in before if phrase in phrases]
            elif kind == "add":
                assert phrases[:-1] == before
            else:
                kept = [phrase for phrase in before if phrase in phrases]
                changed = len(before) - len(kept)
                assert changed
                assert phrases[changed:] == kept
                gone = [phrase for phrase in before if phrase not in phrases]
                place, thing = slice(-4), slice(-3, None)
                for old, new in zip(gone, phrases[:changed], strict=True):
                    same = place if kind == "recolor" else thing
                    assert old.split()[same] == new.split()[same]
