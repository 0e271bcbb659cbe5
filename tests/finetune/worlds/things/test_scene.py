"""Scenes, random scenes and plans."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.pictures.plan import read_plan, write_plan
from genllava_finetune.worlds.things.pictures.sampling import sample_scene
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, MOST, PLACES, SIDES, SIZES, Item, Scene, overlap


def test_items_come_in_the_order_of_their_places() -> None:
    low, high = Item("cat", "small", "bottom", "flat"), Item("dog", "large", "top left", "3d")
    assert Scene("white", (low, high)) == Scene("white", (high, low))
    assert Scene("white", (low, high)).items == (high, low)
    assert Scene("white", (low, high)).at("bottom") is low
    assert len(Scene("white", (low, high)).free) == 7


def test_no_two_items_share_a_place() -> None:
    with pytest.raises(ValueError, match="two items"):
        Scene("white", (Item("cat", "small", "top", "flat"), Item("dog", "small", "top", "flat")))


def test_the_shift_is_not_compared_but_all_else_is() -> None:
    item = Item("cat", "small", "top", "flat", None, (0.02, 0.0))
    scene = Scene("white", (item,))
    assert scene.key == scene.centred().key
    assert scene != scene.centred()
    others = [("dog", "small", "top", "flat"), ("cat", "large", "top", "flat"), ("cat", "small", "left", "flat")]
    others += [("cat", "small", "top", "3d")]
    for other in others:
        assert Scene("white", (Item(*other),)).key != scene.key
    assert Scene("black", (item,)).key != scene.key


def test_boxes() -> None:
    item = Item("cat", "large", "bottom right", "flat", None, (0.01, -0.02))
    assert item.middle == pytest.approx((5 / 6 + 0.01, 5 / 6 - 0.02))
    left, top, right, bottom = item.box
    assert right - left == pytest.approx(bottom - top) == pytest.approx(SIDES["large"])
    same = Item("dog", "small", "bottom right", "flat", None, (0.01, -0.02))
    assert overlap(item, same) == pytest.approx(1)
    assert overlap(item, Item("dog", "small", "top", "flat")) == 0


@pytest.mark.parametrize("free", [False, True])
def test_random_scenes_are_within_their_bounds(free: bool) -> None:
    source, known = random.Random(1), things_of(60)
    names = {each.name for each in known}
    seen = [sample_scene(source, known, free=free) for _ in range(600)]
    assert {len(scene.items) for scene in seen} == set(range(MOST + 1))
    assert {scene.background for scene in seen} == set(BACKGROUNDS)
    assert {item.place for scene in seen for item in scene} == set(PLACES)
    assert {item.size for scene in seen for item in scene} == set(SIZES)
    for scene in seen:
        assert all(item.style is None or item.name in names for item in scene)
        assert all((item.style is None) <= (item.colour is not None) for item in scene)
        assert any(item.shift != (0, 0) for item in scene) == (free and bool(scene.items))
        if not free:
            continue
        for first, second in itertools.combinations(scene, 2):
            assert overlap(first, second) <= 0.2


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second = (sample_scene(random.Random(8), things_of(286)) for _ in range(2))
    assert first == second


def test_counts_can_be_asked_for() -> None:
    source = random.Random(2)
    counts = Counter(len(sample_scene(source, things_of(30), least=2, most=3).items) for _ in range(100))
    assert set(counts) == {2, 3}


def test_things_are_learnt_in_one_order() -> None:
    assert things_of(30) == things_of(100)[:30]
    assert len({each.name for each in things_of(286)}) == 286
    for count in (0, 287):
        with pytest.raises(InvalidRequest, match="choose from"):
            things_of(count)


def test_only_what_can_be_recoloured_is() -> None:
    source, known = random.Random(3), things_of(286)
    can = {each.name: each for each in known if each.recolour}
    for _ in range(400):
        for item in sample_scene(source, known):
            if item.style is not None and item.colour is not None:
                assert item.name in can
                assert item.colour != can[item.name].colour_in(item.style)


def test_plans_are_read_back() -> None:
    source = random.Random(4)
    for _ in range(300):
        scene = sample_scene(source, things_of(286), free=True)
        assert read_plan(write_plan(scene)) == scene.centred()


def test_a_plan_in_words() -> None:
    star = Item("star", "small", "top right", None, "red")
    scene = Scene("meadow", (Item("cat", "large", "left", "3d"), star))
    assert write_plan(scene) == "meadow: at top right small red star, at left large 3d cat"
    assert write_plan(Scene("night")) == "night:"
    assert read_plan("night:") == Scene("night")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "meadow",
        "park: at left large 3d cat",
        "white: cat at left",
        "white: large 3d cat",
        "white: at left large 3d wug",
        "white: at left large 3d cat, at left small red star",
        "white: at left large circle",
        "white: huge 3d cat at left",
    ],
)
def test_what_is_no_plan(text: str) -> None:
    assert read_plan(text) is None
