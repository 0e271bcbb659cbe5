"""Drawings made elsewhere show what their scene says, by other means than training's."""

from __future__ import annotations

import random

import numpy as np
import pytest

from genllava.images import letterbox, load_image
from genllava_finetune.worlds.shapes.elsewhere import GROUNDS, SHADES, draw_elsewhere, signed_distance
from genllava_finetune.worlds.shapes.render import PALETTE
from genllava_finetune.worlds.shapes.scene import CANVAS, SHAPES, Scene, Thing
from genllava_finetune.worlds.shapes.splits import RESEARCH, sample_scene

TOLERANCE = 60
"""Of what JPEG does to a flat colour."""


def grid() -> np.ndarray:
    ys, xs = (np.mgrid[0:400, 0:400] + 0.5) / 100 - 2
    return np.stack([xs, ys], axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", [0, 1, 2])
def test_a_shape_fills_its_extent_and_is_symmetrical(shape: str, variant: int) -> None:
    inside = signed_distance(shape, grid(), variant) < 0
    ys, xs = np.nonzero(inside)
    height, width = (np.ptp(ys) + 1) / 200, (np.ptp(xs) + 1) / 200
    assert max(height, width) == pytest.approx(1, abs=0.02)
    assert (inside != inside[:, ::-1]).sum() < 0.02 * inside.sum()


def test_shapes_cover_what_shapes_of_their_kind_cover() -> None:
    area = {shape: (signed_distance(shape, grid(), 0) < 0).sum() / 200**2 for shape in SHAPES}
    assert area["square"] == pytest.approx(1, abs=0.02)
    assert area["circle"] == pytest.approx(np.pi / 4, abs=0.02)
    assert area["diamond"] == pytest.approx(0.36, abs=0.02)
    assert area["star"] < area["triangle"] < area["circle"]


def test_the_distance_is_one_to_the_pixel() -> None:
    """Its slope is one beside the edges, on which antialiasing and outlines rely."""
    for shape in SHAPES:
        distance = signed_distance(shape, grid(), 0)
        slope = np.hypot(*np.gradient(distance, 0.01))[abs(distance) < 0.1]
        assert np.median(slope) == pytest.approx(1, abs=0.02)


def test_shades_are_not_those_of_training() -> None:
    drawn = {rgb for shades in (*SHADES.values(), GROUNDS["gray"], GROUNDS["beige"]) for rgb in shades}
    assert not drawn & set(PALETTE.values())


@pytest.mark.parametrize("seed", range(40))
def test_objects_are_where_the_scene_says_and_of_its_colours(seed: int) -> None:
    rng = random.Random(seed)
    scene = sample_scene(rng, "train", withhold=RESEARCH)
    image = draw_elsewhere(rng, scene)
    assert 200 <= max(image.size) <= 1200
    pixels = np.asarray(letterbox(load_image(image), CANVAS)).astype(int)
    ground = min(GROUNDS[scene.background], key=lambda rgb: abs(pixels[2, 2] - rgb).sum())
    assert abs(pixels[2, 2] - ground).sum() < TOLERANCE
    there = {thing.cell: thing for thing in scene.things}
    for cell in range(9):
        row, column = divmod(cell, 3)
        third = [slice(round(k * CANVAS / 3), round((k + 1) * CANVAS / 3)) for k in (row, column)]
        part = pixels[third[0], third[1]].reshape(-1, 3)
        other = part[abs(part - ground).sum(1) > 75]
        if cell in there:
            shades = np.array(SHADES[there[cell].color])
            near = (abs(other[:, None] - shades).sum(-1) < TOLERANCE).any(1)
            assert near.mean() > 0.2, there[cell]
            assert len(other) > 25, there[cell]


def test_the_same_seed_draws_the_same_picture() -> None:
    scene = Scene("white", (Thing(4, "star", "red", "large", 0, 0),))
    first, second, third = (draw_elsewhere(random.Random(seed), scene) for seed in (1, 1, 2))
    assert first.size == second.size
    assert np.array_equal(np.asarray(first), np.asarray(second))
    assert np.asarray(third).shape != np.asarray(first).shape or (np.asarray(third) != np.asarray(first)).any()
