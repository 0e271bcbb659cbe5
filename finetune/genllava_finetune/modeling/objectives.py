"""What a decoder learns: the denoising objective of its own scheduler, on the latents of its own autoencoder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from genllava.errors import CheckpointError
from genllava.image_decoder.conditioning import ENCODING, call_parameters, denoiser_of

_LENGTHS: Final = ("max_sequence_length", "complex_human_instruction")
_SAMPLES: Final = 0x5DEECE66D
"""Turns the seed of a picture's noise into that of its sample from the autoencoder."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """What D pictures are drawn from.

    Attributes:
        embeds: [D, L, C].
        pooled: [D, P], where the decoder takes a pooled embedding.
    """

    embeds: Tensor
    pooled: Tensor | None = None

    def rows(self, index: Tensor) -> Conditioning:
        """Those of some of the pictures."""
        return Conditioning(self.embeds[index], None if self.pooled is None else self.pooled[index])

    def replaced(self, where: Tensor, by: Conditioning) -> Conditioning:
        """With the conditioning `by` of one picture in the place of some, where [D] is true."""
        embeds = torch.where(where[:, None, None], by.embeds.to(self.embeds), self.embeds)
        if self.pooled is None or by.pooled is None:
            return Conditioning(embeds)
        return Conditioning(embeds, torch.where(where[:, None], by.pooled.to(self.pooled), self.pooled))


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Random numbers of D pictures.

    Attributes:
        latents: [D, c, h, w], normal: the noise that is mixed in.
        uniform, normal: [D], from which the times of diffusion and of flows are drawn.
        dropped: [D], uniform: decides what conditioning is left out.
    """

    latents: Tensor
    uniform: Tensor
    normal: Tensor
    dropped: Tensor


def draw_noise(seeds: Sequence[int], shape: Sequence[int], device: torch.device) -> Noise:
    """The random numbers that grow from each picture's seed, whatever its batch.

    Args:
        shape: (c, h, w) of latents.
    """
    rows = []
    for seed in seeds:
        source = torch.Generator().manual_seed(int(seed))
        latents = torch.randn(tuple(shape), generator=source)
        uniform, dropped = torch.rand(2, generator=source)
        rows.append((latents, uniform, torch.randn((), generator=source), dropped))
    return Noise(*(torch.stack(column).to(device) for column in zip(*rows, strict=True)))


class NoiseSchedule:
    """How a scheduler mixes noise into latents, and what its network predicts.

    Args:
        scheduler: any of diffusers': one of discrete diffusion (`prediction_type` epsilon, v_prediction or sample), or
            of flows (FlowMatchEulerDiscreteScheduler, or `use_flow_sigmas`), whose times are logit-normal.

    Raises:
        CheckpointError: its network predicts something else.
    """

    def __init__(self, scheduler: Any) -> None:
        config = scheduler.config
        self.steps = int(config["num_train_timesteps"])
        matching = type(scheduler).__name__.startswith("FlowMatch")
        self.flows = matching or bool(config.get("use_flow_sigmas"))
        default = "flow_prediction" if matching else "epsilon"
        self.prediction = str(config.get("prediction_type") or default)
        known = ("epsilon", "sample", "flow_prediction" if self.flows else "v_prediction")
        if self.prediction not in known:
            name = type(scheduler).__name__
            raise CheckpointError(f"{name}: a network that predicts {self.prediction} is not trained here")
        self._shift = float(config.get("flow_shift", 1.0) or 1.0)
        self._sigmas: Tensor | None = type(scheduler).from_config(config).sigmas if matching else None
        self._diffusion: Any = None
        if not self.flows:
            names = inspect.signature(DDPMScheduler.__init__).parameters
            kept = {name: value for name, value in config.items() if name in names}
            make: Any = DDPMScheduler
            self._diffusion = make(**{**kept, "prediction_type": self.prediction})

    def mix(self, latents: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """Latents with noise, as of some time; that time [D], as the network takes it; and what it should predict."""
        if self.flows:
            times = torch.sigmoid(noise.normal)
            if self._sigmas is not None:
                index = (times * self.steps).long().clamp(max=self.steps - 1)
                sigmas = self._sigmas.to(times.device)[index]
            else:
                sigmas = self._shift * times / (1 + (self._shift - 1) * times)
            level = sigmas[:, None, None, None]
            noisy = (1 - level) * latents + level * noise.latents
            wanted = {"flow_prediction": noise.latents - latents, "sample": latents, "epsilon": noise.latents}
            return noisy, sigmas * self.steps, wanted[self.prediction]
        steps = (noise.uniform * self.steps).long().clamp(max=self.steps - 1)
        noisy = self._diffusion.add_noise(latents, noise.latents, steps)
        if self.prediction == "v_prediction":
            return noisy, steps, self._diffusion.get_velocity(latents, noise.latents, steps)
        return noisy, steps, noise.latents if self.prediction == "epsilon" else latents


def image_latents(vae: Any, pixels: Tensor, seeds: Sequence[int] | None = None, *, scaled: bool = True) -> Tensor:
    """Latents [D, c, h, w] in float32, as a pipeline's network draws them.

    Args:
        vae: any autoencoder of diffusers, or one with `latents`.
        pixels: [D, 3, H, W] in -1..1.
        seeds: of samples from the autoencoder's distribution, one for each picture; None: its mode.
        scaled: by the autoencoder's factor and shift.
    """
    with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
        encoded = vae.encode(pixels.to(vae.dtype))
        spread = getattr(encoded, "latent_dist", None)
        if spread is None:
            latents: Tensor = (encoded.latents if hasattr(encoded, "latents") else encoded.latent).float()
        elif seeds is None:
            latents = spread.mode().float()
        else:
            shape = tuple(spread.mean.shape[1:])
            sources = [torch.Generator().manual_seed(int(seed) ^ _SAMPLES) for seed in seeds]
            drawn = [torch.randn(shape, generator=source) for source in sources]
            latents = spread.mean.float() + spread.std.float() * torch.stack(drawn).to(spread.mean.device)
    if not scaled:
        return latents
    config = vae.config
    mean, deviation = (config.get(name) for name in ("latents_mean", "latents_std"))
    scale = float(config.get("scaling_factor") or 1.0)
    if mean is not None and deviation is not None:
        mean, deviation = (latents.new_tensor(each).view(1, -1, 1, 1) for each in (mean, deviation))
        return (latents - mean) * scale / deviation
    return (latents - float(config.get("shift_factor") or 0.0)) * scale


def encode_prompts(pipeline: Any, prompts: Sequence[str], device: torch.device) -> Conditioning:
    """What a pipeline's own text encoders make of prompts; gradients flow where their weights take them.

    Raises:
        CheckpointError: it has no text encoder.
    """
    call = call_parameters(pipeline)
    wanted: dict[str, Any] = {"prompt": list(prompts), "prompt_2": None, "prompt_3": None, "device": device}
    wanted |= {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    wanted |= {name: call[name].default for name in _LENGTHS if name in call}
    encode = getattr(pipeline, "encode_prompt", None) or getattr(pipeline, "_encode_prompt", None)
    if encode is None or getattr(pipeline, "text_encoder", None) is None:
        raise CheckpointError(f"{type(pipeline).__name__} has no text encoder, which the loss on its captions needs")
    takes = inspect.signature(encode).parameters
    with ENCODING:
        encoded = encode(**{name: value for name, value in wanted.items() if name in takes})
    tensors = [x for x in (encoded if isinstance(encoded, tuple) else [encoded]) if isinstance(x, Tensor)]
    embeds = next(x for x in tensors if x.ndim == 3)
    if "pooled_prompt_embeds" not in call:
        return Conditioning(embeds)
    return Conditioning(embeds, next(x for x in tensors if x.ndim == 2 and len(x) == len(prompts)))


def relative_error(made: Tensor, wanted: Tensor) -> Tensor:
    """[D] mean squared errors, each divided by the variance of what was wanted."""
    wanted = wanted.float()
    error = (made.float() - wanted).square().flatten(1).mean(1)
    return error / wanted.flatten(1).var(1).clamp(min=1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Sizes that some networks are told: of D pictures before they were scaled and cut, and where; height first."""

    original: Tensor
    crops: Tensor

    def rows(self, index: Tensor) -> Canvas:
        """Those of some of the pictures."""
        return Canvas(self.original[index], self.crops[index])


class Denoiser:
    """A pipeline's network, as it is trained.

    Attributes:
        edits: whether it has a place for a source.
        scaled_source: whether that source's latents are scaled as those that are drawn.
    """

    network: ClassVar[tuple[str, ...]] = ()
    """Names of the classes of networks that are of this kind."""
    edits = False
    scaled_source = True

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.schedule = NoiseSchedule(pipeline.scheduler)

    @property
    def resolution(self) -> int:
        """Side of the pictures that the pipeline was made for, in pixels.

        Raises:
            CheckpointError: it does not say.
        """
        own = self.pipeline.config.get("resolution")
        side = denoiser_of(self.pipeline).config.get("sample_size")
        side = side or getattr(self.pipeline, "default_sample_size", None)
        if own is None and not isinstance(side, int):
            raise CheckpointError(f"{type(self.pipeline).__name__} does not say what size it draws at")
        return int(own or side * self.pipeline.vae_scale_factor)

    def predict(
        self, network: nn.Module, noisy: Tensor, times: Tensor, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        """What the network predicts, [D, c, h, w].

        Args:
            noisy: [D, c, h, w].
            times: [D].
            source: [D, c, h, w] latents of what is edited; None: nothing is.
            seen: [D], whether the network sees that.
        """
        raise NotImplementedError

    def errors(
        self, network: nn.Module, latents: Tensor, noise: Noise, given: Conditioning, source: Tensor | None,
        seen: Tensor, canvas: Canvas,
    ) -> Tensor:  # fmt: skip
        """[D] mean squared errors of what the network predicts."""
        noisy, times, wanted = self.schedule.mix(latents, noise)
        dtype = next(weight.dtype for weight in network.parameters() if weight.is_floating_point())
        pooled = None if given.pooled is None else given.pooled.to(dtype)
        given = Conditioning(given.embeds.to(dtype), pooled)
        source = None if source is None else source.to(dtype)
        predicted = self.predict(network, noisy.to(dtype), times, given, source, seen, canvas)
        return (predicted.float() - wanted.float()).square().flatten(1).mean(1)
