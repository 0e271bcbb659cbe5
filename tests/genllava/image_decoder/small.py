"""What the tests of the image decoder share: small sizes, small pictures, plain diffusers to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from genllava.image_decoder import ImageDecoder

SMALL: dict[str, Any] = {"num_inference_steps": 2, "height": 64, "width": 64}
FREE_SIZE: dict[str, Any] = {"use_resolution_binning": False}
"""PixArt and Sana draw at the nearest of their trained sizes unless told otherwise."""


def options(name: str, **more: Any) -> dict[str, Any]:
    """Options with which a layout draws small and fast."""
    chosen = {**SMALL, **more}
    if name in ("pixart_sigma", "sana"):
        chosen |= FREE_SIZE
    if name == "sana":
        chosen["complex_human_instruction"] = None  # a thousand tokens before every prompt
    if name.startswith("longcat"):
        chosen["enable_prompt_rewrite"] = False
    if name.startswith("controlnet"):
        chosen.setdefault("control_image", picture(64, 64, seed=9))
    return chosen


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


def pixels(image: Any) -> Any:
    """[H, W, 3] integers that can be subtracted."""
    return np.asarray(image if isinstance(image, Image.Image) else image.image).astype(int)


def plain(pipeline: Any, seed: int, **arguments: Any) -> list[Image.Image]:
    """What the pipeline gives by itself."""
    pipeline.set_progress_bar_config(disable=True)
    try:
        arguments.setdefault("generator", torch.Generator().manual_seed(seed))
        images: list[Image.Image] = pipeline(**arguments).images
    finally:
        del pipeline._progress_bar_config
    return images


def drawn(pipeline: Any, prompt: str = "a red cat", seed: int = 3, name: str = "", **more: Any) -> Any:
    """The pixels of one drawing."""
    return pixels(ImageDecoder(pipeline).generate([prompt], seeds=[seed], options=options(name, **more))[0])
