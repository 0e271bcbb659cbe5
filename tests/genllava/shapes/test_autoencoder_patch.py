"""The linear autoencoder of patches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes import latents as autoencoding
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch


def orthonormal(patch: int, channels: int) -> AutoencoderPatch:
    torch.manual_seed(0)
    components = torch.linalg.qr(torch.randn(3 * patch**2, channels)).Q
    return AutoencoderPatch.from_components(components, torch.rand(channels) + 0.5, patch)


def test_with_all_components_nothing_is_lost(picture: Callable[..., Image.Image]) -> None:
    vae = orthonormal(4, 48)
    images = [picture(1), picture(2)]
    latents = autoencoding.encode(vae, images)
    assert latents.shape == (2, 48, 8, 8)
    for image, decoded in zip(images, autoencoding.decode(vae, latents), strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(decoded, int)).max() <= 1
    with pytest.raises(ValueError, match="multiple of 4"):
        vae.encode(torch.zeros(1, 3, 30, 32))


def test_it_serves_in_a_pipeline(own_pipe: GenLlavaPipeline, build: Any, tmp_path: Path) -> None:
    pipe = build.rebuilt(own_pipe, vae=orthonormal(8, 4), num_inference_steps=1)
    drawing = pipe.generate("x", plan="a", seed=1)
    pipe.save_pretrained(tmp_path)
    again = GenLlavaPipeline.from_pretrained(tmp_path)
    assert isinstance(again.decoder.vae, AutoencoderPatch)
    assert np.array_equal(np.asarray(again.generate("x", plan="a", seed=1).image), np.asarray(drawing.image))
