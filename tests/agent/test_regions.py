"""Requests about a part of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from genllava import Drawing, GenLlavaPipeline
from genllava.errors import ImageRejected, InvalidRequest
from genllava.images import letterbox, unletterbox
from genllava_agent import VisualAgent
from genllava_agent.errors import UnknownImage
from genllava_agent.regions import part_alone, put_back
from genllava_agent.threads import Thread
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

THINGS = (
    Thing(0, "circle", "red", "large"),
    Thing(4, "circle", "blue", "small"),
    Thing(8, "square", "green", "large"),
)


@pytest.fixture
def thread(agent: VisualAgent) -> Thread:
    """Three shapes: a red circle at the top left, a blue one in the middle, a green square at the bottom right."""
    return agent.thread(images=[render(Scene("white", THINGS))])


def things(image: Image.Image | None) -> set[tuple[int, str, str, str]]:
    assert image is not None
    scene = parse(image).scene
    assert scene is not None
    return {(thing.cell, thing.shape, thing.color, thing.size) for thing in scene.things}


def mask() -> Image.Image:
    drawn = Image.new("L", (64, 64))
    ImageDraw.Draw(drawn).rectangle((20, 20, 44, 44), fill=255)
    return drawn


@pytest.mark.parametrize(
    ("region", "word", "shape"),
    [
        ((0.15, 0.15), "red", "circle"),
        ((64, 64), "blue", "circle"),
        ((86, 86, 128, 128), "green", "square"),
        ((0.67, 0.67, 1, 1), "green", "square"),
        (mask(), "blue", "circle"),
    ],
)
def test_what_is_there(thread: Thread, region: Any, word: str, shape: str) -> None:
    reply = thread("what colour is it?", region=region)
    assert word in reply.text
    others = {"red", "blue", "green"} - {word}
    assert not any(other in reply.text for other in others)
    assert shape in thread("what is this?", region=region).text


def test_edit_what_is_pointed_at(thread: Thread) -> None:
    reply = thread("make the circle yellow", region=(0.5, 0.5), seed=1)
    assert reply.images[0].record.parents == ("image_1",)
    assert things(reply.image) == {
        (0, "circle", "red", "large"),
        (4, "circle", "yellow", "small"),
        (8, "square", "green", "large"),
    }
    before, after = thread.images["image_1"].image, reply.image
    assert after is not None
    corner = (0, 0, 40, 40)
    assert np.array_equal(np.asarray(before.crop(corner)), np.asarray(after.crop(corner)))  # not drawn anew


@pytest.mark.slow
@pytest.mark.parametrize(("corner", "seed"), [((0, 0, 0.5, 0.5), 1), ((0.5, 0.5, 1, 1), 3)])
def test_other_words_are_about_what_is_pointed_at(agent: VisualAgent, corner: tuple[float, ...], seed: int) -> None:
    thread = agent("draw a large red circle at the top left and a small blue square at the bottom right", seed=1).thread
    assert thread("make it green", region=corner, seed=seed, approve="edit").pending
    done = thread.approve("make it yellow")
    before, after = (np.asarray(picture.image) for picture in (thread.images["image_1"], done.images[0]))
    other = slice(0, 64) if corner[0] else slice(64, 128)
    assert np.array_equal(before[other, other], after[other, other]), "what is not pointed at stays"
    assert not np.array_equal(before, after)


def test_an_edit_may_reach_out_of_the_region(thread: Thread) -> None:
    reply = thread("move the circle to the top right", region={"image": "image_1", "point": (0.15, 0.15)}, seed=1)
    assert things(reply.image) == {
        (2, "circle", "red", "large"),
        (4, "circle", "blue", "small"),
        (8, "square", "green", "large"),
    }


def test_retry_keeps_the_region(thread: Thread) -> None:
    first = thread("what is this?", region=mask())
    again = thread.retry()
    assert again.text == first.text
    assert thread.history()[-1].request.region == first.thread.history()[-1].request.region


@pytest.mark.parametrize(
    ("region", "error", "says"),
    [
        ((1, 2, 3), InvalidRequest, "box"),
        ("here", InvalidRequest, "box"),
        ((5, 5, 4, 9), InvalidRequest, "empty"),
        ((-1, 0), InvalidRequest, "reaches out"),
        ((0.1, 0.1, float("nan"), 1), InvalidRequest, "no region"),
        ((900, 900), InvalidRequest, "reaches out"),
        ({"box": (0, 0, 1, 1), "point": (0, 0)}, InvalidRequest, "one box, point or mask"),
        ({"image": "image_9", "point": (0, 0)}, UnknownImage, "image_9"),
        (Image.new("L", (64, 64)), InvalidRequest, "empty"),
        (Image.new("L", (64, 32), 255), InvalidRequest, "proportions"),
        ({"mask": "nowhere.png"}, ImageRejected, "nowhere"),
    ],
)
def test_regions_that_cannot_be(thread: Thread, region: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        thread("what is this?", region=region)


def test_a_region_needs_a_picture(agent: VisualAgent) -> None:
    with pytest.raises(InvalidRequest, match="needs a picture"):
        agent("what is this?", region=(0.5, 0.5))


@pytest.mark.parametrize("size", [(192, 96), (96, 192)])
def test_a_part_is_put_back_where_it_was(size: tuple[int, int]) -> None:
    def picture(*colours: str) -> Image.Image:
        drawn = Image.new("RGB", size, "white")
        for place, colour in enumerate(colours):
            x, y = (place * 96, 0) if size[0] > size[1] else (0, place * 96)
            ImageDraw.Draw(drawn).ellipse((x + 20, y + 20, x + 76, y + 76), fill=colour)
        return drawn

    whole, wanted = picture("red", "blue"), picture("green", "blue")
    mask = np.zeros((size[1], size[0]), bool)
    mask[:96, :96] = True
    part = part_alone(whole, mask)
    edited = unletterbox(letterbox(part_alone(wanted, mask), 96), size)  # as the model has it
    result = put_back(whole, part, edited, mask)
    difference = np.abs(np.asarray(result).astype(int) - np.asarray(wanted).astype(int)).max(2)
    assert (difference > 100).mean() < 0.02, "nothing but edges"
    assert not difference[~mask].any()


def test_a_picture_with_a_part_put_back_is_seen_as_any_other(pipeline: GenLlavaPipeline) -> None:
    wide = render(Scene("white", THINGS)).resize((256, 128))
    assert pipeline.protocol.picture(Drawing(wide, None, "a plan", 0)).image == pipeline.protocol.picture(wide).image
