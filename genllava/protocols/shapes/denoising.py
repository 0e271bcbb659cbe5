"""The one loop that draws: from noise to latents, under guidance, with any diffusers scheduler.

It serves UNets of C latent channels (they draw) and of 2C (they draw and edit: noise, then the latents of the
source picture, which are zeros where there is none), as InstructPix2Pix does (arXiv 2211.09800).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError
from genllava.options import CancelCheck
from genllava.pipeline_output import Counters
from genllava.protocols.shapes.steering import Steering

StepCallback = Callable[[int, int, Tensor], object]
"""Called with the step that ended (from 1), how many there are, and the latents [B, C, h, w]."""

MAX_STEPS: Final = 1000

# Schedulers of diffusers take NumPy's roots of tensors, which torch does not know how to copy; for nobody else to mend.
warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance (arXiv 2207.12598), with a scale of its own for the source picture of an edit.

    With predictions e for (text, source), (no text, source) and (no text, no source), the guided one is

        e(0, 0) + image_scale * (e(0, s) - e(0, 0)) + text_scale * (e(t, s) - e(0, s))

    and a prediction whose weight is zero in that sum is not computed.
    """

    text_scale: float
    image_scale: float
    has_source: bool

    @property
    def terms(self) -> list[tuple[bool, bool, float]]:
        """Whether each prediction sees the text, whether it sees the source, and its weight; the weights sum to 1."""
        image_scale = self.image_scale if self.has_source else 1.0
        terms = [(True, True, self.text_scale)]
        terms += [(False, True, image_scale - self.text_scale), (False, False, 1.0 - image_scale)]
        return [term for term in terms if term[2] != 0]

    @property
    def branches(self) -> int:
        """Predictions per sample and step: 1, 2 or 3."""
        return len(self.terms)

    def prompts(self, prompt: Tensor, null: Tensor) -> Tensor:
        """[branches * B, L, C], the prompts or nothing."""
        return torch.cat([prompt if text else null.expand_as(prompt) for text, _, _ in self.terms])

    def sources(self, source: Tensor) -> Tensor:
        """[branches * B, C, h, w], the sources or nothing."""
        return torch.cat([source if seen else torch.zeros_like(source) for _, seen, _ in self.terms])

    def combine(self, predictions: Tensor) -> Tensor:
        """[branches * B, C, h, w] to the guided prediction [B, C, h, w]."""
        parts = predictions.chunk(self.branches)
        return torch.stack([weight * part for (_, _, weight), part in zip(self.terms, parts, strict=True)]).sum(0)


def denoise(
    unet: Any,
    scheduler: Any,
    prompt_embeds: Tensor,
    null_embeds: Tensor,
    generators: Sequence[torch.Generator],
    latent_size: tuple[int, int],
    counters: Counters,
    *,
    num_inference_steps: int,
    guidance_scale: float,
    image_guidance_scale: float = 1.0,
    source_latents: Tensor | None = None,
    steering: Steering | None = None,
    callback_on_step_end: StepCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Tensor:
    """Draw B pictures: their final latents [B, C, h, w], float32.

    Args:
        unet: a UNet2DConditionModel.
        scheduler: any diffusers scheduler; it is copied, so calls do not disturb each other.
        prompt_embeds: [B, L, C_text].
        null_embeds: [1, L, C_text], the conditioning of an empty request.
        generators: B CPU generators, one per picture, so that a picture does not depend on its batch.
        latent_size: (h, w).
        counters: `unet_rows` grows with every step.
        source_latents: [B, C, h, w], what is edited, scaled as the UNet was trained; None for new pictures.
        steering: ControlNets, with the maps of these B pictures.

    Raises:
        InvalidRequest: bad settings, or an edit with a UNet that has no channels for a source.
        NonFiniteError: NaN or infinity in the conditioning or in the latents.
        Cancelled: `cancel` returned true; it is asked before every step.
    """
    _check_settings(num_inference_steps, guidance_scale, image_guidance_scale)
    _check_finite(prompt_embeds, "the conditioning")
    guidance = Guidance(guidance_scale, image_guidance_scale, source_latents is not None)
    device, channels = prompt_embeds.device, int(unet.config["out_channels"])
    prompts = guidance.prompts(prompt_embeds, null_embeds.to(prompt_embeds)).to(unet.dtype)
    shape = (len(prompt_embeds), channels, *latent_size)
    sources = _source_channels(unet, guidance, source_latents, shape, device)

    scheduler = type(scheduler).from_config(scheduler.config)
    _set_timesteps(scheduler, num_inference_steps, latent_size, device)
    options = _step_options(scheduler, generators)
    latents = randn_tensor(shape, generator=list(generators), device=device, dtype=torch.float32)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    total = len(scheduler.timesteps)
    for index, timestep in enumerate(scheduler.timesteps):
        if cancel is not None and cancel():
            raise Cancelled(f"cancelled after {index} of {total} steps")
        inputs = _unet_inputs(scheduler, latents, timestep, guidance, sources)
        inputs = inputs.to(unet.dtype)
        added = {} if steering is None else steering.residuals(inputs, timestep, prompts)
        predictions = unet(inputs, timestep, encoder_hidden_states=prompts, **added).sample
        counters.unet_rows += len(inputs)
        guided = guidance.combine(predictions.float())
        latents = scheduler.step(guided, timestep, latents, **options)[0]
        _check_finite(latents, f"the latents after step {index + 1} of {total}")
        if callback_on_step_end is not None:
            callback_on_step_end(index + 1, total, latents)
    return latents  # type: ignore[no-any-return]


def _check_settings(steps: int, guidance_scale: float, image_guidance_scale: float) -> None:
    if not 1 <= steps <= MAX_STEPS:
        raise InvalidRequest(f"num_inference_steps must be from 1 to {MAX_STEPS}, not {steps}")
    for name, scale in (("guidance_scale", guidance_scale), ("image_guidance_scale", image_guidance_scale)):
        if not 0 <= scale < float("inf"):
            raise InvalidRequest(f"{name} must be a number from 0, not {scale}")


def _check_finite(tensor: Tensor, what: str) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise NonFiniteError(f"NaN or infinity in {what}")


def _source_channels(
    unet: Any,
    guidance: Guidance,
    source_latents: Tensor | None,
    shape: tuple[int, ...],
    device: torch.device,
) -> Tensor | None:
    """What the UNet sees beside the noise; None for a UNet that sees nothing else."""
    if unet.config["in_channels"] == shape[1]:
        if source_latents is not None:
            raise InvalidRequest("this image decoder cannot edit: its UNet has no channels for a source")
        return None
    if source_latents is None:
        source_latents = torch.zeros(shape)
    return guidance.sources(source_latents.to(device, torch.float32))


def _unet_inputs(
    scheduler: Any, latents: Tensor, timestep: Tensor, guidance: Guidance, sources: Tensor | None
) -> Tensor:
    """[branches * B, C or 2C, h, w]."""
    if hasattr(scheduler, "scale_model_input"):  # those of flow matching do not have it
        latents = scheduler.scale_model_input(latents, timestep)
    inputs = torch.cat([latents] * guidance.branches)
    return inputs if sources is None else torch.cat([inputs, sources], dim=1)


def _step_options(scheduler: Any, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """Keyword arguments of the scheduler's steps; added noise comes from the generators of the pictures."""
    options: dict[str, Any] = {"return_dict": False}
    if "generator" in inspect.signature(scheduler.step).parameters:
        options["generator"] = list(generators)
    return options


def _set_timesteps(scheduler: Any, steps: int, latent_size: tuple[int, int], device: torch.device) -> None:
    options: dict[str, Any] = {}
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        # Even steps from 1 to 0. The scheduler's own choice puts the last step at sigma_min, where nothing
        # happens.
        options["sigmas"] = np.linspace(1.0, 1.0 / steps, steps)
    if scheduler.config.get("use_dynamic_shifting", False):
        options["mu"] = _dynamic_shift(scheduler.config, latent_size)
    scheduler.set_timesteps(steps, device=device, **options)


def _dynamic_shift(config: Any, latent_size: tuple[int, int]) -> float:
    """The shift for pictures of this size, for schedulers that adapt it: linear in the 2x2 patches."""
    tokens = latent_size[0] * latent_size[1] / 4
    low, high = config["base_image_seq_len"], config["max_image_seq_len"]
    slope = (config["max_shift"] - config["base_shift"]) / (high - low)
    return float(config["base_shift"] + slope * (tokens - low))
