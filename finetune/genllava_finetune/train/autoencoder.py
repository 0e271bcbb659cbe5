"""Part 1: the autoencoder, from 128x128 pixels to an 8x8 grid of latents and back."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from genllava_finetune.shapes.augment import draw_varied
from genllava_finetune.shapes.render import render_array
from genllava_finetune.shapes.splits import sample_scene
from genllava_finetune.train.part import Batch, Part
from genllava_finetune.train.pictures import contact_sheet, to_pixels, to_uint8

LATENT_CHANNELS: Final = 64
LATENT_NOISE: Final = 0.1
"""Noise added to the latents while the decoder learns, so that it forgives what the denoiser leaves behind."""

CONFIG: Final = {
    "encoder_block_out_channels": (64, 64, 64, 64, 64),
    "decoder_block_out_channels": (64, 64, 64, 64, 64),
    "num_encoder_blocks": (0, 0, 1, 2, 2),
    "num_decoder_blocks": (2, 2, 1, 0, 0),
    "latent_channels": LATENT_CHANNELS,
    "upsampling_scaling_factor": 2,
}


class AutoencoderLoss(nn.Module):
    """Reconstruction error, weighted up where the picture is not background, plus unit-variance latents."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = AutoencoderTiny(**CONFIG).to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """`pixels` [B, 3, 128, 128] in -1..1."""
        x = pixels.contiguous(memory_format=torch.channels_last)
        latents = self.vae.encode(x).latents.float()
        noisy = latents + LATENT_NOISE * torch.rand(len(x), 1, 1, 1) * torch.randn_like(latents)
        output = self.vae.decode(noisy).sample.float()
        error = (output - x).abs() + (output - x).square()
        weight = edge_weight(x)
        reconstruction = (error * weight).sum() / weight.sum() / 3
        mean, variance = latents.mean((0, 2, 3)), latents.var((0, 2, 3))
        spread = (mean.square() + (variance + 1e-4).log().square()).mean()
        return {"loss": reconstruction + 0.01 * spread, "reconstruction": reconstruction, "spread": spread}


def edge_weight(x: Tensor) -> Tensor:
    """[B, 1, H, W]: 1 on plain areas, up to 6 around edges, where the shape of an object is decided."""
    local = F.max_pool2d(x, 5, 1, 2) + F.max_pool2d(-x, 5, 1, 2)
    return 1 + 5 * local.amax(1, keepdim=True).clamp(0, 1)


class Autoencoder(Part):
    name = "autoencoder"

    def build(self) -> nn.Module:
        return AutoencoderLoss()

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self.name}:{self.seed}:{step}")
        scenes = [sample_scene(rng, "train") for _ in range(self.recipe.batch_size)]
        arrays = [render_array(s) if rng.random() < 0.5 else draw_varied(rng, s) for s in scenes]
        return {"pixels": to_pixels(arrays)}

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, AutoencoderLoss)
        module.vae.save_pretrained(folder)

    @torch.no_grad()
    def sample(self, module: nn.Module) -> Image.Image:
        """Pictures above their reconstructions."""
        assert isinstance(module, AutoencoderLoss)
        rng = random.Random("autoencoder sample")
        scenes = [sample_scene(rng, "dev") for _ in range(12)]
        arrays = [render_array(s) if i % 2 else draw_varied(rng, s) for i, s in enumerate(scenes)]
        output = module.vae(to_pixels(arrays)).sample
        return contact_sheet([np.stack(arrays), to_uint8(output)])
