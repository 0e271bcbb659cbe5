"""Between pictures and latents: the autoencoder, and what the UNets expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genllava.errors import NonFiniteError


@dataclass(slots=True)
class Picture:
    """A square RGB picture and, once known, its latents [C, h, w] (float32, CPU, as the UNet draws them).

    Attributes:
        caption: what the model saw in it when it looked at it by itself, in the words of plans; empty if it did not.
        original: the picture at its own size; None where that is the size the model sees.
        own: the model drew it.
    """

    image: Image.Image
    latents: Tensor | None = None
    caption: str = ""
    original: Image.Image | None = None
    own: bool = False


def vae_channels(vae: Any) -> int:
    """C, the latent channels."""
    return int(vae.config["latent_channels"])


def vae_factor(vae: Any) -> int:
    """How many pixels wide and high a latent is."""
    if "patch_size" in vae.config:
        return int(vae.config["patch_size"])
    channels = vae.config.get("block_out_channels") or vae.config["encoder_block_out_channels"]
    return int(2 ** (len(channels) - 1))


def encode(vae: Any, images: Sequence[Image.Image]) -> Tensor:
    """Latents [B, C, h, w], float32, scaled as the UNet draws them; the mode, not a sample."""
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    encoded = vae.encode((pixels.float() / 127.5 - 1).to(vae.device, vae.dtype))
    latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    scale, shift = _scale_and_shift(vae)
    scaled: Tensor = (latents.float() - shift) * scale
    return scaled


def decode(vae: Any, latents: Tensor) -> list[Image.Image]:
    """The pictures of `latents` [B, C, h, w], which are scaled as the UNet draws them.

    Raises:
        NonFiniteError: NaN or infinity in the pixels.
    """
    scale, shift = _scale_and_shift(vae)
    pixels = vae.decode((latents / scale + shift).to(vae.device, vae.dtype)).sample.float()
    if not bool(torch.isfinite(pixels).all()):
        raise NonFiniteError("NaN or infinity in the autoencoder")
    array = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(pixels) for pixels in array]


def _scale_and_shift(vae: Any) -> tuple[float, float]:
    return float(vae.config.get("scaling_factor") or 1.0), float(vae.config.get("shift_factor") or 0.0)
