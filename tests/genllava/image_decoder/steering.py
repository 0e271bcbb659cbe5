"""ControlNets for small random pipelines, and plain diffusers' pipelines with them."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import torch

from benchmarks.layouts.decoder_parts import controlnet

SHARED = ("in_channels", "patch_size", "attention_head_dim", "num_attention_heads", "joint_attention_dim")


def controlnet_for(pipeline: Any, seed: int = 0) -> Any:
    """A ControlNet with weights in its zero convolutions, so that its map changes what is drawn."""
    torch.manual_seed(seed)
    if hasattr(pipeline, "unet"):
        return controlnet(pipeline.unet).eval()
    config = {name: pipeline.transformer.config[name] for name in SHARED}
    config |= {name: pipeline.transformer.config[name] for name in ("pooled_projection_dim", "guidance_embeds")}
    axes = pipeline.transformer.config["axes_dims_rope"]
    made = diffusers.FluxControlNetModel(**config, axes_dims_rope=axes, num_layers=1, num_single_layers=1)
    for layer in (*made.controlnet_blocks, *made.controlnet_single_blocks, made.controlnet_x_embedder):
        torch.nn.init.normal_(layer.weight, std=0.3)
    return made.eval()


def plain_pipeline(kind: str, pipeline: Any, nets: list[Any]) -> Any:
    """diffusers' own pipeline of a class, made by hand of the components of another."""
    more = {"requires_safety_checker": False} if kind.startswith("StableDiffusionControl") else {}
    made = getattr(diffusers, kind)
    wanted = inspect.signature(made.__init__).parameters
    parts = {name: part for name, part in pipeline.components.items() if name in wanted}
    return made(**parts, controlnet=nets[0] if len(nets) == 1 else nets, **more)
