"""Requests for new pictures: the target keeps to what is asked, and other scenes do not."""

from __future__ import annotations

import pickle
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genllava_finetune.worlds.grammar import is_held_out_form
from genllava_finetune.worlds.shapes.description import Description
from genllava_finetune.worlds.shapes.dialogue import SceneCheck, Turn
from genllava_finetune.worlds.shapes.generation import HeldOut, complete, sample_generation, sample_specification
from genllava_finetune.worlds.shapes.language.requests import DRAW
from genllava_finetune.worlds.shapes.plan import read_plan
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, COLORS, Scene, Thing
from genllava_finetune.worlds.shapes.specification import Ask, Relation, Specification
from genllava_finetune.worlds.shapes.splits import (
    HELD_OUT_RELATIONS,
    RESEARCH,
    allowed,
    has_held_out_count,
    has_held_out_pair,
    split_of,
)

seeds = st.integers(0, 2**32).map(random.Random)
RED_CIRCLE = Thing(0, "circle", "red", "small")
BLUE_SQUARE = Thing(5, "square", "blue", "large")


def parts(turn: Turn) -> tuple[Specification, Scene]:
    assert isinstance(turn.check, SceneCheck)
    spec, target = turn.check.holds.__self__, turn.steps[0].target
    assert isinstance(spec, Specification)
    assert target is not None
    return spec, target


@given(seeds)
def test_the_target_is_an_ordinary_training_scene_that_keeps_to_the_request(rng: random.Random) -> None:
    turn = sample_generation(rng, "train", "train", withhold=RESEARCH)
    spec, target = parts(turn)
    assert allowed(target, "train")
    assert spec.holds(target)
    assert not is_held_out_form(turn.form)
    assert read_plan(turn.steps[0].text) == target
    assert turn.user == turn.user.strip() != ""
    assert "{" not in turn.user
    assert turn.check.tags


@given(seeds)
def test_objects_too_many_or_too_few_break_a_request(rng: random.Random) -> None:
    spec, target = parts(sample_generation(rng, "train", "train", withhold=RESEARCH))
    assert not spec.holds(target.without(target.things[:1]))
    extra = Thing(target.free_cells[0], "circle", "red", "small")
    assert not spec.holds(target.with_thing(extra))


@given(seeds)
def test_a_full_request_leaves_one_scene(rng: random.Random) -> None:
    spec, target = parts(sample_generation(rng, "train", "train", kind="full", withhold=RESEARCH))
    assert spec.complete
    thing = rng.choice(target.things)
    other = replace(thing, color=next(color for color in COLORS if color != thing.color))
    moved = replace(thing, cell=target.free_cells[0])
    background = next(color for color in BACKGROUNDS if color != target.background)
    for changed in (
        target.replacing(thing, other),
        target.replacing(thing, moved),
        replace(target, background=background),
    ):
        assert not spec.holds(changed)


@given(seeds)
def test_every_named_attribute_matters(rng: random.Random) -> None:
    """Where all objects are asked to be of one colour or shape, none may be of another."""
    spec = Specification((Ask(Description("star", "red"), 2),))
    scene, cells = complete(rng, spec)
    assert sorted(cells) == [thing.cell for thing in scene.things]
    assert spec.holds(scene)
    thing = rng.choice(scene.things)
    assert not spec.holds(scene.replacing(thing, replace(thing, color="green")))
    assert not spec.holds(scene.replacing(thing, replace(thing, shape="circle")))
    assert spec.holds(scene.replacing(thing, replace(thing, size="large" if thing.size == "small" else "small")))


def test_relations_and_negations() -> None:
    scene = Scene("white", (RED_CIRCLE, BLUE_SQUARE))
    asks = (Ask(Description("circle", "red")), Ask(Description("square")))
    assert Specification(asks, relation=Relation("left", 0, 1)).holds(scene)
    assert Specification(asks, relation=Relation("above", 0, 1)).holds(scene)
    assert not Specification(asks, relation=Relation("right", 0, 1)).holds(scene)
    assert not Specification(asks, relation=Relation("below", 0, 1)).holds(scene)
    two = (Ask(Description(), 2),)
    assert Specification(two, without=Description(color="green")).holds(scene)
    assert not Specification(two, without=Description(color="red")).holds(scene)
    assert not Specification(two, background="black").holds(scene)


def test_objects_are_matched_to_the_request_in_any_order() -> None:
    scene = Scene("white", (RED_CIRCLE, replace(RED_CIRCLE, cell=4, color="green")))
    asks = (Ask(Description("circle")), Ask(Description("circle", "red")))
    assert Specification(asks).holds(scene)
    assert Specification(asks, relation=Relation("right", 0, 1)).holds(scene)
    assert not Specification(asks, relation=Relation("left", 0, 1)).holds(scene)


@pytest.mark.parametrize("heldout", ["attr_combo", "count", "relation"])
def test_held_out_requests_hold_what_is_held_out(heldout: HeldOut) -> None:
    rng = random.Random(5)
    for _ in range(40):
        spec, target = parts(sample_generation(rng, "test", "train", heldout, withhold=RESEARCH))
        assert spec.holds(target)
        assert split_of(target) == "test"
        assert has_held_out_pair(target) == (heldout == "attr_combo")
        assert has_held_out_count(target) == (heldout == "count")
        if heldout == "relation":
            assert spec.relation is not None
            colors = [ask.what.color for ask in spec.asks]
            assert (spec.relation.name, *colors) in HELD_OUT_RELATIONS


def test_no_withheld_relation_is_asked_for_in_training() -> None:
    rng = random.Random(6)
    for _ in range(3000):
        spec = sample_specification(rng, "relation", withhold=RESEARCH)
        assert spec.relation is not None
        assert (spec.relation.name, *(ask.what.color for ask in spec.asks)) not in HELD_OUT_RELATIONS


def test_withheld_forms_are_drawn_when_asked_for() -> None:
    rng = random.Random(7)
    assert all(is_held_out_form(sample_generation(rng, "test", "held_out", withhold=RESEARCH).form) for _ in range(30))


def test_all_kinds_of_request_occur() -> None:
    rng = random.Random(8)
    turns = [sample_generation(rng, "train", "train", withhold=RESEARCH) for _ in range(2000)]
    tags = [tag for turn in turns if isinstance(turn.check, SceneCheck) for tag in turn.check.tags]
    for tag in (
        "single",
        "two",
        "several",
        "counting",
        "colors",
        "color_attr",
        "position",
        "size",
        "background",
        "negation",
    ):
        assert tags.count(tag) > 60, tag
    assert len({turn.form for turn in turns}) > 300


def test_three_things_of_which_one_has_a_colour_are_several() -> None:
    whats = Description("triangle", "purple"), Description("square"), Description("circle")
    assert Specification(tuple(map(Ask, whats))).tags == ("several",)


def test_there_are_many_forms() -> None:
    assert len(DRAW.forms("train")) >= 60
    assert {"draw {things}", "{things}", "show me {things}"} <= set(DRAW.forms())


def test_checks_can_be_pickled() -> None:
    turn = sample_generation(random.Random(9), "train", "train", withhold=RESEARCH)
    spec, target = parts(pickle.loads(pickle.dumps(turn)))
    assert spec.holds(target)


def test_drawing_a_request_is_fast() -> None:
    rng = random.Random(10)
    sample_generation(rng, "train", "train", withhold=RESEARCH)
    start = time.process_time()
    for _ in range(1000):
        sample_generation(rng, "train", "train", withhold=RESEARCH)
    assert time.process_time() - start < 0.3


def test_the_plan_names_objects_in_the_order_of_the_request() -> None:
    """A model then has nothing to sort."""
    rng, seen = random.Random(3), 0
    for _ in range(200):
        turn = sample_generation(rng, "train", "train", kind="full", withhold=RESEARCH)
        request, plan = turn.user.lower(), turn.steps[0].text
        colors = [phrase.split()[-2] for phrase in plan.split(", ")[:-1]]
        places = [request.find(color) for color in colors]
        if len(set(colors)) == len(colors) > 1 and min(places) >= 0:  # typos and repeated colours tell nothing
            assert places == sorted(places)
            seen += 1
    assert seen > 50
