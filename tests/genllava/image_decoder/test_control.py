"""ControlNets beside a pipeline: pixel for pixel what plain diffusers draws, and a typed error for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava.errors import CheckpointError, ImageRejected, InvalidRequest
from genllava.image_decoder import ImageDecoder, PromptEmbeds
from genllava.image_decoder.controlnets import check_controlnet
from tests.genllava.image_decoder.small import SMALL, drawn, picture, pixels, plain
from tests.genllava.image_decoder.steering import controlnet_for, plain_pipeline

KINDS = {"sd15": "StableDiffusionControlNet", "sdxl": "StableDiffusionXLControlNet", "flux": "FluxControlNet"}
EDGES, DEPTH = picture(64, 64, 1).convert("L"), picture(128, 128, 2)

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def steered(shared: Load) -> Callable[[str], ImageDecoder]:
    """A layout with two ControlNets beside it."""
    made: dict[str, ImageDecoder] = {}

    def decoder(name: str) -> ImageDecoder:
        if name not in made:
            pipeline = shared(name)
            nets = {each: controlnet_for(pipeline, seed) for seed, each in enumerate(("canny", "depth"))}
            made[name] = ImageDecoder(pipeline, None, nets)
        return made[name]

    return decoder


def by_hand(decoder: ImageDecoder, kind: str, *names: str) -> Any:
    return plain_pipeline(kind, decoder.pipeline, [decoder.controlnets[name] for name in names])


def draw(decoder: ImageDecoder, **options: Any) -> Any:
    return decoder.generate(["a red cat"], seeds=[3], options={**SMALL, **options})[0]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_drawn_is_what_plain_diffusers_draws(name: str, steered: Callable[[str], ImageDecoder]) -> None:
    decoder, kind = steered(name), f"{KINDS[name]}Pipeline"
    key = "control_image" if name == "flux" else "image"
    one = draw(decoder, control={"canny": EDGES}, control_scale=0.7)
    given: dict[str, Any] = {key: EDGES.convert("RGB"), "controlnet_conditioning_scale": 0.7}
    (expected,) = plain(by_hand(decoder, kind, "canny"), 3, prompt="a red cat", **SMALL, **given)
    assert one.pipeline == kind
    assert (pixels(one) == pixels(expected)).all()
    assert (pixels(one) != drawn(decoder.pipeline)).any()
    two = draw(decoder, control={"canny": EDGES, "depth": DEPTH}, control_scale={"depth": 0.5})
    given = {key: [EDGES.convert("RGB"), DEPTH], "controlnet_conditioning_scale": [1.0, 0.5]}
    (expected,) = plain(by_hand(decoder, kind, "canny", "depth"), 3, prompt="a red cat", **SMALL, **given)
    assert (pixels(two) == pixels(expected)).all()
    assert (pixels(two) != pixels(one)).any()


@pytest.mark.parametrize("name", KINDS)
def test_what_is_edited_is_what_plain_diffusers_edits(name: str, steered: Callable[[str], ImageDecoder]) -> None:
    decoder, source = steered(name), picture(64, 64)
    sides = {"width": 64, "height": 64}
    options: dict[str, Any] = {"num_inference_steps": 4, "strength": 0.6, **(sides if name == "flux" else {})}
    control = {"control": {"canny": EDGES, "depth": DEPTH}, "control_scale": 0.6}
    edited = decoder.edit([source], ["make it red"], seeds=[3], options={**options, **control})[0]
    kind = f"{KINDS[name]}Img2ImgPipeline"
    maps = [EDGES.convert("RGB"), DEPTH.resize((64, 64), Image.Resampling.LANCZOS)]
    given: dict[str, Any] = {"image": source, "control_image": maps, "controlnet_conditioning_scale": [0.6, 0.6]}
    given |= {"control_mode": [None, None]} if name == "flux" else {}
    by = by_hand(decoder, kind, "canny", "depth")
    (expected,) = plain(by, 3, prompt="make it red", **{**options, **sides}, **given)
    assert edited.pipeline == kind
    assert (pixels(edited) == pixels(expected)).all()


def test_an_edit_within_a_mask(steered: Callable[[str], ImageDecoder]) -> None:
    decoder, source, mask = steered("sd15"), picture(64, 64), Image.new("L", (64, 64))
    mask.paste(255, (32, 0, 64, 64))
    options: dict[str, Any] = {"num_inference_steps": 4, "mask_image": mask}
    edited = decoder.edit([source], ["red"], seeds=[3], options={**options, "control": {"canny": EDGES}})[0]
    by = by_hand(decoder, "StableDiffusionControlNetInpaintPipeline", "canny")
    given = {"image": source, "control_image": EDGES.convert("RGB"), "width": 64, "height": 64}
    given["controlnet_conditioning_scale"] = 1.0  # and not diffusers' own default, which is another for each pipeline
    (expected,) = plain(by, 3, prompt="red", **options, **given)
    assert (pixels(edited) == pixels(expected)).all()


@pytest.mark.parametrize("name", KINDS)
def test_with_embeddings_in_the_place_of_words(name: str, steered: Callable[[str], ImageDecoder]) -> None:
    decoder = steered(name)
    spec = decoder.spec
    torch.manual_seed(0)
    embeds = torch.randn(1, spec.length, spec.dim)
    pooled = None if spec.pooled_dim is None else torch.randn(1, spec.pooled_dim)
    options = {**SMALL, "control": {"canny": EDGES}, "control_scale": 0.7}
    made = decoder.generate(None, seeds=[3], prompt_embeds=PromptEmbeds(embeds, pooled), options=options)[0]
    given: dict[str, Any] = {"control_image" if name == "flux" else "image": EDGES.convert("RGB")}
    given |= {} if pooled is None else {"pooled_prompt_embeds": pooled}
    by = by_hand(decoder, f"{KINDS[name]}Pipeline", "canny")
    (expected,) = plain(by, 3, prompt_embeds=embeds, controlnet_conditioning_scale=0.7, **SMALL, **given)
    assert (pixels(made) == pixels(expected)).all()


def test_batches(steered: Callable[[str], ImageDecoder]) -> None:
    """One map for all, or one for each; a picture does not depend on the others."""
    decoder, prompts = steered("sd15"), ["a red cat", "two dogs"]

    def pictures(texts: list[str], seeds: list[int], **control: Any) -> list[Any]:
        options = {**SMALL, "num_images_per_prompt": 2, "control": control}
        return [pixels(each) for each in decoder.generate(texts, seeds=seeds, options=options)]

    together = pictures(prompts, [3, 4], canny=EDGES, depth=DEPTH)
    apart = pictures(prompts[:1], [3], canny=EDGES, depth=DEPTH) + pictures(prompts[1:], [4], canny=EDGES, depth=DEPTH)
    assert len(together) == 4
    assert max(abs(one - other).max() for one, other in zip(together, apart, strict=True)) <= 1
    own = pictures(prompts, [3, 4], canny=[EDGES, EDGES.rotate(90)], depth=DEPTH)
    alone = pictures(prompts[1:], [4], canny=EDGES.rotate(90), depth=DEPTH)
    assert all((one == other).all() for one, other in zip(own[:2], apart[:2], strict=True))
    assert all((one == other).all() for one, other in zip(own[2:], alone, strict=True))
    assert (own[2] != together[2]).any()


def test_a_drawing_has_the_proportions_of_its_map(steered: Callable[[str], ImageDecoder]) -> None:
    decoder = steered("sd15")  # trained at 64 x 64, works at multiples of 8

    def size(*of_map: int, **sides: int) -> tuple[int, int]:
        options = {"num_inference_steps": 1, "control": {"canny": picture(*of_map)}, **sides}
        return decoder.generate(["a"], seeds=[1], options=options)[0].image.size

    assert size(72, 56) == (72, 56)
    assert size(640, 360) == (88, 48)
    assert size(640, 360, width=128, height=72) == (128, 72)
    with pytest.raises(InvalidRequest, match="'canny' is 640x360 and the picture 64x64: give a map of the picture's"):
        size(640, 360, width=64, height=64)
    options = {"num_inference_steps": 4, "control": {"canny": picture(96, 64)}}
    edited = decoder.edit([picture(640, 427)], ["a"], seeds=[1], options=options)[0]
    assert edited.image.size == (640, 427)
    with pytest.raises(InvalidRequest, match="'canny' is 96x64 and the picture 64x64"):
        decoder.edit([picture(64, 64)], ["a"], seeds=[1], options=options)
    options["control"] = {"canny": picture(64, 64), "depth": picture(96, 64)}
    with pytest.raises(InvalidRequest, match="'depth' is 96x64 and the picture 64x64"):
        decoder.generate(["a"], seeds=[1], options=options)


def test_maps_of_any_mode(steered: Callable[[str], ImageDecoder]) -> None:
    """Each is what its RGB picture is."""
    levels = EDGES.point(lambda level: 255 if level > 127 else 0)
    wanted = pixels(draw(steered("sd15"), control={"canny": levels.convert("RGB")}))
    deep = Image.fromarray(np.asarray(levels).astype(np.uint16) * 257)
    assert deep.mode.startswith("I;16")
    opaque = levels.convert("RGBA")
    for form in (levels, levels.convert("1"), levels.convert("P"), opaque, deep, np.asarray(levels)):
        assert (pixels(draw(steered("sd15"), control={"canny": form})) == wanted).all(), form


def test_nothing_is_loaded_twice(own: Load) -> None:
    pipeline = own("sd15")
    decoder = ImageDecoder(pipeline, None, {"canny": controlnet_for(pipeline)})
    made = decoder._controlled.of(pipeline, ("canny",), "draw")
    assert made.unet is pipeline.unet
    assert made.controlnet is decoder.controlnets["canny"]
    draw(decoder, control={"canny": EDGES})
    assert decoder._controlled.of(pipeline, ("canny",), "draw") is made
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    again = decoder._controlled.of(pipeline, ("canny",), "draw")
    assert again.scheduler is pipeline.scheduler
    half = pipeline.to(torch.bfloat16)
    assert (pixels(draw(decoder, control={"canny": EDGES})) != drawn(half)).any()
    assert decoder.controlnets["canny"].dtype == torch.bfloat16


def test_offloading(own: Load) -> None:
    """On the CPU itself, where each model moves from it to it: the hooks are those of an accelerator."""
    pipeline = own("sd15")
    decoder = ImageDecoder(pipeline, None, {"canny": controlnet_for(pipeline)})
    plainly, before = drawn(pipeline), pixels(draw(decoder, control={"canny": EDGES}))
    decoder.enable_model_cpu_offload(device="cpu")
    for _ in range(2):
        assert (pixels(draw(decoder, control={"canny": EDGES})) == before).all()
        assert (drawn(pipeline) == plainly).all()
    assert hasattr(decoder.controlnets["canny"], "_hf_hook")


def test_what_cannot_be(steered: Callable[[str], ImageDecoder]) -> None:
    def refused(match: str, kind: type[Exception] = InvalidRequest, **options: Any) -> None:
        with pytest.raises(kind, match=match):
            draw(steered("sd15"), **options)

    maps = {"canny": EDGES}
    refused(r"no ControlNet 'pose': there are canny, depth; .*load_controlnet\('pose'", control={"pose": EDGES})
    refused("a control map by the name", control={})
    refused("a control map by the name", control=EDGES)
    refused("no control maps", control_scale=0.5)
    refused("control_scale of 'canny' must be a number from 0, not nan", control=maps, control_scale=float("nan"))
    refused("must be a number", control=maps, control_scale=True)
    refused("not -1", control=maps, control_scale={"canny": -1})
    refused("control_scale names 'depth'", control=maps, control_scale={"depth": 1.0})
    refused("control and control_image do not go together", control=maps, control_image=EDGES)
    refused("give control_scale", control=maps, controlnet_conditioning_scale=0.5)
    refused("'canny' has 3 maps for 1 pictures", control={"canny": [EDGES] * 3})
    refused("control 'canny': there is no such file", ImageRejected, control={"canny": "nowhere.png"})
    refused("takes no shutter; it takes .*guess_mode", control=maps, shutter=1)


def test_layouts_without_controlnets(shared: Load) -> None:
    with pytest.raises(InvalidRequest, match=r"no ControlNets for PixArtSigmaPipeline: .*SDXL and Flux"):
        draw(ImageDecoder(shared("pixart_sigma")), control={"canny": EDGES})
    with pytest.raises(InvalidRequest, match="there is no ControlNet 'canny': there are none"):
        draw(ImageDecoder(shared("sd15")), control={"canny": EDGES})


def test_a_controlnet_of_another_layout(shared: Load) -> None:
    nets = {name: controlnet_for(shared(name)) for name in KINDS}
    with pytest.raises(CheckpointError, match=r"'edges' was made for another layout .*cross_attention_dim is 64.* 32"):
        check_controlnet("edges", nets["sdxl"], shared("sd15"))
    with pytest.raises(CheckpointError, match="is a FluxControlNetModel: StableDiffusionPipeline takes a ControlNet"):
        check_controlnet("edges", nets["flux"], shared("sd15"))
    with pytest.raises(CheckpointError, match="is a ControlNetModel: FluxPipeline takes a FluxControlNetModel"):
        check_controlnet("edges", nets["sd15"], shared("flux"))
    with pytest.raises(CheckpointError, match="cannot be used here: there are no ControlNets for PixArt"):
        check_controlnet("edges", nets["sd15"], shared("pixart_sigma"))
    for name in ("", "a/b", "../up", 3):
        with pytest.raises(CheckpointError, match="cannot be called"):
            check_controlnet(name, nets["sd15"], shared("sd15"))
