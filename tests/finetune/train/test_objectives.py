"""The denoising losses are those that diffusers' own training scripts compute, from the same noise and times."""

from __future__ import annotations

from typing import Any

import diffusers as df
import pytest
import torch
from diffusers.training_utils import compute_loss_weighting_for_sd3
from torch import Tensor, nn
from torch.nn import functional as F

from genllava import GenLlavaPipeline, ImageDecoder, VisionLanguage
from genllava.errors import CheckpointError
from genllava.image_decoder import load_diffusion
from genllava_finetune.modeling.collator import to_pixels
from genllava_finetune.modeling.model import ConditionDropout, GenLlavaForTraining, LossWeights
from genllava_finetune.modeling.networks import denoiser_for
from genllava_finetune.modeling.objectives import NoiseSchedule, draw_noise, image_latents
from tests.genllava.forced import Layouts, picture

SIDE = 32
PLANS = ["a red cat", "a wall, in blue", "NO PARKING"]
SEEDS = [3, 11, 2**40]
DENOISING_ALONE = LossWeights(cross_entropy=0, denoising=1, alignment=0)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return Layouts(tmp_path_factory.mktemp("layouts"))


@pytest.fixture(scope="module")
def words(layouts: Layouts) -> VisionLanguage:
    return VisionLanguage.from_pretrained(layouts("llava15"))


def captioned(words: VisionLanguage, pipeline: Any, editor: Any = None, **options: Any) -> GenLlavaForTraining:
    options = {"weights": DENOISING_ALONE, "bridge": "caption", **options}
    return GenLlavaForTraining(words, None, ImageDecoder(pipeline, editor), **options).eval()


def batch(edited: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"plans": PLANS, "edited": torch.tensor([edited] * 3), "seeds": torch.tensor(SEEDS)}
    made["target_pixels"] = to_pixels([picture(48, 40, seed) for seed in range(3)], SIDE)
    if edited:
        made["source_pixels"] = to_pixels([picture(48, 40, seed) for seed in range(3, 6)], SIDE)
    made["original_sizes"], made["crops"] = torch.tensor([[40, 48]] * 3), torch.tensor([[0, 3]] * 3)
    return made


def sampled(vae: Any, pixels: Tensor) -> Tensor:
    """As the scripts have it: `vae.encode(pixels).latent_dist.sample() * scaling_factor`; each from its own seed."""
    rows = []
    for row, seed in zip(pixels, SEEDS, strict=True):
        source = torch.Generator().manual_seed(seed ^ 0x5DEECE66D)
        rows.append(vae.encode(row[None]).latent_dist.sample(source))
    latents = torch.cat(rows)
    return (latents - (vae.config.shift_factor or 0)) * vae.config.scaling_factor


def noise_of(latents: Tensor) -> Any:
    return draw_noise(SEEDS, latents.shape[1:], latents.device)


def diffusion(pipe: Any, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, time and target of the scripts for Stable Diffusion."""
    scheduler, noise = df.DDPMScheduler.from_config(pipe.scheduler.config), noise_of(latents)
    times = (noise.uniform * scheduler.config.num_train_timesteps).long()
    noisy = scheduler.add_noise(latents, noise.latents, times)
    if scheduler.config.prediction_type == "epsilon":
        return noisy, times, noise.latents
    assert scheduler.config.prediction_type == "v_prediction"
    return noisy, times, scheduler.get_velocity(latents, noise.latents, times)


def flow(pipe: Any, latents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noisy latents, time, target and weight of the scripts for Stable Diffusion 3 and Flux."""
    scheduler, noise = df.FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config), noise_of(latents)
    index = (torch.sigmoid(noise.normal) * scheduler.config.num_train_timesteps).long()
    times, sigmas = scheduler.timesteps[index], scheduler.sigmas[index].view(-1, 1, 1, 1)
    noisy = (1.0 - sigmas) * latents + sigmas * noise.latents
    return noisy, times, noise.latents - latents, compute_loss_weighting_for_sd3("logit_normal", sigmas)


def clip(pipe: Any, plans: list[str]) -> Tensor:
    ids = pipe.tokenizer(plans, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    states: Tensor = pipe.text_encoder(ids)[0]
    return states


def packed(pipe: Any, latents: Tensor) -> Tensor:
    made: Tensor = pipe._pack_latents(latents, *latents.shape)
    return made


def places(pipe: Any, latents: Tensor, first: int = 0) -> Tensor:
    height, width = (side // 2 for side in latents.shape[2:])
    made: Tensor = pipe._prepare_latent_image_ids(len(latents), height, width, "cpu", torch.float32)
    made[..., 0] = first
    return made


@torch.no_grad()
def by_hand(name: str, pipe: Any, given: dict[str, Any]) -> Tensor:
    latents = sampled(pipe.vae, given["target_pixels"])
    if name in ("sd15", "sd21"):
        noisy, times, target = diffusion(pipe, latents)
        return F.mse_loss(pipe.unet(noisy, times, encoder_hidden_states=clip(pipe, PLANS)).sample, target)
    if name == "instruct_pix2pix":
        noisy, times, target = diffusion(pipe, latents)
        source = pipe.vae.encode(given["source_pixels"]).latent_dist.mode()  # not scaled, as in its script
        return F.mse_loss(pipe.unet(torch.cat([noisy, source], 1), times, clip(pipe, PLANS)).sample, target)
    if name == "sdxl":
        noisy, times, target = diffusion(pipe, latents)
        states, pooled = [], None
        for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
            ids = tokenizer(PLANS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            output = encoder(ids, output_hidden_states=True)
            pooled, states = output[0], [*states, output.hidden_states[-2]]
        ids = torch.tensor([[40, 48, 0, 3, SIDE, SIDE]] * 3, dtype=torch.float32)  # original size, crop, size
        added = {"text_embeds": pooled, "time_ids": ids}
        return F.mse_loss(pipe.unet(noisy, times, torch.cat(states, -1), added_cond_kwargs=added).sample, target)
    noisy, times, target, weight = flow(pipe, latents)
    embeds, *rest = pipe.encode_prompt(PLANS, None, *([None] if name == "sd35" else []))
    if name == "sd35":
        arguments = {"encoder_hidden_states": embeds, "pooled_projections": rest[1], "timestep": times}
        made = pipe.transformer(hidden_states=noisy, **arguments).sample
        return (weight * (made - target) ** 2).mean()
    states, ids = packed(pipe, noisy), places(pipe, noisy)
    if name == "flux_kontext":
        source = pipe.vae.encode(given["source_pixels"]).latent_dist.mode()
        source = (source - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor
        states, ids = torch.cat([states, packed(pipe, source)], 1), torch.cat([ids, places(pipe, source, 1)])
    made = pipe.transformer(
        hidden_states=states,
        timestep=times / 1000,
        guidance=torch.full([3], 3.5) if pipe.transformer.config.guidance_embeds else None,
        pooled_projections=rest[0],
        encoder_hidden_states=embeds,
        txt_ids=rest[1],
        img_ids=ids,
    ).sample[:, : states.shape[1] // (2 if name == "flux_kontext" else 1)]
    return (weight * (pipe._unpack_latents(made, SIDE, SIDE, pipe.vae_scale_factor) - target) ** 2).mean()


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl", "sd35", "flux", "instruct_pix2pix", "flux_kontext"])
def test_the_loss_is_that_of_diffusers_own_scripts(layouts: Layouts, words: VisionLanguage, name: str) -> None:
    pipe = load_diffusion(layouts(name))
    edits = name in ("instruct_pix2pix", "flux_kontext")
    model = captioned(words, None if edits else pipe, pipe if edits else None)
    given = batch(edits)
    outputs = model(**given)
    torch.testing.assert_close(outputs["denoising"], by_hand(name, pipe, given), rtol=1e-4, atol=1e-6)
    assert outputs["loss"] == outputs["denoising"]


def test_latents_are_those_of_any_autoencoder(layouts: Layouts) -> None:
    pixels = batch()["target_pixels"]
    tiny = df.AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                              num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4)  # fmt: skip
    torch.testing.assert_close(image_latents(tiny, pixels, SEEDS), tiny.encode(pixels).latents.detach())
    vae = load_diffusion(layouts("sd35")).vae
    own = vae.encode(pixels).latent_dist.mode().detach()
    torch.testing.assert_close(image_latents(vae, pixels, scaled=False), own)
    torch.testing.assert_close(image_latents(vae, pixels), (own - vae.config.shift_factor) * vae.config.scaling_factor)
    vae.register_to_config(latents_mean=[0.5] * 4 * 4, latents_std=[2.0] * 4 * 4)
    if own.shape[1] == 16:
        scaled = (own - 0.5) * vae.config.scaling_factor / 2
        torch.testing.assert_close(image_latents(vae, pixels), scaled)


def test_the_shipped_decoder_learns_clean_latents_along_straight_paths(words: VisionLanguage) -> None:
    pipe: Any = GenLlavaPipeline.from_pretrained(device="cpu").decoder
    denoiser = denoiser_for(pipe)
    assert (denoiser.edits, denoiser.scaled_source, denoiser.resolution) == (True, True, 128)
    given: dict[str, Any] = {
        "plans": ["a large red circle at the top left, on white"] * 2,
        "seeds": torch.tensor([1, 2]),
    }
    given["edited"] = torch.tensor([False, True])
    given["target_pixels"] = to_pixels([picture(128, 128), picture(128, 128, 1)], 128)
    given["source_pixels"] = to_pixels([picture(128, 128, 2)], 128)
    outputs = captioned(words, pipe)(**given)
    latents = pipe.vae.encode(given["target_pixels"]).latents
    source = torch.cat([torch.zeros_like(latents[:1]), pipe.vae.encode(given["source_pixels"]).latents])
    noise = draw_noise([1, 2], latents.shape[1:], latents.device)
    sigma = torch.sigmoid(noise.normal)
    level = sigma[:, None, None, None]
    inputs = torch.cat([(1 - level) * latents + level * noise.latents, source], 1)
    made = pipe.unet(inputs, sigma * 1000, pipe.encode_prompt(given["plans"])).sample
    torch.testing.assert_close(outputs["denoising"], F.mse_loss(made, latents), rtol=1e-4, atol=1e-5)
    assert float(outputs["denoising"].detach()) < float(latents.detach().square().mean())  # it has learnt to


def test_what_is_left_out_for_guidance(layouts: Layouts, words: VisionLanguage) -> None:
    pipe = load_diffusion(layouts("instruct_pix2pix"))
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(module: nn.Module, args: Any, kwargs: Any) -> None:
        seen.append((args[0][:, 4:].flatten(1).abs().sum(1) > 0, kwargs["encoder_hidden_states"]))

    pipe.unet.register_forward_pre_hook(watch, with_kwargs=True)
    share = ConditionDropout(text=0.1, source=0.2, both=0.3)
    model = captioned(words, None, pipe, dropout=share).train()
    count = 250
    given: dict[str, Any] = {"plans": PLANS[:1] * count, "edited": torch.ones(count, dtype=torch.bool)}
    given |= {"target_latents": torch.ones(count, 4, 4, 4), "source_latents": torch.ones(count, 4, 4, 4)}
    given["seeds"] = torch.arange(count)
    with torch.no_grad():
        first = model(**given)["denoising"]
        assert model(**given)["denoising"] == first  # the same rows and seeds, the same noise and what is left out
        shown, states = seen[0]
        texts = ((states - clip(pipe, PLANS[:1])).abs().amax((1, 2)) < 1e-5).tolist()
        nothing = ((states - clip(pipe, [""])).abs().amax((1, 2)) < 1e-5).tolist()
        assert [one != other for one, other in zip(texts, nothing, strict=True)] == [True] * count
        kinds = [(text, bool(source)) for text, source in zip(texts, shown, strict=True)]
        shares = {kind: kinds.count(kind) / count for kind in set(kinds)}
        assert shares[False, True] == pytest.approx(0.1, abs=0.05)
        assert shares[True, False] == pytest.approx(0.2, abs=0.06)
        assert shares[False, False] == pytest.approx(0.3, abs=0.07)
        seen.clear()
        model.eval()(**given)
    assert bool(seen[0][0].all())
    dropped = draw_noise(range(20000), (1, 1, 1), torch.device("cpu")).dropped
    assert float((dropped < 0.05).float().mean()) == pytest.approx(0.05, abs=0.005)


def test_a_source_that_is_left_out_of_flux_is_not_there(layouts: Layouts, words: VisionLanguage) -> None:
    pipe = load_diffusion(layouts("flux_kontext"))
    given = batch(edited=True)
    for part in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2):  # T5 would drop states in training
        part.requires_grad_(False)
    model = captioned(words, None, pipe, dropout=ConditionDropout(0, 1, 0)).train()
    with torch.no_grad():
        without = model(**given)["denoising"]
        plain = captioned(words, df.FluxPipeline(**pipe.components))
        torch.testing.assert_close(without, plain(**{**given, "edited": torch.zeros(3, dtype=torch.bool)})["denoising"])
        torch.testing.assert_close(model.eval()(**given)["denoising"], by_hand("flux_kontext", pipe, given))
        mixed = captioned(words, pipe, pipe)
        given["edited"], given["source_pixels"] = torch.tensor([True, False, True]), given["source_pixels"][[0, 2]]
        assert torch.isfinite(mixed(**given)["denoising"])


def test_what_cannot_be_trained_is_said(layouts: Layouts, words: VisionLanguage) -> None:
    with pytest.raises(CheckpointError, match="a PixArtTransformer2DModel is not trained here, but FluxTransformer2D"):
        captioned(words, load_diffusion(layouts("pixart_sigma")))
    with pytest.raises(CheckpointError, match="a network that predicts flow_prediction is not trained"):
        NoiseSchedule(df.DDPMScheduler.from_config({"num_train_timesteps": 10, "prediction_type": "flow_prediction"}))
    with pytest.raises(CheckpointError, match="bridge='head' needs a generation head"):
        captioned(words, load_diffusion(layouts("sd15")), bridge="head")
