"""The oracle reads what is there, also soft, noisy, pale and framed, and says where it cannot."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from genllava_finetune.worlds.things.oracle.looks import looks, middle_rows
from genllava_finetune.worlds.things.oracle.parser import parse, parse_array
from genllava_finetune.worlds.things.oracle.report import Projection, decibels, measure, scenes
from genllava_finetune.worlds.things.pictures.augment import augment
from genllava_finetune.worlds.things.pictures.render import CANVAS, render, render_array
from genllava_finetune.worlds.things.pictures.scene import BACKGROUNDS, Item, Scene
from genllava_finetune.worlds.things.pictures.unreadable import KINDS, unreadable

pytestmark = pytest.mark.usefixtures("things_art")

TWO = Scene("mint", (Item("cat", "medium", "left", "3d"), Item("star", "small", "top right", None, "red")))


def test_rendered_scenes_are_read_back() -> None:
    for scene in scenes("test:clean", 12, 286):
        reading = parse_array(render_array(scene))
        assert reading.clear, scene
        assert reading.scene.key == scene.key
        assert reading.margin > 0


@pytest.mark.slow
def test_999_of_1000_rendered_scenes_are_read_back() -> None:
    share = measure("clean", "test:many", 3000, 286, parse_array)
    assert share.right >= 2997


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_an_empty_background_is_read(name: str) -> None:
    reading = parse_array(render_array(Scene(name)))
    assert reading.clear
    assert reading.scene == Scene(name)
    assert reading.margin == 1
    assert reading.unexplained == 0


def test_shifts_are_read_to_the_pixel() -> None:
    scene = Scene("white", (Item("cat", "small", "center", "flat", None, (10 / 240, -7 / 240)),))
    (item,) = parse_array(render_array(scene)).scene
    assert item.shift == pytest.approx((10 / 240, -7 / 240), abs=0.5 / 240)


def test_no_two_drawings_are_the_same() -> None:
    rows = middle_rows("small", range(len(looks())))
    drawn = rows.reshape(len(rows), -1, 9)[..., :3].reshape(len(rows), -1).astype(np.float64)
    square = (drawn**2).sum(1)
    apart = square[:, None] + square - 2 * drawn @ drawn.T
    np.fill_diagonal(apart, np.inf)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    assert apart.min() > 2000, (looks()[first], looks()[second])


def test_noise_and_softness_are_borne() -> None:
    numbers, wrong = np.random.default_rng(0), 0
    for scene in scenes("test:soft", 16, 286):
        soft = np.asarray(render(scene).filter(ImageFilter.GaussianBlur(1.0)), np.float32)
        soft = 128 + 0.95 * (soft - 128) + numbers.normal(0, 8, soft.shape).astype(np.float32) + 3
        reading = parse_array(soft.clip(0, 255))
        wrong += not reading.clear or reading.scene.key != scene.key
    assert wrong <= 1


def test_pictures_with_most_components_are_read() -> None:
    pictures = np.stack([render_array(scene) for scene in scenes("test:fit", 40, 20)])
    project = Projection(pictures, components=400)
    assert project.components.shape == (4800, 400)
    np.testing.assert_allclose(project.components.T @ project.components, np.eye(400), atol=1e-3)
    back = project(pictures[0])
    assert decibels(pictures[0], back) > 25
    known = list(scenes("test:fit", 10, 20))
    read = [parse_array(project(picture)).scene.key for picture in pictures[:10]]
    assert sum(key == scene.key for key, scene in zip(read, known, strict=True)) >= 9


def test_a_picture_of_another_size_is_read() -> None:
    assert parse(render(TWO, 500)).scene.key == TWO.key
    assert parse(render(TWO).convert("RGBA")).scene.key == TWO.key


@pytest.mark.parametrize("colour", [(0, 0, 0), (250, 250, 250), (40, 90, 160)])
@pytest.mark.parametrize("ground", ["mint", "meadow", "room"])
def test_bars_around_are_cut_off(colour: tuple[int, int, int], ground: str) -> None:
    scene = Scene(ground, TWO.items)
    whole = Image.new("RGB", (280, 256), colour)
    whole.paste(render(scene), (22, 11))
    reading = parse(whole)
    assert reading.clear
    assert reading.scene.key == scene.key


@pytest.mark.parametrize("kind", KINDS)
def test_what_shows_nothing_is_not_clear(kind: str) -> None:
    source = random.Random(kind)
    assert not any(parse(unreadable(source, kind)).clear for _ in range(2))


def test_something_strange_beside_things_is_not_clear() -> None:
    image = render(TWO)
    image.paste(unreadable(random.Random(2), "photograph").resize((50, 50)), (95, 175))
    assert not parse(image).clear


def test_the_rest_is_read_where_one_item_is_strange() -> None:
    picture = render_array(TWO)
    picture[180:220, 100:140] = np.random.default_rng(1).integers(0, 256, (40, 40, 3))
    reading = parse_array(picture)
    assert not reading.clear
    assert reading.scene.key == TWO.key


def test_augmented_pictures_keep_their_scene() -> None:
    source, wrong = random.Random(4), 0
    for scene in scenes("test:augmented", 16, 286):
        reading = parse(augment(render(scene), source))
        wrong += not reading.clear or reading.scene.key != scene.key
    assert wrong <= 2


def test_augmenting_follows_its_seed_and_keeps_the_size() -> None:
    image = render(TWO)
    first, second = (augment(image, random.Random(3)) for _ in range(2))
    assert np.array_equal(np.asarray(first), np.asarray(second))
    made = [augment(image, random.Random(seed)) for seed in range(20)]
    assert {(each.size, each.mode) for each in made} == {((CANVAS, CANVAS), "RGB")}
    assert len({each.tobytes() for each in made}) > 12


def test_art_is_where_the_fixture_says(things_art: Path) -> None:
    assert things_art.is_dir()
