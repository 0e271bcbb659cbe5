"""Part 1: the autoencoder, from 128x128 pixels to an 8x8 grid of latents and back.

A convolutional autoencoder of this size was still blurred after minutes of training; the principal components of
16x16 patches are fitted in seconds and lose nothing that can be seen (docs/log.md).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava_finetune.worlds.shapes.augment import draw_varied
from genllava_finetune.worlds.shapes.render import render_array
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld, sample_scene
from genllava_finetune.worlds.shapes.training.pictures import to_pixels

PATCH: Final = 16
LATENT_CHANNELS: Final = 96
CHUNK: Final = 500
BACKDROP_STD: Final = 2.0
"""Spread of the first component, the patch's mean colour, after scaling; the others get (their own) ** 0.5 around 1."""


def fit_autoencoder(seed: int, pictures: int = 8000, withhold: Withheld = NOTHING) -> AutoencoderPatch:
    """Principal components of the patches of `pictures` training pictures.

    The latents are half whitened: fine detail keeps a smaller spread than coarse form, so that denoising goes from
    coarse to fine, but not so small that it drowns in noise until the last step.
    """
    covariance = torch.zeros(3 * PATCH**2, 3 * PATCH**2, dtype=torch.float64)
    count = 0
    for arrays in _chunks(random.Random(f"autoencoder:{seed}"), pictures, withhold):
        patches = unfold(to_pixels(arrays)).double()
        covariance += patches.T @ patches
        count += len(patches)
    power, components = torch.linalg.eigh(covariance / count)
    power, components = power.flip(0)[:LATENT_CHANNELS], components.flip(1)[:, :LATENT_CHANNELS]
    root = power.sqrt().sqrt()
    spread = root / root[1:].square().mean().sqrt()
    spread[0] = BACKDROP_STD
    scale = power.sqrt() / spread
    return AutoencoderPatch.from_components(components.float(), scale.float(), PATCH)


def unfold(pixels: Tensor) -> Tensor:
    """[B, 3, H, W] to patches [B * n, 3 * 16 * 16]."""
    return F.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH**2)


def _chunks(rng: random.Random, pictures: int, withhold: Withheld) -> Iterator[list[NDArray[np.uint8]]]:
    for _ in range(0, pictures, CHUNK):
        scenes = [sample_scene(rng, "train", withhold=withhold) for _ in range(CHUNK)]
        yield [render_array(scene) if rng.random() < 0.5 else draw_varied(rng, scene) for scene in scenes]
