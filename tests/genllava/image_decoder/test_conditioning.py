"""The head's path: `prompt_embeds` from elsewhere, in every layout that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ConditioningSpec, ImageDecoder, PromptEmbeds
from genllava.image_decoder.siblings import drawer_of
from tests.genllava.image_decoder.small import drawn, options, picture, pixels
from tests.genllava.image_decoder.test_drawing import SIMILAR

SPECS = {
    "sd15": ConditioningSpec(77, 32),
    "sd21": ConditioningSpec(77, 32),
    "sdxl": ConditioningSpec(77, 64, pooled_dim=32),
    "sd35": ConditioningSpec(77 + 256, 32, pooled_dim=64),
    "sd35_without_t5": ConditioningSpec(77 + 256, 32, pooled_dim=64),
    "flux": ConditioningSpec(512, 32, pooled_dim=32),
    "flux_kontext": ConditioningSpec(512, 32, pooled_dim=32),
    "pixart_sigma": ConditioningSpec(300, 32, mask=True),
    "sana": ConditioningSpec(300, 32, mask=True),
    "qwen_image": ConditioningSpec(77, 32, mask=True, variable_length=True),
    "qwen_image_edit": ConditioningSpec(77, 32, mask=True, variable_length=True),
    "longcat_image": ConditioningSpec(512, 32),
    "controlnet_sd15": ConditioningSpec(77, 32),
    "controlnet_sdxl": ConditioningSpec(77, 64, pooled_dim=32),
}

DISTINCT = [pytest.param(name, marks=[pytest.mark.slow] * (name in SIMILAR)) for name in SPECS]

Load = Callable[[str], Any]


def encoded(pipeline: Any, prompt: str) -> PromptEmbeds:
    """What the pipeline's own text encoders make of a prompt."""
    kind = type(pipeline).__name__
    more: dict[str, Any] = {"num_images_per_prompt": 1, "device": torch.device("cpu")}
    if kind.startswith("StableDiffusion3"):
        more |= {"prompt_2": None, "prompt_3": None}
    if not kind.startswith(("Flux", "Qwen", "LongCat")):
        more["do_classifier_free_guidance"] = False
    if kind.startswith("LongCat"):
        del more["device"]
    if kind.startswith("PixArt"):
        more["clean_caption"] = True  # as its call does
    with torch.no_grad():
        made = pipeline.encode_prompt(prompt, **more)
    if kind.startswith(("StableDiffusionXL", "StableDiffusion3")):
        return PromptEmbeds(made[0], pooled=made[2])
    if kind.startswith("Flux"):
        return PromptEmbeds(made[0], pooled=made[1])
    if kind.startswith(("PixArt", "Sana", "Qwen")):
        return PromptEmbeds(made[0], mask=made[1])
    return PromptEmbeds(made[0])


@pytest.mark.parametrize("name", SPECS)
def test_embeds_of_a_prompt_draw_what_the_prompt_draws(name: str, shared: Load) -> None:
    pipeline = shared(name)
    decoder = ImageDecoder(pipeline)
    assert decoder.spec == SPECS[name]
    embeds = encoded(drawer_of(pipeline, None), "a red cat")
    result = decoder.generate(None, seeds=[3], prompt_embeds=embeds, options=options(name))[0]
    assert (pixels(result) == drawn(pipeline, "a red cat", 3, name)).all()


@pytest.mark.parametrize("name", DISTINCT)
def test_embeds_of_a_head(name: str, shared: Load) -> None:
    """A batch, with what guidance leads away from; rows, pooled embedding and mask all tell."""
    decoder, spec = ImageDecoder(shared(name)), SPECS[name]
    torch.manual_seed(0)
    pooled = None if spec.pooled_dim is None else torch.randn(2, spec.pooled_dim)
    embeds = PromptEmbeds(torch.randn(2, 6, spec.dim), pooled, negative_embeds=torch.zeros(2, 6, spec.dim))
    if pooled is not None:
        embeds = replace(embeds, negative_pooled=torch.zeros_like(pooled))

    def images(given: PromptEmbeds) -> list[Any]:
        results = decoder.generate(None, seeds=[3, 3], prompt_embeds=given, options=options(name))
        return [pixels(result) for result in results]

    first, second = images(embeds)
    assert (first != second).any()
    single = decoder.generate(None, seeds=[3], prompt_embeds=embeds[1:], options=options(name))
    assert abs(pixels(single[0]) - second).max() <= 1
    if pooled is not None:
        assert (images(replace(embeds, pooled=-pooled))[0] != first).any()
    if spec.mask:
        half = torch.tensor([[1, 1, 1, 0, 0, 0]]).expand(2, -1)
        assert (images(replace(embeds, mask=half))[0] != first).any()


def test_an_edit_by_embeds(shared: Load) -> None:
    for name in ("instruct_pix2pix", "sdxl", "sdxl_instruct_pix2pix"):
        decoder = ImageDecoder(None if name != "sdxl" else shared(name), shared(name) if name != "sdxl" else None)
        dim, pooled = (32, None) if name == "instruct_pix2pix" else (64, 32)
        torch.manual_seed(0)
        sized = {"pooled": None if pooled is None else torch.randn(1, pooled)}
        edits = [
            decoder.edit(
                [picture(64, 64)],
                None,
                seeds=[1],
                prompt_embeds=PromptEmbeds(scale * torch.randn(1, 77, dim), **sized),
                options={"num_inference_steps": 4},
            )[0]
            for scale in (1, 5)
        ]
        assert (pixels(edits[0]) != pixels(edits[1])).any()


def test_embeds_that_do_not_fit(shared: Load) -> None:
    def refused(name: str, match: str, embeds: PromptEmbeds) -> None:
        with pytest.raises(InvalidRequest, match=match):
            ImageDecoder(shared(name)).generate(None, seeds=[1], prompt_embeds=embeds, options=options(name))

    refused("sd15", r"shape \[B, 77, 32\], not \[1, 77, 33\]", PromptEmbeds(torch.zeros(1, 77, 33)))
    refused("sd15", r"not \[1, 5, 32\]", PromptEmbeds(torch.zeros(1, 5, 32)))
    refused("sd15", "pooled embeddings of None", PromptEmbeds(torch.zeros(1, 77, 32), torch.zeros(1, 32)))
    refused("sdxl", "pooled embeddings of 32 numbers, not None", PromptEmbeds(torch.zeros(1, 77, 64)))
    refused("sd15", "NaN", PromptEmbeds(torch.full((1, 77, 32), torch.nan)))
    wrong = PromptEmbeds(torch.zeros(1, 77, 32), negative_embeds=torch.zeros(1, 5, 32))
    refused("sd15", "negative_embeds must have the shape", wrong)
    both = PromptEmbeds(torch.zeros(1, 77, 32), negative_embeds=torch.zeros(1, 77, 32))
    with pytest.raises(InvalidRequest, match="negative_prompt or negative_embeds"):
        ImageDecoder(shared("sd15")).generate(
            None, seeds=[1], prompt_embeds=both, options=options("sd15", negative_prompt="blue")
        )
    with pytest.raises(CheckpointError, match="takes no prompt_embeds: give it prompts"):
        _ = ImageDecoder(shared("dreamlite")).spec


def denoise(pipeline: Any, embeds: torch.Tensor, pooled: torch.Tensor | None) -> torch.Tensor:
    """One step of the denoiser, called as training calls it."""
    torch.manual_seed(1)
    time, kind = torch.tensor([500.0]), type(pipeline).__name__
    if kind == "StableDiffusionPipeline":
        return pipeline.unet(torch.randn(1, 4, 8, 8), time, encoder_hidden_states=embeds).sample
    if kind == "StableDiffusionXLPipeline":
        added = {"text_embeds": pooled, "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]])}
        return pipeline.unet(
            torch.randn(1, 4, 8, 8), time, encoder_hidden_states=embeds, added_cond_kwargs=added
        ).sample
    conditioned = {"encoder_hidden_states": embeds, "pooled_projections": pooled}
    if kind == "StableDiffusion3Pipeline":
        return pipeline.transformer(hidden_states=torch.randn(1, 16, 8, 8), timestep=time, **conditioned).sample
    ids = {"txt_ids": torch.zeros(embeds.shape[1], 3), "img_ids": torch.zeros(16, 3), "guidance": torch.ones(1)}
    return pipeline.transformer(hidden_states=torch.randn(1, 16, 64), timestep=time / 1000, **ids, **conditioned).sample


@pytest.mark.parametrize("name", ["sd15", "sdxl", "sd35", "flux"])
def test_gradients_reach_the_head_through_the_frozen_denoiser(name: str, own: Load) -> None:
    pipeline = own(name)
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.requires_grad_(False)
    spec = ImageDecoder(pipeline).spec
    torch.manual_seed(0)
    head = GenerationHead(
        num_queries=4,
        input_dim=16,
        output_length=spec.length,
        output_dim=spec.dim,
        pooled_dim=spec.pooled_dim,
        hidden_dim=32,
        num_layers=1,
        num_heads=4,
        query_tokens=True,
    )
    states = torch.randn(1, 4, 16, requires_grad=True)
    denoise(pipeline, *head.condition(states)).square().mean().backward()
    assert states.grad is not None
    assert states.grad.abs().sum() > 0
    gradients = {name: weight.grad for name, weight in head.named_parameters() if not name.startswith("null")}
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients.values())
    assert sum(float(gradient.abs().sum()) > 0 for gradient in gradients.values()) > len(gradients) / 2
    assert all(weight.grad is None for weight in pipeline.components["vae"].parameters())
