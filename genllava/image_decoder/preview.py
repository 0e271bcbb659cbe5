"""A cheap look at the latents of a step."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from torch import Tensor

_MOST_LATENTS: Final = 32
"""Along the longer side; larger latents are averaged down before they are decoded."""


@torch.no_grad()
def preview(pipeline: Any, latents: Tensor, aspect: float) -> Image.Image | None:
    """What the first of `latents` shows, small.

    Args:
        latents: as a step of `pipeline` leaves them: [B, C, h, w], or packed [B, h / 2 * w / 2, C * 4].
        aspect: width by height of the picture, to unpack them by.

    Returns:
        None where the pipeline's latents are in a form that is not known here, or what they decode to is not finite.
    """
    vae = getattr(pipeline, "vae", None)
    if vae is None or not hasattr(vae, "decode"):
        return None
    grid = _unpacked(pipeline, latents[:1], aspect)
    config = vae.config
    channels = config.get("latent_channels") or config.get("z_dim")
    if grid is None or grid.shape[1] != channels:
        return None
    shrink = max(1, max(grid.shape[-2:]) // _MOST_LATENTS)
    small = torch.nn.functional.avg_pool2d(grid.float(), shrink, ceil_mode=True)
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        mean, deviation = (small.new_tensor(config[key]).view(1, -1, 1, 1) for key in ("latents_mean", "latents_std"))
        small = small * deviation + mean
    else:
        small = small / (config.get("scaling_factor") or 1.0) + (config.get("shift_factor") or 0.0)
    small = small.to(vae.device, vae.dtype)
    has_frames = "z_dim" in config  # Qwen-Image's autoencoder is one for videos
    pixels = vae.decode(small[:, :, None] if has_frames else small, return_dict=False)[0]
    pixels = (pixels[:, :, 0] if has_frames else pixels).float()
    if not bool(torch.isfinite(pixels).all()):
        return None
    array = (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return VaeImageProcessor.numpy_to_pil(array)[0]  # type: ignore[no-any-return]


def _unpacked(pipeline: Any, latents: Tensor, aspect: float) -> Tensor | None:
    """[1, C, h, w] of latents that may be packed two by two into a sequence."""
    if latents.ndim == 4:
        return latents
    if latents.ndim != 3 or not hasattr(pipeline, "_unpack_latents"):
        return None
    cells = latents.shape[1]
    sizes = [(h, cells // h) for h in range(1, cells + 1) if cells % h == 0]
    high, wide = min(sizes, key=lambda size: abs(math.log(size[1] / size[0] / aspect)))
    packed = latents.view(1, high, wide, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return packed.reshape(1, packed.shape[1], high * 2, wide * 2)
