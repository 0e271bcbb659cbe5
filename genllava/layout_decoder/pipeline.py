"""The small decoder as a diffusers pipeline: it draws layouts, and edits pictures into layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from genllava.errors import InvalidRequest, NonFiniteError
from genllava.images import letterbox, load_image
from genllava.layout_decoder.layout import as_text, phrases
from genllava.layout_decoder.transformer import LayoutTransformer2DModel
from genllava.options import StepCallback

PARTS: Final = ("transformer", "vae", "scheduler", "text_encoder", "tokenizer")


class LayoutDecoderPipeline(DiffusionPipeline):
    """Draws square pictures from layouts or prompt embeddings; with `image`, changes a picture into one.

    Args:
        transformer: of 2C channels in, C out: noisy latents, then those of a source, zeros where there is none.
        vae: an autoencoder whose `encode` gives `latents`.
        scheduler: a `DPMSolverMultistepScheduler` of flows that takes predictions of the clean latents.
        text_encoder, tokenizer: of the ten phrases of a layout; see `layout.py`.
        resolution: side of the pictures that the autoencoder takes and makes, in pixels.
        output_size: side of the pictures that come out.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"  # type: ignore[assignment]
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    transformer: Any
    vae: Any
    scheduler: Any
    text_encoder: Any
    tokenizer: Any

    def __init__(
        self,
        transformer: LayoutTransformer2DModel,
        vae: torch.nn.Module,
        scheduler: object,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        resolution: int = 240,
        output_size: int = 256,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            transformer=transformer, vae=vae, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer
        )
        self.register_to_config(resolution=resolution, output_size=output_size)  # type: ignore[no-untyped-call]
        self.image_processor = VaeImageProcessor(do_resize=False)
        self._num_timesteps = 0

    @property
    def num_timesteps(self) -> int:
        """Denoising steps of the call that runs."""
        return self._num_timesteps

    def encode_prompt(self, prompt: str | Sequence[str], device: Any = None) -> Tensor:
        """Prompt embeddings [B, 10, C] of one layout or B; an empty one is the unconditional branch.

        Raises:
            InvalidRequest: it is no layout, or has phrases that this decoder does not know.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        ids = self.tokenizer([as_text(each) for each in prompts], return_tensors="pt").input_ids
        if bool((ids == self.tokenizer.unk_token_id).any()):
            unknown = {p for each in prompts for p in phrases(each) if p not in self.tokenizer.get_vocab()}
            raise InvalidRequest(f"this image decoder does not know {', '.join(sorted(unknown)[:5])}")
        states: Tensor = self.text_encoder(input_ids=ids.to(self.text_encoder.device)).last_hidden_state
        return states

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        image: PipelineImageInput | None = None,
        num_inference_steps: int = 4,
        guidance_scale: float = 1.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> ImagePipelineOutput:
        """Draw; with `image`, edit.

        Args:
            prompt: one layout, or a list of B.
            image: a picture or B of them, as `genllava.images.load_image` takes them; made square with bars.
            guidance_scale: above 1, classifier-free guidance against the empty layout.
            prompt_embeds: [B, 10, C], in the place of prompts.
            negative_prompt_embeds: [B or 1, 10, C], of guidance's unconditional branch.
            output_type: `pil`, or `latent` for the latents.

        Raises:
            InvalidRequest, ImageRejected, NonFiniteError.
        """
        if prompt_embeds is None:
            if prompt is None:
                raise InvalidRequest("say what to draw: prompt or prompt_embeds")
            prompt_embeds = self.encode_prompt(prompt)
        if num_inference_steps < 1:
            raise InvalidRequest(f"num_inference_steps must be at least 1, not {num_inference_steps}")
        guided = guidance_scale > 1
        if guided and negative_prompt_embeds is None:
            negative_prompt_embeds = self.encode_prompt("")
        device, dtype, count = self._execution_device, self.transformer.dtype, len(prompt_embeds)
        embeds = prompt_embeds.to(device, dtype)
        side, channels = int(self.transformer.config["sample_size"]), int(self.transformer.config["out_channels"])
        source = self._source(image, count, (channels, side, side), device, dtype)
        generators = generator if isinstance(generator, list) else [generator or torch.Generator()] * count
        shape = (count, channels, side, side)
        latents = randn_tensor(shape, generator=generators, device=device, dtype=torch.float32)
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(num_inference_steps, device=device)
        self._num_timesteps = len(scheduler.timesteps)
        for step, time in enumerate(scheduler.timesteps):
            inputs = torch.cat([latents.to(dtype), source], 1)
            made = self.transformer(inputs, time, embeds).sample.float()
            if guided:
                assert negative_prompt_embeds is not None
                null = negative_prompt_embeds.to(device, dtype).expand_as(embeds)
                without = self.transformer(inputs, time, null).sample.float()
                made = without + guidance_scale * (made - without)
            latents = scheduler.step(made, time, latents, return_dict=False)[0]
            if not bool(torch.isfinite(latents).all()):
                raise NonFiniteError(f"NaN or infinity in the latents after step {step + 1} of {self._num_timesteps}")
            if callback_on_step_end is not None:
                callback_on_step_end(self, step, int(time), {"latents": latents})
        return ImagePipelineOutput(images=latents if output_type == "latent" else self.decode_latents(latents))

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> list[Any]:
        """PIL pictures of latents [B, C, h, w].

        Raises:
            NonFiniteError: NaN or infinity in the pixels.
        """
        pixels = self.vae.decode(latents.to(self.vae.dtype) / self._scale).sample.float()
        if not bool(torch.isfinite(pixels).all()):
            raise NonFiniteError("NaN or infinity in the autoencoder")
        pictures = self.image_processor.postprocess(pixels.cpu(), output_type="pil")
        size = (int(self.config["output_size"]),) * 2
        return [picture if picture.size == size else picture.resize(size) for picture in pictures]

    def _source(
        self, image: PipelineImageInput | None, count: int, shape: tuple[int, ...], device: Any, dtype: Any
    ) -> Tensor:
        """[B, C, h, w] latents of what is edited, zeros where nothing is."""
        if image is None:
            return torch.zeros((count, *shape), device=device, dtype=dtype)
        images: list[Any] = list(image) if isinstance(image, list | tuple) else [image]
        side = int(self.config["resolution"])
        pixels = self.image_processor.preprocess([letterbox(load_image(each), side) for each in images])
        encoded: Tensor = self.vae.encode(pixels.to(device, self.vae.dtype)).latents
        return encoded.to(dtype).expand(count, *shape) * self._scale

    @property
    def _scale(self) -> float:
        return float(self.vae.config.get("scaling_factor") or 1.0)
