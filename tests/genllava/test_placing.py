"""Edits that are drawn from their plan alone, and put where the source has what they change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from genllava import GenLlavaPipeline
from genllava.image_decoder import decode
from genllava.placing import placed
from genllava_finetune.shapes.parser import parse
from genllava_finetune.shapes.render import render
from genllava_finetune.shapes.scene import Scene, Thing

STAR, SQUARE = Thing(1, "star", "red", "small", 4, -5), Thing(6, "square", "green", "large", -3, 2)


@pytest.fixture(scope="module")
def shipped() -> GenLlavaPipeline:
    return GenLlavaPipeline.from_pretrained()


def scene(*things: Thing) -> Scene:
    return Scene("white", things)


def centred(*things: Thing) -> Image.Image:
    return render(scene(*(replace(thing, dx=0, dy=0) for thing in things)))


def pixels(image: Image.Image) -> NDArray[np.int_]:
    return np.asarray(image).astype(int)


def middle(image: Image.Image, cell: int) -> NDArray[np.float64]:
    """(y, x) of what is not white, within a cell of nine."""
    ink = pixels(image).min(2) < 200
    row, column = np.indices(ink.shape) * 3 // len(ink)
    middle: NDArray[np.float64] = np.argwhere(ink & (row * 3 + column == cell)).mean(0)
    return middle


def test_things_come_to_where_the_source_has_them() -> None:
    source, blue = render(scene(STAR, SQUARE)), replace(STAR, color="yellow")
    planned, known = placed(centred(blue, SQUARE), centred(STAR, SQUARE), source)
    assert np.abs(pixels(known) - pixels(source)).max() <= 30, "each in its own direction"
    assert np.abs(pixels(planned) - pixels(render(scene(blue, SQUARE)))).max() <= 30


def test_what_comes_in_the_place_of_a_thing_moves_as_that_did() -> None:
    cross = replace(STAR, shape="cross", size="large")
    planned, _ = placed(centred(cross), centred(STAR), render(scene(STAR)))
    offset = middle(planned, 1) - middle(centred(cross), 1)
    assert np.allclose(offset, (STAR.dy, STAR.dx), atol=1)


def test_what_is_new_stays_where_it_was_drawn() -> None:
    planned, _ = placed(centred(STAR, SQUARE), centred(STAR), render(scene(STAR)))
    assert np.array_equal(pixels(planned)[70:], pixels(centred(STAR, SQUARE))[70:])


def test_nothing_moves_where_all_is_in_place_or_too_far_away() -> None:
    star, square = centred(STAR), centred(STAR, SQUARE)
    assert placed(square, star, star) == (square, star)
    elsewhere = render(scene(replace(STAR, dx=15)))
    assert placed(square, star, elsewhere)[0] is square, "another thing"
    blank = render(scene())
    assert placed(blank, star, blank)[0] is blank, "the source shows nothing where the model draws something"


@pytest.mark.parametrize("seed", range(3))
def test_a_users_thing_is_changed_where_it_is(shipped: GenLlavaPipeline, seed: int) -> None:
    source = render(scene(STAR, SQUARE))
    drawing = shipped.edit(source, "make the star purple", seed=seed)
    assert drawing.image is not None
    shown = parse(drawing.image).scene
    assert shown is not None
    assert {(t.cell, t.shape, t.color) for t in shown.things} == {(1, "star", "purple"), (6, "square", "green")}
    assert np.allclose(middle(drawing.image, 1), middle(source, 1), atol=1.5)
    assert np.array_equal(pixels(drawing.image)[70:], pixels(source)[70:])


def test_the_latents_of_an_edit_show_what_its_pixels_do(shipped: GenLlavaPipeline) -> None:
    drawing = shipped.edit(render(scene(STAR, SQUARE)), "make the star purple", seed=1)
    assert drawing.image is not None
    assert drawing.latents is not None
    decoded = decode(shipped.vae, drawing.latents[None])[0]
    assert np.abs(pixels(decoded) - pixels(drawing.image)).mean() < 3


def test_where_plans_do_not_say_all_an_edit_starts_from_its_source(shipped: GenLlavaPipeline) -> None:
    source = render(scene(STAR, SQUARE))
    from_plan = shipped.edit(source, "make the star purple", seed=1)
    shipped.register_to_config(edits_from_plans=False)  # type: ignore[no-untyped-call]
    try:
        from_source = shipped.edit(source, "make the star purple", seed=1)
    finally:
        shipped.register_to_config(edits_from_plans=True)  # type: ignore[no-untyped-call]
    assert from_source.image is not None
    assert from_plan.image is not None
    assert from_source.plan == from_plan.plan
    assert from_source.unet_rows == from_plan.unet_rows == 8
    assert np.abs(pixels(from_source.image) - pixels(from_plan.image)).max() > 30
