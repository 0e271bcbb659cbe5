"""Editing: which pipeline does it, at which size it works, and that the picture comes back at its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from genllava.errors import InvalidRequest
from genllava.image_decoder import ImageDecoder
from genllava.image_decoder.siblings import drawer_of, editor_of
from genllava.image_decoder.sizes import canvas_for, grain_of
from tests.genllava.image_decoder.small import picture, pixels, plain

EDITS_BY = {
    "sd15": "StableDiffusionImg2ImgPipeline",
    "sd21": "StableDiffusionImg2ImgPipeline",
    "sdxl": "StableDiffusionXLImg2ImgPipeline",
    "sd35": "StableDiffusion3Img2ImgPipeline",
    "sd35_without_t5": "StableDiffusion3Img2ImgPipeline",
    "flux": "FluxImg2ImgPipeline",
    "qwen_image": "QwenImageImg2ImgPipeline",
    "dreamlite": "DreamLitePipeline",
    "controlnet_sd15": "StableDiffusionControlNetImg2ImgPipeline",
    "controlnet_sdxl": "StableDiffusionXLControlNetImg2ImgPipeline",
    "instruct_pix2pix": "StableDiffusionInstructPix2PixPipeline",
    "sdxl_instruct_pix2pix": "StableDiffusionXLInstructPix2PixPipeline",
    "flux_kontext": "FluxKontextPipeline",
}
AT_A_MILLION_PIXELS = ("flux", "qwen_image", "dreamlite", "flux_kontext")
"""Their trained size is in the code of diffusers; the tests work at a size that is given."""

Load = Callable[[str], Any]


def options(name: str, **more: Any) -> dict[str, Any]:
    """Options with which a layout edits fast."""
    chosen = {"num_inference_steps": 2, **more}
    if EDITS_BY[name].endswith("Img2ImgPipeline"):
        chosen["num_inference_steps"] = 4  # of which strength leaves one or two
    if name == "flux_kontext":
        chosen["_auto_resize"] = False
    if name.startswith("controlnet"):
        chosen["control_image"] = picture(64, 64, seed=9)
    return chosen


@pytest.mark.parametrize("name", EDITS_BY)
def test_the_edit_is_the_one_of_plain_diffusers(name: str, shared: Load) -> None:
    """A source of the trained size goes in as it is."""
    pipeline, source = shared(name), picture(64, 64)
    sides = {"width": 64, "height": 64} if name in AT_A_MILLION_PIXELS else {}
    result = ImageDecoder(pipeline).edit([source], ["make it red"], seeds=[3], options=options(name, **sides))[0]
    assert result.pipeline == EDITS_BY[name]
    editor = editor_of(pipeline, None, masked=False)
    more = {**options(name), **(sides if name != "sdxl_instruct_pix2pix" else {"width": 64, "height": 64})}
    if name == "flux_kontext":
        more["max_area"] = 64 * 64
    (expected,) = plain(editor, 3, prompt="make it red", image=source, **more)
    assert (pixels(result) == pixels(expected)).all()
    other = ImageDecoder(pipeline).edit(
        [picture(64, 64, 1)], ["make it red"], seeds=[3], options=options(name, **sides)
    )
    assert (pixels(result) != pixels(other[0])).any()


@pytest.mark.parametrize("name", [name for name in EDITS_BY if name not in AT_A_MILLION_PIXELS])
def test_an_edit_has_the_size_of_its_source(name: str, shared: Load) -> None:
    sources = [picture(640, 360), picture(97, 61), picture(61, 97), picture(150, 3)]
    results = ImageDecoder(shared(name)).edit(sources, ["a"] * 4, seeds=[1] * 4, options=options(name))
    assert [result.image.size for result in results] == [source.size for source in sources]
    assert all(result.image.mode == "RGB" for result in results)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*AT_A_MILLION_PIXELS, "qwen_image_edit", "longcat_image_edit"])
def test_an_edit_has_the_size_of_its_source_at_a_million_pixels(name: str, shared: Load) -> None:
    decoder, source = ImageDecoder(shared(name)), picture(97, 61)
    result = decoder.edit([source], ["a"], seeds=[1], options={"num_inference_steps": 2})[0]
    assert result.image.size == (97, 61)
    assert result.pipeline == EDITS_BY.get(name, type(shared(name)).__name__)
    editor = editor_of(shared(name), None, masked=False)
    if name.endswith("_edit"):  # these choose their size from the source, as plain diffusers does
        (expected,) = plain(editor, 1, prompt="a", image=source, num_inference_steps=2)
        assert (pixels(result) == pixels(expected.resize((97, 61), Image.Resampling.LANCZOS))).all()


@pytest.mark.slow
def test_qwen_image_edit_at_a_size_that_is_given(shared: Load) -> None:
    chosen = {"num_inference_steps": 2, "width": 64, "height": 48}
    result = ImageDecoder(shared("qwen_image_edit")).edit([picture(97, 61)], ["a"], seeds=[1], options=chosen)[0]
    (expected,) = plain(shared("qwen_image_edit"), 1, prompt="a", image=picture(97, 61), **chosen)
    assert (pixels(result) == pixels(expected)).all()


def test_an_editor_edits_and_the_decoder_draws(shared: Load) -> None:
    decoder = ImageDecoder(shared("sdxl"), shared("instruct_pix2pix"))
    edited = decoder.edit([picture(64, 48)], ["a"], seeds=[1], options={"num_inference_steps": 2})[0]
    assert (edited.pipeline, edited.image.size) == ("StableDiffusionInstructPix2PixPipeline", (64, 48))
    small = {"num_inference_steps": 2, "height": 64, "width": 64}
    assert decoder.generate(["a"], seeds=[1], options=small)[0].pipeline == "StableDiffusionXLPipeline"
    masked = {"num_inference_steps": 2, "mask_image": Image.new("L", (64, 48), 255)}
    assert decoder.edit([picture(64, 48)], ["a"], seeds=[1], options=masked)[0].pipeline == (
        "StableDiffusionXLInpaintPipeline"
    )


def test_an_editor_without_a_source_edits_by_its_sibling(shared: Load) -> None:
    decoder = ImageDecoder(shared("pixart_sigma"), shared("sd15"))
    edited = decoder.edit([picture(64, 48)], ["a"], seeds=[1], options={"num_inference_steps": 2})[0]
    assert edited.pipeline == "StableDiffusionImg2ImgPipeline"


def test_siblings_share_the_components(shared: Load) -> None:
    pipeline = shared("sdxl")
    sibling = editor_of(pipeline, None, masked=False)
    assert sibling.unet is pipeline.unet
    assert sibling.vae is pipeline.vae
    drawing = drawer_of(shared("qwen_image_edit"), None)
    assert drawing.transformer is shared("qwen_image_edit").transformer


@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd35"])
def test_a_mask_says_where(name: str, shared: Load) -> None:
    source, mask = picture(96, 64), Image.new("L", (96, 64), 0)
    mask.paste(255, (48, 0, 96, 64))
    chosen = {"num_inference_steps": 4, "mask_image": mask}
    edits = [ImageDecoder(shared(name)).edit([source], [w], seeds=[1], options=chosen)[0] for w in ("a", "two dogs")]
    assert edits[0].pipeline.endswith("InpaintPipeline")
    assert edits[0].image.size == (96, 64)
    kept = pixels(edits[0])[:, :32], pixels(edits[1])[:, :32]
    new = pixels(edits[0])[:, 64:], pixels(edits[1])[:, 64:]
    assert abs(new[0] - new[1]).mean() > 2 * abs(kept[0] - kept[1]).mean()


@pytest.mark.parametrize("name", ["pixart_sigma", "sana", "longcat_image"])
def test_no_editor_and_no_sibling(name: str, shared: Load) -> None:
    with pytest.raises(InvalidRequest, match=r"diffusers has no .* pipeline for .*give editor="):
        ImageDecoder(shared(name)).edit([picture(64, 64)], ["a"], seeds=[1])


def test_width_and_height_of_an_edit(shared: Load) -> None:
    for name in ("sd15", "instruct_pix2pix", "sd35"):  # whether or not the pipeline takes them
        decoder = ImageDecoder(shared(name))

        def size(decoder: ImageDecoder = decoder, **sides: int) -> tuple[int, int]:
            chosen = {"num_inference_steps": 2, **sides}
            return decoder.edit([picture(97, 61)], ["a"], seeds=[1], options=chosen)[0].image.size

        assert size(width=80, height=48) == (80, 48)
        assert size(width=96) == (96, 64)
        assert size(height=48) == (80, 48)


def test_what_an_edit_cannot_do(shared: Load) -> None:
    def refused(name: str, match: str, **chosen: Any) -> None:
        with pytest.raises(InvalidRequest, match=match):
            ImageDecoder(shared(name)).edit([picture(64, 64)], ["a"], seeds=[1], options=chosen)

    refused("sdxl", "1 steps at strength 0.3 leave none", num_inference_steps=1)
    refused("sd15", "image is no option", image=picture(8, 8))
    refused("controlnet_sd15", "needs a control_image")
    refused("instruct_pix2pix", "takes no strength; it takes .*image_guidance_scale", strength=0.5)
    refused("flux_kontext", "no inpainting pipeline", mask_image=Image.new("L", (64, 64)))
    with pytest.raises(InvalidRequest, match="1 pictures do not go with 2 seeds"):
        ImageDecoder(shared("sd15")).edit([picture(64, 64)], ["a", "b"], seeds=[1, 2])


def test_several_edits_of_a_picture(shared: Load) -> None:
    source, chosen = picture(97, 61), {"num_inference_steps": 2, "num_images_per_prompt": 2}
    results = ImageDecoder(shared("instruct_pix2pix")).edit([source] * 2, ["a", "b"], seeds=[1, 2], options=chosen)
    assert [result.seed for result in results] == [1, 1, 2, 2]
    assert {result.image.size for result in results} == {(97, 61)}


def test_pictures_near_the_trained_size_are_not_resampled(shared: Load) -> None:
    pipeline = shared("sd15")  # trained at 64 x 64, works at multiples of 8
    canvas = canvas_for(pipeline, (61, 70), None, None)
    assert (canvas.scaled, canvas.working) == ((61, 70), (64, 72))
    source = picture(61, 70)
    laid = canvas.lay(source)
    assert laid.size == (64, 72)
    assert (pixels(canvas.take(laid)) == pixels(source)).all()
    assert (pixels(laid)[:, 61:] == pixels(source.crop((60, 0, 61, 70)))[[*range(70), 69, 69]]).all()
    large = canvas_for(pipeline, (6400, 3600), None, None)
    assert 0.9 < large.scaled[0] * large.scaled[1] / 64**2 < 1.1
    assert abs(large.scaled[0] / large.scaled[1] - 16 / 9) < 0.05
    assert grain_of(shared("sd35")) == grain_of(shared("flux")) == 16
