"""From scenes to pixels: backgrounds, sprites in their squares, other colours; and pictures made elsewhere."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from genllava_finetune.worlds.things.art.archives import NotFetched
from genllava_finetune.worlds.things.knowledge.things import things_of
from genllava_finetune.worlds.things.oracle.report import scenes
from genllava_finetune.worlds.things.pictures import elsewhere
from genllava_finetune.worlds.things.pictures.backgrounds import PLAIN_COLOURS, background
from genllava_finetune.worlds.things.pictures.render import CANVAS, pixels_of, render, render_array, sprite
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, COLOURS, SHAPES, SIZES, STYLES, Item, Scene
from genllava_finetune.worlds.things.pictures.unreadable import KINDS, unreadable

pytestmark = pytest.mark.usefixtures("things_art")


def test_an_empty_scene_is_its_background() -> None:
    for name, colour in PLAIN_COLOURS.items():
        assert (render_array(Scene(name)) == colour).all()


def test_backgrounds_are_far_from_each_other() -> None:
    for first, second in itertools.combinations(BACKGROUNDS, 2):
        assert np.abs(background(first, 60) - background(second, 60)).mean() > 8, (first, second)


@pytest.mark.parametrize("size", SIZES)
def test_an_item_stays_in_its_square(size: str) -> None:
    item = Item("cat", size, "bottom right", "cartoon", None, (-0.005, 0.004))
    changed = (render_array(Scene("pink", (item,))) != render_array(Scene("pink"))).any(-1)
    rows, columns = np.nonzero(changed)
    left, top, right, bottom = (edge * CANVAS for edge in item.box)
    assert left - 1 <= columns.min() <= columns.max() <= right + 1
    assert top - 1 <= rows.min() <= rows.max() <= bottom + 1
    assert np.ptp(rows) > 0.7 * pixels_of(size, CANVAS)


def test_what_lies_beyond_the_edge_is_cut_off() -> None:
    item = Item("square", "large", "top left", None, "red", (-0.1, -0.1))
    assert render_array(Scene("white", (item,))).shape == (CANVAS, CANVAS, 3)


@pytest.mark.parametrize("style", STYLES)
def test_a_recoloured_thing_changes_its_colours_alone(style: str) -> None:
    thing = next(each for each in things_of(286) if each.recolour)
    colour = next(each for each in COLOURS if each != thing.colour_in(style))
    own, other = sprite(thing.name, style, None, 78), sprite(thing.name, style, colour, 78)
    assert np.abs(own[..., 3] - other[..., 3]).max() < 0.01
    assert np.abs(own[..., :3] - other[..., :3]).max() > 40


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_of_one_colour(name: str) -> None:
    art = sprite(name, None, "blue", 58)
    assert not art.flags.writeable
    inside = art[art[..., 3] > 0.99][:, :3]
    assert len(inside) > 300
    assert np.ptp(inside, axis=0).max() == 0


def test_larger_pictures_show_the_same() -> None:
    for scene in scenes("test:large", 4, 286):
        small = np.asarray(render(scene, 480).resize((CANVAS, CANVAS), 4), np.float32)
        assert np.abs(small - render_array(scene)).mean() < 4


@pytest.fixture(scope="module")
def other() -> None:
    try:
        elsewhere.prepare_other()
    except NotFetched as error:
        pytest.skip(f"no drawings by another hand: {error}")


@pytest.mark.usefixtures("other")
def test_another_hand_has_all_things_and_draws_them_differently() -> None:
    found = elsewhere.other_sprites()
    assert set(found) == {each.name for each in things_of(286)}
    for name in ("cat", "apple"):
        alpha = found[name][..., 3] > 128
        assert 0.15 < alpha.mean() < 0.95
        assert (alpha != (sprite(name, "flat", None, 160)[..., 3] > 0.5)).mean() > 0.02


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("kind", elsewhere.READABLE)
def test_pictures_made_elsewhere_show_every_item(kind: str) -> None:
    source = random.Random(kind)
    for scene in scenes(f"test:{kind}", 6, 286):
        made = elsewhere.READABLE[kind](scene, source)
        assert made.image.mode == "RGB"
        assert made.scene is not None
        assert {(item.name, item.place) for item in made.scene} == {(item.name, item.place) for item in scene}
        if kind != "another canvas":
            pixels = np.asarray(made.image.resize((CANVAS, CANVAS)), np.float32)
            for item in made.scene:
                left, top, right, bottom = (max(round(edge * CANVAS), 0) for edge in item.box)
                away = np.abs(pixels - background(made.scene.background, CANVAS))[top:bottom, left:right].max(-1)
                assert (away > 25).mean() > 0.02, item


def test_outlines_have_no_frame() -> None:
    scene = Scene("white", (Item("circle", "large", "center", None, "red"),))
    made = elsewhere.as_outlines(scene, random.Random(1))
    assert made.scene is not None
    pixels = np.asarray(made.image, np.float32)
    corner = pixels[78:90, 78:90] - background(made.scene.background, CANVAS)[78:90, 78:90]
    assert np.abs(corner).max() < 3


@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_pictures_differ(kind: str) -> None:
    source = random.Random(kind)
    made = [unreadable(source, kind) for _ in range(4)]
    assert {each.mode for each in made} == {"RGB"}
    assert len({each.tobytes() for each in made}) == 4
    assert elsewhere.of_nothing(source, kind).scene is None
