"""Drawings as people make them keep to their scene."""

from __future__ import annotations

import random

import numpy as np
import pytest

from genllava_finetune.worlds.shapes.augment import EXTENT, draw_varied, form, shades
from genllava_finetune.worlds.shapes.lab import distances, lab_of, to_lab
from genllava_finetune.worlds.shapes.render import BACKDROP, PALETTE
from genllava_finetune.worlds.shapes.scene import SHAPES, random_scene


def test_a_drawing_is_rgb_bytes_and_follows_its_seed() -> None:
    scene = random_scene(random.Random(3))
    first, second = (draw_varied(random.Random(5), scene) for _ in range(2))
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, draw_varied(random.Random(6), scene))


def test_a_numpy_generator_will_do() -> None:
    scene = random_scene(random.Random(3))
    assert draw_varied(np.random.default_rng(0), scene).shape == (128, 128, 3)


@pytest.mark.parametrize("name", [*PALETTE, *BACKDROP])
def test_every_shade_is_nearest_to_its_own_name(name: str) -> None:
    peers = PALETTE if name in PALETTE else BACKDROP
    nearest = distances(to_lab(shades(name)), lab_of(peers)).argmin(axis=1)
    assert set(nearest) == {list(peers).index(name)}
    assert shades(name).std(axis=0).max() > 3, "the shades hardly differ"


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_stay_apart(shape: str, size: str) -> None:
    low, high = EXTENT[size]
    for index in range(64):
        made = form(shape, size, index, crisp=False, stroked=index % 2 == 0, plain=index % 3 == 0)
        assert low - 1e-6 <= max(made.half_width, made.half_height) <= high + 1e-6
        assert made.mask[[0, -1]].max() == made.mask[:, [0, -1]].max() == 0, "the mask is cut off"
