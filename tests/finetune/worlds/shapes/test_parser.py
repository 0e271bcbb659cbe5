"""The oracle parser: it reads what is there, and refuses what is not clearly anything."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import PALETTE, coverage, paint, render_array
from genllava_finetune.worlds.shapes.scene import CELLS, Scene, Thing, random_scene
from genllava_finetune.worlds.shapes.training.autoencoder import fit_autoencoder
from genllava_finetune.worlds.shapes.training.pictures import to_pixels, to_uint8


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_rendered_scene_is_read_back(seed: int) -> None:
    scene = random_scene(random.Random(seed))
    assert parse(render_array(scene)).scene == scene


@pytest.mark.slow
def test_of_five_thousand_clean_pictures_hardly_one_is_misread() -> None:
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(5000)]
    assert sum(parse(render_array(scene)).scene == scene for scene in scenes) >= 4995


@pytest.mark.slow
def test_the_autoencoder_leaves_pictures_readable() -> None:
    rng = random.Random(1)
    vae = fit_autoencoder(0, pictures=1000)
    scenes = [random_scene(rng) for _ in range(100)]
    pixels = to_pixels([render_array(scene) for scene in scenes])
    back = to_uint8(vae.decode(vae.encode(pixels).latents).sample)
    assert sum(parse(picture).scene == scene for picture, scene in zip(back, scenes, strict=True)) >= 97


def test_an_empty_picture_is_a_scene_without_objects() -> None:
    assert parse(render_array(Scene("gray", ()))).scene == Scene("gray", ())


def test_faint_noise_does_not_matter() -> None:
    rng, noise = random.Random(2), np.random.default_rng(2)
    for _ in range(20):
        scene = random_scene(rng)
        picture = render_array(scene) + noise.normal(0, 5, (128, 128, 3))
        assert parse(np.clip(picture, 0, 255).astype(np.uint8)).scene == scene


def _one(shape: str, color: str = "red") -> NDArray[np.uint8]:
    return render_array(Scene("white", (Thing(4, shape=shape, color=color, size="large"),)))


def test_half_of_an_object_is_refused() -> None:
    for shape in ("circle", "star", "square", "cross"):
        picture = _one(shape).copy()
        picture[:, 64:] = 255
        assert parse(picture).scene is None, shape


def test_something_between_two_shapes_is_refused() -> None:
    canvas = np.full((128, 128, 3), 255, np.float32)
    red = np.asarray(PALETTE["red"], np.float32)
    paint(canvas, coverage("circle", 11.0), 55, 64, red)
    paint(canvas, coverage("square", 11.0), 73, 64, red)
    assert parse(canvas.astype(np.uint8)).scene is None


def test_an_object_too_many_is_seen() -> None:
    scene = Scene("white", (Thing(4, shape="circle", color="red", size="large"),))
    picture = render_array(scene).copy()
    picture[4:20, 4:20] = (30, 150, 60)
    assert parse(picture).scene != scene


def test_what_cannot_be_read_is_listed_with_its_place() -> None:
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[60:64, 20:110] = 0
    parsed = parse(picture)
    assert parsed.scene is None
    (blob,) = parsed.unparsed
    assert abs(blob.x - 64.5) < 3
    assert abs(blob.y - 61.5) < 3


def test_pure_noise_is_no_scene() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert parse(noise).scene is None


def test_a_picture_without_a_background_of_the_domain_is_no_scene() -> None:
    (blob,) = parse(np.full((128, 128, 3), (200, 20, 120), np.uint8)).unparsed
    assert blob.reason == "no background of the domain"


def test_only_pictures_of_the_canvas_are_read() -> None:
    with pytest.raises(ValueError, match="128x128"):
        parse(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("cell", range(len(CELLS)))
def test_every_place_is_told_from_its_neighbours(cell: int) -> None:
    for size, jitter in (("small", 5), ("large", 3)):
        for dx in (-jitter, jitter):
            thing = Thing(cell, shape="diamond", color="blue", size=size, dx=dx, dy=-dx)
            assert parse(render_array(Scene("beige", (thing,)))).scene == Scene("beige", (thing,))
