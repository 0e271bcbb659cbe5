"""An edit leaves alone what it was not told to change: those pixels are the source's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from genllava import Drawing, GenLlavaPipeline
from genllava.protocols.shapes.keeping import keep_unchanged
from genllava.protocols.shapes.latents import Picture, encode
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

CIRCLE, STAR = Thing(0, "circle", "red", "large", 0, 0), Thing(8, "star", "blue", "small", 0, 0)
SOURCE = Scene("white", (CIRCLE, STAR))
"""No training picture has a blue star: what the model draws in its place is often none."""


@pytest.fixture(scope="module", params=["from plans", "from sources"])
def shipped(request: pytest.FixtureRequest) -> GenLlavaPipeline:
    pipeline = GenLlavaPipeline.from_pretrained()
    options = {"plan_temperature": 0.7, "edits_from_plans": request.param == "from plans"}
    pipeline.register_to_config(protocol_options=options)  # type: ignore[no-untyped-call]
    return pipeline


@pytest.fixture(scope="module")
def source() -> Image.Image:
    return Image.fromarray(np.asarray(render(SOURCE)))


def pixels(image: Image.Image | None) -> NDArray[np.uint8]:
    assert image is not None
    return np.asarray(image)


def plain(level: int, seed: int = 0) -> Drawing:
    """A gray picture of 4 x 4 cells of 8 pixels, with latents [2, 4, 4] of its own."""
    latents = torch.full((2, 4, 4), float(level))
    return Drawing(Image.new("RGB", (32, 32), (level, level, level)), None, "plan", seed, 1, latents, 3)


def test_cells_that_come_to_the_same_are_the_source() -> None:
    edited, unedited = plain(100), plain(110)
    source = Picture(Image.new("RGB", (32, 32), (95, 95, 95)), torch.zeros(2, 4, 4))
    assert edited.image is not None
    edited.image.paste((200, 100, 100), (9, 17, 11, 19))  # within one cell: third row, second column
    kept = keep_unchanged(edited, unedited, source)
    changed = np.zeros((4, 4), dtype=bool)
    changed[1:3, 0:2] = True
    there = np.zeros((32, 32), dtype=bool)
    there[14:22, 6:14] = True  # it and three pixels around it
    assert np.array_equal((pixels(kept.image) != 95).any(2), there)
    assert np.array_equal(pixels(kept.image)[there], pixels(edited.image)[there])
    assert kept.latents is not None
    assert torch.equal(kept.latents, 100.0 * torch.from_numpy(changed).expand(2, 4, 4))
    assert (kept.unet_rows, kept.plan, kept.source) == (6, "plan", 1)


@pytest.mark.parametrize("radius", [18, 20, 22])
@pytest.mark.parametrize("middle", [40, 64])
def test_no_rim_is_left_of_what_was_larger_than_the_model_draws_it(
    shipped: GenLlavaPipeline, radius: int, middle: int
) -> None:
    drawn = Image.new("RGB", (128, 128), "white")
    box = (middle - radius, middle - radius, middle + radius, middle + radius)
    ImageDraw.Draw(drawn).ellipse(box, fill=(220, 40, 40))
    red, green, blue = pixels(shipped.edit(drawn, "make the circle green", seed=1).image).astype(int).transpose(2, 0, 1)
    assert ((red > green + 60) & (red > blue + 60)).sum() < 10


def test_an_edit_in_the_words_that_were_seen_is_drawn(shipped: GenLlavaPipeline) -> None:
    star = Image.fromarray(np.asarray(render(Scene("white", (Thing(4, "star", "blue", "large", 0, 0),)))))
    chat = shipped.conversation()
    chat.add_user("turn the star into a cross", [star])
    caption = chat.captions[1]
    drawing = chat.draw("[I2I]", plan=f"image 1: {caption}", seed=1)
    assert drawing.unet_rows == 4, "not compared with itself"


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_edited_stays_pixel_by_pixel(shipped: GenLlavaPipeline, source: Image.Image, seed: int) -> None:
    shipped.counters.reset()
    drawing = shipped.edit(source, "make the circle green", seed=seed)
    assert drawing.image is not None
    scene = parse(drawing.image).scene
    assert scene is not None
    assert {(t.shape, t.color, t.cell) for t in scene.things} == {("circle", "green", 0), ("star", "blue", 8)}
    corner = (slice(80, 128), slice(80, 128))
    assert np.array_equal(pixels(drawing.image)[corner], pixels(source)[corner])
    if drawing.latents is not None:
        assert torch.allclose(
            drawing.latents[:, 5:, 5:], encode(shipped.decoder.vae, [source])[0][:, 5:, 5:], atol=1e-5
        )
    assert (drawing.latents is None) == shipped.config["protocol_options"]["edits_from_plans"]
    assert drawing.unet_rows == shipped.counters.unet_rows == 8
    assert shipped.counters.aside_tokens == 0, "words are enough"
    again = shipped.edit(source, "make the circle green", seed=seed, bridge="head")
    assert again.unet_rows == 8
    assert shipped.counters.aside_tokens > 0


def test_an_edit_that_is_planned_already_keeps_what_is_known_of_its_source(
    shipped: GenLlavaPipeline, source: Image.Image
) -> None:
    plan, corner = "at the top left a large green circle, at the bottom right a small blue star, on white", 80
    known = Drawing(source, None, None, 0, caption=plan.replace("green", "red"))
    drawing = shipped.edit(known, "make the circle green", plan=plan, seed=1)
    assert drawing.image is not None
    assert np.array_equal(pixels(drawing.image)[corner:, corner:], pixels(source)[corner:, corner:])
    assert drawing.unet_rows == 8
    assert shipped.edit(source, "make the circle green", plan=plan, seed=1).unet_rows == 4, "nothing is known of it"


@pytest.mark.slow
def test_a_chain_of_edits_keeps_them_as_well(shipped: GenLlavaPipeline, source: Image.Image) -> None:
    chat = shipped.conversation()
    drawn = chat.ask("make the circle green", [source], seed=1) + chat.ask("now make it a square", seed=2)
    assert [type(each) for each in drawn] == [Drawing, Drawing]
    last = drawn[-1]
    assert isinstance(last, Drawing)
    assert np.array_equal(pixels(last.image)[80:, 80:], pixels(source)[80:, 80:])


def test_what_changes_everywhere_is_kept_nowhere(shipped: GenLlavaPipeline, source: Image.Image) -> None:
    drawing = shipped.edit(source, "make the background black", seed=1)
    assert drawing.image is not None
    scene = parse(drawing.image).scene
    assert scene is not None
    assert scene.background == "black"
    assert (pixels(drawing.image) != pixels(source)).any(2).mean() > 0.9


def test_of_what_surrounds_a_change_the_tone_is_kept(shipped: GenLlavaPipeline, source: Image.Image) -> None:
    toned = Image.fromarray(np.minimum(pixels(source), 250))  # nearly white, as no picture of the model's is
    left = pixels(shipped.edit(toned, "remove the circle", seed=1).image)
    assert (left[:48, :48] == 250).all(2).mean() > 0.3, "not a white square where the circle was"


@pytest.mark.slow
def test_batched_edits_keep_what_single_ones_do(shipped: GenLlavaPipeline, source: Image.Image) -> None:
    requests = ["make the circle green", "make the background black", "remove the circle"]
    single = [shipped.edit(source, request, seed=4) for request in requests]
    for one, other in zip(single, shipped.edit([source] * 3, requests, seed=4), strict=True):
        assert np.abs(pixels(one.image).astype(int) - pixels(other.image)).max() <= 2
        assert one.unet_rows == other.unet_rows == 8


def test_a_new_picture_is_drawn_once(shipped: GenLlavaPipeline) -> None:
    shipped.counters.reset()
    assert shipped.generate("a red circle", seed=1).unet_rows == 4
    assert shipped.counters.aside_tokens == 0
