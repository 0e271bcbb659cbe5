"""Tools that draw: with a pipeline that is lent, one that was chosen, the one that ships, and an inpainting model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from photos import levels, photo
from PIL import Image

from benchmarks.layouts.decoder_parts import sd_parts
from genllava import GenLlavaPipeline
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder import load_diffusion
from genllava_tools import ToolUnavailable, drawing_with, find, release_models, use_model, use_pipeline
from genllava_tools.inpainting import FILLS
from tests.genllava.forced import Layouts, picture, same
from tests.genllava.image_decoder.small import plain
from tests.genllava.image_decoder.steering import controlnet_for

EDGES = picture(64, 64, 1).convert("L")
HOLE = Image.new("L", (64, 64))
HOLE.paste(255, (16, 24, 48, 64))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return Layouts(tmp_path_factory.mktemp("layouts"))


@pytest.fixture(scope="module")
def pipe(layouts: Layouts) -> GenLlavaPipeline:
    """A small random stock model with Stable Diffusion 1.5 and a ControlNet, which draws in two steps."""
    net = controlnet_for(load_diffusion(layouts("sd15")))
    return layouts.assemble("qwen3_vl", "sd15", controlnets={"canny": net})


@pytest.fixture
def lent(pipe: GenLlavaPipeline) -> Iterator[GenLlavaPipeline]:
    with drawing_with(pipe):
        yield pipe


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What a test chooses is not chosen for the next one."""
    yield
    use_pipeline(None)
    use_model("inpainting", None)
    release_models()


def test_new_pictures_and_edits_are_those_of_the_pipeline(lent: GenLlavaPipeline) -> None:
    made = find("generate_image")("a red cat", seed=1)
    assert same(made.image, lent.generate("a red cat", seed=1))
    assert made.text == "A picture of 64x64 pixels was drawn with seed 1."
    assert made.data == {"seed": 1, "plan": "a red cat", "width": 64, "height": 64}
    assert find("generate_image")("a red cat", seed=1, width=32, height=48).image.size == (32, 48)
    first, second = (find("generate_image")("a red cat") for _ in range(2))
    assert first.data["seed"] != second.data["seed"]
    assert str(first.data["seed"]) in first.text
    assert same(first.image, lent.generate("a red cat", seed=first.data["seed"]))
    edited = find("edit_image")(picture(97, 61), "make it blue", seed=2)
    assert same(edited.image, lent.edit(picture(97, 61), "make it blue", seed=2))
    long = find("generate_image")("a red cat " * 100, seed=1)
    assert "Note: text_encoder of StableDiffusionPipeline reads 77 tokens" in long.text


def test_control_maps(lent: GenLlavaPipeline) -> None:
    draw = find("generate_from_control")
    made = draw("a red cat", canny=EDGES, scale=0.7, seed=1)
    assert same(made.image, lent.generate("a red cat", seed=1, control={"canny": EDGES}, control_scale=0.7))
    assert "steered by canny" in made.text
    assert not same(made.image, draw("a red cat", canny=EDGES, scale=0, seed=1).image)
    with pytest.raises(InvalidRequest, match="give a control map under the name of its kind: canny, depth"):
        draw("a red cat")
    with pytest.raises(InvalidRequest, match="reads no maps of the kind `depth`: give canny"):
        draw("a red cat", canny=EDGES, depth=EDGES)
    with drawing_with(GenLlavaPipeline.from_pipe(lent, controlnets={})), pytest.raises(
        ToolUnavailable, match="no ControlNet that this tool knows: load one with"
    ):
        draw("a red cat", canny=EDGES)


def test_inpainting_keeps_every_other_pixel(lent: GenLlavaPipeline) -> None:
    source = picture(64, 64)
    made = find("inpaint")(source, mask=HOLE, prompt="a red cat", seed=1)
    inside = np.asarray(HOLE) > 0
    assert (levels(made.image)[~inside] == levels(source)[~inside]).all()
    by: Any = diffusers.AutoPipelineForInpainting.from_pipe(lent.decoder)
    given = {"image": source, "mask_image": HOLE, "strength": 1.0, "num_inference_steps": 2, "width": 64, "height": 64}
    (expected,) = plain(by, 1, prompt="a red cat", **given)
    assert (levels(made.image)[inside] == levels(expected)[inside]).all()
    assert (levels(made.image)[inside] != levels(source)[inside]).any(1).mean() > 0.9
    assert made.text.startswith("31.2% of the picture of 64x64 pixels was drawn by StableDiffusionInpaintPipeline")
    assert made.data == {"seed": 1, "share": 0.3125, "width": 64, "height": 64}
    with pytest.raises(InvalidRequest, match="`mask` is empty"):
        find("inpaint")(source, mask=Image.new("L", (64, 64)), prompt="a cat")


def test_a_photograph_is_worked_on_around_its_hole(lent: GenLlavaPipeline) -> None:
    source = photo("coffee").resize((900, 600))
    box = (0.7, 0.1, 0.8, 0.2)
    made = find("replace_object")(source, "a spoon", box=box, seed=1)
    changed = Image.fromarray((abs(levels(made.image) - levels(source)).max(2) > 0).astype(np.uint8)).getbbox()
    assert changed == (630, 60, 720, 120)
    mask = Image.new("L", source.size)
    mask.paste(255, changed)
    rim = find("replace_object")(source, "a spoon", mask=mask, seed=1)
    wider = Image.fromarray((abs(levels(rim.image) - levels(source)).max(2) > 0).astype(np.uint8)).getbbox()
    assert wider == (625, 55, 725, 125), "a mask is widened by 0.6% of the longer side"
    gone = find("remove_object")(source, mask=mask, prompt="a table")
    assert "was drawn by StableDiffusionInpaintPipeline with seed 0" in gone.text
    assert "the simple way" in find("remove_object")(source, mask=mask).text


def test_outpainting(lent: GenLlavaPipeline) -> None:
    source = picture(48, 64)
    made = find("outpaint")(source, "a wall", left=0.5, bottom=0.25, seed=1)
    assert made.image.size == (72, 80)
    assert same(made.image.crop((24, 0, 72, 64)), source)
    edge = np.pad(np.asarray(source), ((0, 16), (24, 0), (0, 0)), mode="edge")
    assert (levels(made.image) != edge).any(2)[:, :24].mean() > 0.9
    with pytest.raises(InvalidRequest, match="give at least one of `left`"):
        find("outpaint")(source, "a wall")


def test_the_inpainting_model(layouts: Layouts, tmp_path: Path, forgotten: None) -> None:
    for name in ("inpaint", "outpaint", "replace_object"):
        assert "hf download stable-diffusion-v1-5/stable-diffusion-inpainting`" in find(name).missing
    with pytest.raises(ToolUnavailable, match="GENLLAVA_INPAINTING_MODEL"):
        find("remove_object")(picture(64, 64), mask=HOLE, prompt="a wall")
    torch.manual_seed(0)
    more: Any = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    diffusers.StableDiffusionInpaintPipeline(**sd_parts(channels=9), **more).save_pretrained(tmp_path / "fills")
    use_model("inpainting", tmp_path / "fills")
    source = picture(64, 64)
    made = find("inpaint")(source, mask=HOLE, prompt="a red cat", seed=1).image
    by = load_diffusion(tmp_path / "fills")
    given = {"image": source, "mask_image": HOLE, "strength": 1.0, "width": 64, "height": 64}
    (expected,) = plain(by, 1, prompt="a red cat", **given)
    inside = np.asarray(HOLE) > 0
    assert (levels(made)[inside] == levels(expected)[inside]).all()
    assert (levels(made)[~inside] == levels(source)[~inside]).all()
    use_model("inpainting", layouts("pixart_sigma"))
    with pytest.raises(CheckpointError, match=r"the inpainting model, pixart_sigma: .*no inpainting pipeline"):
        find("inpaint")(source, mask=HOLE, prompt="a red cat")


def test_whose_pipeline_draws(pipe: GenLlavaPipeline, layouts: Layouts, tmp_path: Path, forgotten: None) -> None:
    def draw() -> Any:
        return find("generate_image")("a red cat", seed=1, width=32, height=32).image

    wanted = pipe.generate("a red cat", seed=1, width=32, height=32)
    other = layouts.assemble("llava15", "sdxl")
    pipe.save_pretrained(tmp_path)
    use_pipeline(tmp_path)
    assert same(draw(), wanted)
    assert FILLS.present()
    use_pipeline(other)
    assert not same(draw(), wanted)
    with drawing_with(pipe):
        assert same(draw(), wanted), "what is lent goes before what was chosen"
        drawn: list[Any] = []
        for run in (lambda do: do(), copy_context().run):  # a thread has the context that it is started with
            thread = threading.Thread(target=run, args=[lambda: drawn.append(draw())])
            thread.start()
            thread.join()
    assert not same(drawn[0], wanted)
    assert same(drawn[1], wanted)
    assert not same(draw(), wanted)
    with pytest.raises(InvalidRequest, match="not with a int"):
        use_pipeline(3)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="there is no model folder nowhere"):
        use_pipeline("nowhere")
    only_sees = layouts.assemble("llava15")
    with drawing_with(only_sees), pytest.raises(ToolUnavailable, match="only understands pictures"):
        draw()
    only_draws = layouts.assemble("llava15", "pixart_sigma")
    with drawing_with(only_draws), pytest.raises(ToolUnavailable, match="draws and does not edit"):
        find("edit_image")(picture(64, 64), "blue")
    with drawing_with(only_draws), pytest.raises(ToolUnavailable, match="needs a model that inpaints"):
        find("inpaint")(picture(64, 64), mask=HOLE, prompt="blue")


def test_the_model_that_ships(pipeline: GenLlavaPipeline) -> None:
    def share(image: Image.Image, *color: int) -> float:
        return float((abs(levels(image) - color).max(2) < 60).mean())

    with drawing_with(pipeline):
        made = find("generate_image")("a large red circle on white", seed=1)
        assert share(made.image, 220, 40, 40) > 0.03
        assert share(made.image, 250, 250, 250) > 0.4
        assert "It is to show:" in made.text
        edited = find("edit_image")(made.image, "make the circle blue", seed=1)
        assert share(edited.image, 220, 40, 40) < 0.003
        assert share(edited.image, 40, 80, 220) > 0.03
        with pytest.raises(InvalidRequest, match="generate_image: the model did not draw, it answered: I can only see"):
            find("generate_image")("what do you think of Kant?", seed=1)
        with pytest.raises(InvalidRequest, match="it draws at one size"):
            find("generate_image")("a red circle", width=64, height=64)
        assert find("inpaint").missing, "this model fills no masks"
