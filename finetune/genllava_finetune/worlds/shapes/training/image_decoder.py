"""Part 4: the image decoder, a small Stable Diffusion that draws plans, from nothing or from a source picture.

One eight-by-eight UNet does both, InstructPix2Pix style (arXiv 2211.09800): its input channels are the noisy
latents and the latents of the source picture, zeros for plain generation. Noise is mixed in along straight lines
(rectified flow, arXiv 2209.03003), and the UNet predicts the clean latents, not the velocity: with 96 channels to a
patch a narrow network has no room to carry the noise through (arXiv 2511.13720).
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava_finetune.worlds.shapes.editing import sample_edit
from genllava_finetune.worlds.shapes.placement import centred, settled
from genllava_finetune.worlds.shapes.plan import any_plan
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import NOTHING, Split, Withheld, sample_scene
from genllava_finetune.worlds.shapes.training.autoencoder import LATENT_CHANNELS
from genllava_finetune.worlds.shapes.training.part import Batch, Part
from genllava_finetune.worlds.shapes.training.pictures import contact_sheet, to_pixels, to_uint8
from genllava_finetune.worlds.shapes.training.text_encoder import WIDTH, tokenize_plans

GRID: Final = 8
EDITS: Final = 0.6
OWN: Final = 0.4
"""Share of edits among what is drawn, and of our own drawings among what they edit; users' are harder to keep."""

DROP_PLAN: Final = 0.08
DROP_SOURCE: Final = 0.05
LEAST_NOISE: Final = 0.25
"""Added to the squared noise level that divides the error, so that the last faint noise does not outweigh the rest."""
OBJECT_WEIGHT: Final = 4
"""How much more than background an object counts."""

UNET: Final = {
    "sample_size": GRID,
    "in_channels": 2 * LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "block_out_channels": (192, 192),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": (3, 3),  # diffusers reads this as the number of heads
    "norm_num_groups": 16,
}


def draw_sigma(count: int) -> Tensor:
    """[B] noise levels: half uniform, half logit-normal around 0.7, where objects get their place and shape."""
    uniform = torch.rand(count)
    return torch.where(torch.rand(count) < 0.5, uniform, torch.sigmoid(torch.randn(count) + 0.8))


def region_weight(source: Tensor, target: Tensor, edited: Tensor) -> Tensor:
    """[B, 1, H, W] weights of the latent error: objects, kept or new, and what an edit changes count above background.

    Weighed alike with the flat colour around them, small stars and crosses were the last to become sharp.

    Args:
        source, target: latents [B, C, H, W].
        edited: [B] whether the sample is an edit.
    """
    background = target.flatten(2).median(-1).values[..., None, None]
    moved = _where_large((source - target).abs(), 0.5) * edited[:, None, None, None]
    weight = 1 + OBJECT_WEIGHT * torch.maximum(_where_large((target - background).abs(), 0.15), moved)
    return weight / weight.mean((2, 3), keepdim=True)


def _where_large(difference: Tensor, share: float) -> Tensor:
    """[B, 1, H, W] ones where the mean over the channels is above this share of its largest."""
    mean = difference.mean(1, keepdim=True)
    return (mean > share * mean.amax((2, 3), keepdim=True).clamp(min=0.05)).float()


def new_scheduler() -> DPMSolverMultistepScheduler:
    """The sampler of our image decoder: straight paths, clean latents predicted."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000, prediction_type="sample", use_flow_sigmas=True, flow_shift=1.0, solver_order=1
    )


def denoising_error(
    unet: Any, latents: Tensor, source: Tensor, states: Tensor, weight: Tensor, sigma: Tensor | None = None
) -> Tensor:
    """[B] error of the clean latents the UNet sees behind fresh noise.

    Args:
        latents, source: [B, C, H, W]; what is to be drawn, and what is edited or zeros.
        states: [B, L, D], the conditioning.
        weight: [B, 1, H, W].
        sigma: [B] noise levels; drawn where there are none.
    """
    sigma = (draw_sigma(len(latents)) if sigma is None else sigma).to(latents.device)
    s = sigma[:, None, None, None]
    noisy = (1 - s) * latents + s * torch.randn_like(latents)
    inputs = torch.cat([noisy, source], 1).contiguous(memory_format=torch.channels_last)
    predicted = unet(inputs, sigma * 1000, states).sample.float()
    error = ((predicted - latents).square() * weight).mean((1, 2, 3))
    return error / (sigma.square() + LEAST_NOISE)


def sample_pair(rng: random.Random, split: Split = "train", withhold: Withheld = NOTHING) -> tuple[Scene | None, Scene]:
    """What is edited (None: nothing is) and what is drawn.

    Args:
        split: of the scenes.
        withhold: what is never shown.
    """
    if rng.random() < EDITS:
        scene = sample_scene(rng, split, withhold=withhold)
        if rng.random() < OWN:
            scene = centred(scene)
        edit = sample_edit(rng, scene, 1, withhold.forms, split, withhold=withhold)
        if edit is not None and edit.steps[0].target is not None:
            return scene, settled(scene, edit.steps[0].target)
    return None, centred(sample_scene(rng, split, withhold=withhold))


class DenoisingLoss(nn.Module):
    """Flow matching through the UNet, and the text encoder with it, on latents of the frozen autoencoder."""

    def __init__(self, vae: AutoencoderPatch, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False)
        self.text_encoder = text_encoder
        self.unet: Any = UNet2DConditionModel(**UNET)

    def forward(self, source: Tensor, target: Tensor, edited: Tensor, input_ids: Tensor) -> dict[str, Tensor]:
        """`source`, `target` [B, 3, 128, 128]; `edited` [B] bool; `input_ids` [B, 48]."""
        with torch.no_grad():
            pixels = torch.cat([target, source[edited]]).contiguous(memory_format=torch.channels_last)
            latents = self.vae.encode(pixels).latents.float()
            target_latents, source_latents = latents[: len(target)], torch.zeros_like(latents[: len(target)])
            source_latents[edited] = latents[len(target) :]
        states = self.text_encoder(input_ids=input_ids).last_hidden_state
        keep = edited & (torch.rand(len(target)) >= DROP_SOURCE).to(edited.device)
        seen = source_latents * keep[:, None, None, None]
        weight = region_weight(source_latents, target_latents, edited)
        error = denoising_error(self.unet, target_latents, seen, states, weight)
        one = error.new_tensor(1.0)
        return {
            "loss": error.mean(),
            "generation": error[~edited].mean() if (~edited).any() else one,
            "edit": error[edited].mean() if edited.any() else one,
        }


class ImageDecoder(Part):
    name = "image_decoder"

    def build(self) -> nn.Module:
        vae = AutoencoderPatch.from_pretrained(self.needs("autoencoder")).eval()
        text = self.needs("text_encoder")
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(text / "tokenizer")
        return DenoisingLoss(vae, CLIPTextModel.from_pretrained(text / "text_encoder"))

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self.name}:{self.seed}:{step}")
        sources: list[NDArray[np.uint8]] = []
        targets: list[NDArray[np.uint8]] = []
        edited, plans = [], []
        for _ in range(self.recipe.batch_size):
            source, target = sample_pair(rng, withhold=self.withhold)
            targets.append(render_array(target))
            sources.append(targets[-1] if source is None else render_array(source))
            edited.append(source is not None)
            plans.append("" if rng.random() < DROP_PLAN else any_plan(rng, target))
        return {
            "source": to_pixels(sources),
            "target": to_pixels(targets),
            "edited": torch.tensor(edited),
            "input_ids": tokenize_plans(self.tokenizer, plans),
        }

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, DenoisingLoss)
        module.unet.save_pretrained(folder / "unet")
        module.text_encoder.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")

    @torch.no_grad()
    def sample(self, module: nn.Module) -> Image.Image:
        """Three rows: sources (black for generation), what the plan asks for, what the decoder drew."""
        assert isinstance(module, DenoisingLoss)
        rng = random.Random("image decoder sample")
        pairs = [sample_pair(rng, withhold=self.withhold) for _ in range(12)]
        sources = [np.zeros((128, 128, 3), np.uint8) if s is None else render_array(s) for s, _ in pairs]
        targets = [render_array(t) for _, t in pairs]
        edited = torch.tensor([s is not None for s, _ in pairs])
        ids = tokenize_plans(self.tokenizer, [any_plan(rng, t) for _, t in pairs])
        place = module.unet.device
        drawn = sample_latents(module, to_pixels(sources).to(place), edited.to(place), ids.to(place), steps=8)
        made = module.vae.decode(drawn, return_dict=False)[0]
        return contact_sheet([np.stack(sources), np.stack(targets), to_uint8(made)])


@torch.no_grad()
def sample_latents(module: DenoisingLoss, source: Tensor, edited: Tensor, ids: Tensor, steps: int) -> Tensor:
    """Plain Euler sampling without guidance, to watch training; the pipeline has the real loop."""
    states = module.text_encoder(input_ids=ids).last_hidden_state
    seen = module.vae.encode(source).latents * edited[:, None, None, None]
    latents = torch.randn(seen.shape, generator=torch.Generator().manual_seed(0)).to(seen.device)
    for now, then in itertools.pairwise(torch.linspace(1, 0, steps + 1)):
        clean = module.unet(torch.cat([latents, seen], 1), now * 1000, states).sample
        latents = clean + then / now * (latents - clean)
    return latents
