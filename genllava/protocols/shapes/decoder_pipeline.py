"""The image decoder of the shapes model, as a diffusers pipeline of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.image_processor import PipelineImageInput
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

import genllava.layout_decoder.autoencoder_patch  # noqa: F401  (diffusers loads classes from imported modules only)
from genllava.errors import InvalidRequest
from genllava.images import letterbox, load_image
from genllava.options import StepCallback
from genllava.pipeline_output import Counters
from genllava.protocols.shapes.captions import check_captions, encode_captions
from genllava.protocols.shapes.denoising import denoise
from genllava.protocols.shapes.latents import decode, encode, vae_factor


class ShapesDecoderPipeline(DiffusionPipeline):
    """Draws square pictures from words or prompt embeddings, and edits them where its UNet has channels for a source.

    Args:
        unet: of C latent channels, or 2C: noise, then the latents of the source, zeros where there is none.
        vae: AutoencoderKL, AutoencoderTiny or `AutoencoderPatch`, of C latent channels.
        scheduler: any of diffusers'.
        text_encoder, tokenizer: condition the UNet on words; None where only a generation head does.
        resolution: side of the pictures, in pixels.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"  # type: ignore[assignment]
    _optional_components = ["text_encoder", "tokenizer"]  # noqa: RUF012
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    unet: Any
    vae: Any
    scheduler: Any
    text_encoder: CLIPTextModel | None
    tokenizer: PreTrainedTokenizerBase | None

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: torch.nn.Module,
        scheduler: object,
        text_encoder: CLIPTextModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        resolution: int = 128,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            unet=unet, vae=vae, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer
        )
        self.register_to_config(resolution=resolution)  # type: ignore[no-untyped-call]
        self._num_timesteps = 0

    @property
    def num_timesteps(self) -> int:
        """Denoising steps of the call that runs."""
        return self._num_timesteps

    def encode_prompt(self, prompt: str | Sequence[str]) -> Tensor:
        """Prompt embeddings [B, L, C] of one prompt or B.

        Raises:
            InvalidRequest: there is no text encoder, or it does not know the words.
        """
        if self.text_encoder is None or self.tokenizer is None:
            raise InvalidRequest("this decoder has no text encoder: give prompt_embeds")
        prompts = [prompt] if isinstance(prompt, str) else prompt
        check_captions(self.tokenizer, prompts)
        return encode_captions(self.text_encoder, self.tokenizer, prompts)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        image: PipelineImageInput | None = None,
        num_inference_steps: int = 4,
        guidance_scale: float = 1.0,
        image_guidance_scale: float = 1.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
    ) -> ImagePipelineOutput:
        """Draw; with `image`, edit.

        Args:
            prompt: one, or a list of B.
            image: a picture or B of them, as `genllava.images.load_image` takes them; made square with bars.
            prompt_embeds: [B, L, C], in the place of prompts.
            negative_prompt_embeds: [1, L, C], of guidance's unconditional branch.

        Raises:
            InvalidRequest, ImageRejected, NonFiniteError.
        """
        if prompt_embeds is None:
            if prompt is None:
                raise InvalidRequest("say what to draw: prompt or prompt_embeds")
            prompts = [prompt] if isinstance(prompt, str) else list(prompt)
            embeds = self.encode_prompt([*prompts, ""])
            prompt_embeds, negative_prompt_embeds = embeds[:-1], embeds[-1:]
        if negative_prompt_embeds is None:
            negative_prompt_embeds = torch.zeros_like(prompt_embeds[:1])
        count, side = len(prompt_embeds), int(self.config["resolution"])
        sources = None
        if image is not None:
            images: list[Any] = list(image) if isinstance(image, (list, tuple)) else [image]
            sources = encode(self.vae, [letterbox(load_image(each), side) for each in images]).cpu()
        generators = generator if isinstance(generator, list) else [generator or torch.Generator()] * count
        latents = denoise(
            self.unet,
            self.scheduler,
            prompt_embeds,
            negative_prompt_embeds,
            generators,
            (side // vae_factor(self.vae),) * 2,
            Counters(),
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            image_guidance_scale=image_guidance_scale,
            source_latents=sources,
            callback_on_step_end=None if callback_on_step_end is None else self.reports_to(callback_on_step_end),
        )
        return ImagePipelineOutput(images=decode(self.vae, latents))

    def reports_to(self, callback: StepCallback) -> Any:
        """What `denoise` calls after every step, as (step from 1, steps in all, latents), for diffusers' callback."""

        def ended(step: int, total: int, latents: Tensor) -> None:
            self._num_timesteps = total
            callback(self, step - 1, step, {"latents": latents})

        return ended
