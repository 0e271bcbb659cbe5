"""Edits that are drawn from their plan alone, and put where the source has what they change."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genllava import GenLlavaPipeline
from genllava.protocols.shapes.placing import put_into
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, COLORS, JITTER, SHAPES, SIZES, Scene, Thing

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


def test_a_thing_is_changed_where_the_source_has_it() -> None:
    source, yellow = render(scene(STAR, SQUARE)), replace(STAR, color="yellow")
    result = put_into(source, centred(yellow, SQUARE), centred(STAR, SQUARE))
    assert np.abs(pixels(result) - pixels(render(scene(yellow, SQUARE)))).max() <= 30
    assert np.array_equal(pixels(result)[70:], pixels(source)[70:])


def test_what_comes_in_the_place_of_a_thing_is_put_where_that_was() -> None:
    cross = replace(STAR, shape="cross", size="large")
    result = put_into(render(scene(STAR)), centred(cross), centred(STAR))
    assert np.allclose(middle(result, 1) - middle(centred(cross), 1), (STAR.dy, STAR.dx), atol=1)


def test_what_is_new_stays_where_it_was_drawn() -> None:
    result = put_into(render(scene(STAR)), centred(STAR, SQUARE), centred(STAR))
    assert np.array_equal(pixels(result)[70:], pixels(centred(STAR, SQUARE))[70:])
    assert np.array_equal(pixels(result)[:60], pixels(render(scene(STAR)))[:60])


def test_what_is_too_far_away_is_another_thing() -> None:
    source = render(scene(replace(STAR, dx=15)))
    result = put_into(source, centred(STAR, SQUARE), centred(STAR))
    assert np.array_equal(pixels(result)[:60], pixels(source)[:60])


def test_a_source_that_is_to_stay_as_it_is_stays_so() -> None:
    source = render(scene(STAR, SQUARE))
    assert put_into(source, centred(STAR), centred(STAR)).tobytes() == source.tobytes(), "a square it does not see"
    blank = render(scene())
    assert put_into(blank, centred(STAR), centred(STAR)).tobytes() == blank.tobytes(), "a star that is not there"


def test_a_background_of_another_tone_is_kept() -> None:
    toned = Image.fromarray(np.minimum(pixels(render(scene(STAR, SQUARE))), 238).astype(np.uint8))
    result = pixels(put_into(toned, centred(SQUARE), centred(STAR, SQUARE)))
    assert (result[:60] == 238).all(), "no white star where the red one was"


def test_a_background_that_is_not_even_is_kept() -> None:
    level = np.linspace(120, 230, 128).round()[:, None, None]
    ink = pixels(render(scene(STAR, SQUARE)))
    shaded = Image.fromarray(np.where((ink < 255).any(2, keepdims=True), ink, level).astype(np.uint8))
    result = pixels(put_into(shaded, centred(replace(STAR, color="green"), SQUARE), centred(STAR, SQUARE)))
    assert np.array_equal(result[70:], pixels(shaded)[70:])
    assert np.array_equal(result[:, 90:], pixels(shaded)[:, 90:])
    bare = pixels(put_into(shaded, centred(SQUARE), centred(STAR, SQUARE)))
    assert np.abs(bare[:60] - level[:60]).max() <= 2, "where the star was it passes evenly"


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("ink", ["black", "gray"])
def test_a_frame_around_the_source_is_kept(width: int, ink: str) -> None:
    framed = render(scene(STAR, SQUARE))
    ImageDraw.Draw(framed).rectangle((0, 0, 127, 127), outline=ink, width=width)
    yellow = replace(STAR, color="yellow")
    result = put_into(framed, centred(yellow, SQUARE), centred(STAR, SQUARE))
    assert (pixels(result) != pixels(framed)).any(2).mean() < 0.06
    assert (pixels(result)[20:30, 64:72, 2] < 100).any(), "the star is yellow"


def jittered(rng: random.Random, thing: Thing) -> Thing:
    reach = JITTER[thing.size]
    return replace(thing, dx=rng.randint(-reach, reach), dy=rng.randint(-reach, reach))


@pytest.mark.parametrize("change", ["color", "shape", "size", "remove", "add", "background"])
def test_whatever_is_changed_comes_where_it_belongs_and_nothing_else_moves(change: str) -> None:
    rng = random.Random(change)
    for _ in range(40):
        cells = rng.sample(range(9), 4)
        loose = [Thing(cell, rng.choice(SHAPES), rng.choice(COLORS), rng.choice(SIZES)) for cell in cells]
        there, drawn = ([jittered(rng, thing) for thing in loose] for _ in range(2))
        before = after = rng.choice(BACKGROUNDS)
        planned, wanted = list(drawn), list(there)
        if change == "background":
            after = rng.choice([name for name in BACKGROUNDS if name != before])
        elif change == "add":
            there, drawn = there[1:], drawn[1:]
            wanted[0] = planned[0]
        elif change == "remove":
            planned, wanted = planned[1:], wanted[1:]
        else:
            values = {"color": COLORS, "shape": SHAPES, "size": SIZES}[change]
            value = rng.choice([each for each in values if each != getattr(loose[0], change)])
            planned[0], wanted[0] = (replace(each[0], **{change: value}) for each in (planned, wanted))
        source, plan, known, expected = (
            render(Scene(ground, tuple(things)))
            for ground, things in ((before, there), (after, planned), (before, drawn), (after, wanted))
        )
        result = put_into(source, plan, known)
        assert (np.abs(pixels(result) - pixels(expected)).max(2) > 60).sum() <= 20, (before, there, after, wanted)


def test_a_thing_as_far_away_as_things_are_is_the_same() -> None:
    away, drawn = replace(STAR, dx=5, dy=-5), replace(STAR, dx=-5, dy=5)
    result = put_into(render(scene(away)), render(scene(replace(drawn, color="green"))), render(scene(drawn)))
    assert np.abs(pixels(result) - pixels(render(scene(replace(away, color="green"))))).max() <= 30


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_no_picture_of_things_breaks_it(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    pictures = [Image.fromarray(noise), Image.new("RGB", (128, 128), (255, 0, 0)), render(scene()), centred(STAR)]
    for source, planned, known in itertools.product(pictures, repeat=3):
        assert put_into(source, planned, known).size == (128, 128)
        assert put_into(source, known, known).tobytes() == source.tobytes()


def test_a_new_background_leaves_the_things_the_sources() -> None:
    source, black = render(scene(STAR, SQUARE)), Scene("black", (STAR, SQUARE))
    drawn = render(Scene("black", tuple(replace(thing, dx=0, dy=0) for thing in black.things)))
    result = pixels(put_into(source, drawn, centred(STAR, SQUARE)))
    assert np.abs(result - pixels(render(black))).max() <= 60
    red = (pixels(source) == pixels(render(black))).all(2)
    assert np.array_equal(result[red], pixels(source)[red]), "within their edges to the pixel"


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


def test_where_plans_do_not_say_all_an_edit_starts_from_its_source(shipped: GenLlavaPipeline) -> None:
    source = render(scene(STAR, SQUARE))
    from_plan = shipped.edit(source, "make the star purple", seed=1)
    shipped.register_to_config(protocol_options={"plan_temperature": 0.7, "edits_from_plans": False})  # type: ignore[no-untyped-call]
    try:
        from_source = shipped.edit(source, "make the star purple", seed=1)
    finally:
        shipped.register_to_config(protocol_options={"plan_temperature": 0.7, "edits_from_plans": True})  # type: ignore[no-untyped-call]
    assert from_source.image is not None
    assert from_plan.image is not None
    assert from_source.plan == from_plan.plan
    assert from_source.unet_rows == from_plan.unet_rows == 8
    assert np.abs(pixels(from_source.image) - pixels(from_plan.image)).max() > 30
