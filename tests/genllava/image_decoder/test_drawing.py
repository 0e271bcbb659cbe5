"""Drawing: the picture is the one of plain diffusers, in every layout, with its own options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from genllava.errors import InvalidRequest
from genllava.image_decoder import ImageDecoder
from genllava.image_decoder.siblings import drawer_of
from tests.genllava.image_decoder.small import drawn, options, picture, pixels, plain

DRAWING = (
    "sd15",
    "sd21",
    "sdxl",
    "sd35",
    "sd35_without_t5",
    "flux",
    "pixart_sigma",
    "sana",
    "qwen_image",
    "longcat_image",
    "dreamlite",
    "controlnet_sd15",
    "controlnet_sdxl",
)
SIMILAR = ("sd21", "sd35_without_t5", "controlnet_sdxl")
"""Layouts that share nearly all code with another one: most tests of them are slow ones."""
DISTINCT = [pytest.param(name, marks=[pytest.mark.slow] * (name in SIMILAR)) for name in DRAWING]
BOTH = ("flux_kontext", "qwen_image_edit", "longcat_image_edit")
"""Editors that also draw, by themselves or by the pipeline that diffusers has for their components."""
GUIDED_BY_NEGATIVE = ("flux", "qwen_image")
"""Where a negative prompt wants `true_cfg_scale`."""

Load = Callable[[str], Any]


def arguments(name: str, **more: Any) -> dict[str, Any]:
    """The options of a layout as plain diffusers takes them."""
    chosen = options(name, **more)
    if "control_image" in chosen:
        chosen["image"] = chosen.pop("control_image")
    if name == "flux_kontext":
        chosen["max_area"] = chosen["height"] * chosen["width"]
    return chosen


@pytest.mark.parametrize("name", DRAWING + BOTH)
def test_the_picture_is_the_one_of_plain_diffusers(name: str, shared: Load) -> None:
    pipeline = shared(name)
    wide = {"height": 48 if name not in ("sana",) else 64, "width": 80 if name not in ("sana",) else 96}
    result = ImageDecoder(pipeline).generate(["a red cat"], seeds=[3], options=options(name, **wide))[0]
    drawer = drawer_of(pipeline, None)
    (expected,) = plain(drawer, 3, prompt="a red cat", **arguments(name, **wide))
    assert (pixels(result) == pixels(expected)).all()
    assert result.image.size == (wide["width"], wide["height"])
    assert result.pipeline == type(drawer).__name__
    assert pixels(result).std() > 5  # a grey picture would equal another one


@pytest.mark.parametrize("name", DISTINCT)
def test_words_seeds_and_options_tell(name: str, shared: Load) -> None:
    pipeline = shared(name)
    base = drawn(pipeline, name=name)
    assert (base == drawn(pipeline, name=name)).all()
    assert (base != drawn(pipeline, "two blue dogs", name=name)).any()
    assert (base != drawn(pipeline, seed=4, name=name)).any()
    scale = {"true_cfg_scale": 4.0} if name in GUIDED_BY_NEGATIVE else {}
    negative = drawn(pipeline, name=name, negative_prompt="blue", **scale)
    assert (base != negative).any()
    other = "true_cfg_scale" if name in GUIDED_BY_NEGATIVE else "guidance_scale"
    assert (negative != drawn(pipeline, name=name, negative_prompt="blue", **{other: 9.0})).any()


@pytest.mark.parametrize("name", DISTINCT)
def test_several_pictures_of_a_prompt(name: str, shared: Load) -> None:
    pipeline = shared(name)
    results = ImageDecoder(pipeline).generate(["a cat"], seeds=[5], options=options(name, num_images_per_prompt=2))
    assert [result.seed for result in results] == [5, 5]
    if name == "dreamlite":  # fails by itself with more than one
        assert (pixels(results[0]) == drawn(pipeline, "a cat", 5, name)).all()
    else:
        expected = plain(pipeline, 5, prompt="a cat", **arguments(name, num_images_per_prompt=2))
        assert all((pixels(a) == pixels(b)).all() for a, b in zip(results, expected, strict=True))
    assert (pixels(results[0]) != pixels(results[1])).any()


@pytest.mark.parametrize("name", DISTINCT)
def test_a_batch_is_the_single_pictures(name: str, shared: Load) -> None:
    """To one level of 255: matrix products of another size are summed in another order on some processors."""
    pipeline, decoder = shared(name), ImageDecoder(shared(name))
    prompts, seeds = ["a red cat", "two blue dogs on the moon", ""], [3, 4, 5]
    chosen = options(name, negative_prompt="blue")
    batch = decoder.generate(prompts, seeds=seeds, options=chosen)
    for prompt, seed, result in zip(prompts, seeds, batch, strict=True):
        single = drawn(pipeline, prompt, seed, name, negative_prompt="blue")
        assert abs(pixels(result) - single).max() <= 1
        assert result.seed == seed


@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd35", "flux", "pixart_sigma", "qwen_image", "longcat_image"])
def test_a_batch_is_the_batch_of_plain_diffusers(name: str, shared: Load) -> None:
    pipeline, prompts = shared(name), ["a red cat", "two blue dogs on the moon"]
    results = ImageDecoder(pipeline).generate(prompts, seeds=[3, 4], options=options(name))
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    expected = plain(pipeline, 0, prompt=prompts, **arguments(name), generator=generators)
    assert all((pixels(a) == pixels(b)).all() for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("name", ["sd15", "flux", "dreamlite"])
def test_several_pictures_of_several_prompts(name: str, shared: Load) -> None:
    decoder = ImageDecoder(shared(name))
    chosen = options(name, num_images_per_prompt=2)
    batch = decoder.generate(["a red cat", "a dog"], seeds=[3, 4], options=chosen)
    assert [result.seed for result in batch] == [3, 3, 4, 4]
    for rows, prompt, seed in ((batch[:2], "a red cat", 3), (batch[2:], "a dog", 4)):
        single = decoder.generate([prompt], seeds=[seed], options=chosen)
        assert all(abs(pixels(a) - pixels(b)).max() <= 1 for a, b in zip(rows, single, strict=True))


def test_negative_prompts_of_a_batch(shared: Load) -> None:
    pipeline = shared("dreamlite")  # one prompt a call
    batch = ImageDecoder(pipeline).generate(
        ["a", "b"], seeds=[1, 2], options=options("dreamlite", negative_prompt=["red", "blue"])
    )
    assert (pixels(batch[1]) == drawn(pipeline, "b", 2, negative_prompt="blue")).all()
    with pytest.raises(InvalidRequest, match="one for each of the 2 prompts"):
        ImageDecoder(pipeline).generate(["a", "b"], seeds=[1, 2], options={"negative_prompt": ["x", "y", "z"]})


def test_a_controlnet_follows_its_picture(shared: Load) -> None:
    for name in ("controlnet_sd15", "controlnet_sdxl"):
        other = drawn(shared(name), name=name, control_image=picture(64, 64, seed=1))
        assert (drawn(shared(name), name=name) != other).any()
    with pytest.raises(InvalidRequest, match="image"):
        ImageDecoder(shared("controlnet_sd15")).generate(["a cat"], seeds=[0], options={"num_inference_steps": 2})


def test_words_beyond_the_window_are_said(shared: Load) -> None:
    long = "a very long story about cats and dogs " * 12
    cases = {
        "sd15": ["text_encoder of StableDiffusionPipeline reads 77 tokens"],
        "sd35": ["text_encoder of", "text_encoder_2 of", "text_encoder_3 of StableDiffusion3Pipeline reads 256 tokens"],
        "qwen_image": [],  # 512
    }
    for name, expected in cases.items():
        decoder = ImageDecoder(shared(name))
        (result,) = decoder.generate([long], seeds=[1], options=options(name))
        assert len(result.notes) == len(expected), result.notes
        assert all(note.startswith(start) for note, start in zip(result.notes, expected, strict=True))
        assert decoder.generate(["a cat"], seeds=[1], options=options(name))[0].notes == []
    (result,) = ImageDecoder(shared("qwen_image")).generate(
        [long], seeds=[1], options=options("qwen_image", max_sequence_length=100)
    )
    assert "reads 100 tokens" in result.notes[0]


def test_options_without_effect_are_said(shared: Load) -> None:
    def notes(name: str, **more: Any) -> list[str]:
        return ImageDecoder(shared(name)).generate(["a"], seeds=[1], options=options(name, **more))[0].notes

    assert "negative_prompt has no effect" in notes("flux", negative_prompt="blue")[0]
    assert "negative_prompt has no effect" in notes("sd15", negative_prompt="blue", guidance_scale=1.0)[0]
    assert "guidance_scale has no effect" in notes("qwen_image", guidance_scale=5.0)[0]
    assert "without a negative_prompt" in notes("qwen_image", true_cfg_scale=5.0)[0]
    assert notes("flux", negative_prompt="blue", true_cfg_scale=2.0) == notes("flux", guidance_scale=2.0) == []


def test_only_what_the_pipeline_takes(shared: Load) -> None:
    decoder = ImageDecoder(shared("sd15"))

    def refused(match: str, prompts: Any = ("a",), seeds: Any = (1,), **chosen: Any) -> None:
        with pytest.raises(InvalidRequest, match=match):
            decoder.generate(prompts, seeds=seeds, options=chosen)

    refused(r"StableDiffusionPipeline takes no true_cfg_scale; it takes .*guidance_scale", true_cfg_scale=4.0)
    refused("takes no image", image=picture(64, 64))
    refused("generator is no option: give seeds", generator=None)
    refused("output_type", output_type="latent")
    refused("StableDiffusionPipeline: .*divisible by 8", height=61, width=64)
    refused("one prompt for each seed", prompts=["a", "b"])
    refused("one prompt for each seed", prompts="a")
    refused("either prompts or prompt_embeds", prompts=None)
    assert decoder.generate([], seeds=[]) == []


@pytest.mark.parametrize("name", ["instruct_pix2pix", "sdxl_instruct_pix2pix"])
def test_an_editor_that_cannot_draw_says_so(name: str, shared: Load) -> None:
    with pytest.raises(InvalidRequest, match="only edits: give decoder="):
        ImageDecoder(shared(name)).generate(["a"], seeds=[1])
    with pytest.raises(InvalidRequest, match=r"only the editor .*Pix2Pix.* give decoder="):
        ImageDecoder(None, shared(name)).generate(["a"], seeds=[1])


def test_rows_are_counted(shared: Load) -> None:
    decoder = ImageDecoder(shared("sd15"))
    decoder.generate(["a", "b"], seeds=[1, 2], options=options("sd15"))
    assert decoder.counters.unet_rows == 2 * 2 * 2  # prompts, steps, branches of guidance
    decoder.generate(["a"], seeds=[1], options=options("sd15", guidance_scale=1.0))
    assert decoder.counters.unet_rows == 8 + 2
    plain(decoder.pipeline, 1, prompt="a", **options("sd15"))
    assert decoder.counters.unet_rows == 10  # not ours
