"""The small decoder as a diffusers pipeline: it draws layouts, and edits pictures by drawing what changes in them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image, ImageChops
from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from genllava.errors import InvalidRequest, NonFiniteError
from genllava.images import load_image, unletterbox
from genllava.layout_decoder.keeping import change_mask
from genllava.layout_decoder.layout import LENGTH, as_text, phrases
from genllava.layout_decoder.transformer import LayoutTransformer2DModel
from genllava.options import StepCallback

_OUTPUTS: Final = ("pil", "np", "latent")


class LayoutDecoderPipeline(DiffusionPipeline):
    """Draws square pictures from layouts or prompt embeddings; with `image`, keeps what does not change of a picture.

    Args:
        transformer: predicts clean latents from noisy ones.
        vae: an autoencoder whose `encode` gives `latents`.
        scheduler: a `DPMSolverMultistepScheduler` of flows that takes predictions of the clean latents.
        text_encoder, tokenizer: of the ten phrases of a layout; see `layout.py`.
        resolution: side of the pictures that the autoencoder takes and makes, in pixels.
        output_size: side of the pictures that are drawn; an edit has the size of its source.
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
        words, foreign = self.tokenizer, self.tokenizer.unk_token_id
        given = dict.fromkeys(phrase for each in prompts for phrase in phrases(each))
        if unknown := [phrase for phrase in given if words.convert_tokens_to_ids(phrase) in (None, foreign)]:
            said = [f"{phrase!r}{_near(phrase, words.get_vocab())}" for phrase in unknown[:5]]
            raise InvalidRequest(f"this image decoder was not taught {', '.join(said)}: give phrases that it knows")
        ids = words([as_text(each) for each in prompts], return_tensors="pt").input_ids
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
        num_images_per_prompt: int = 1,
        source_prompt: str | list[str] | None = None,
        mask_image: Image.Image | None = None,
    ) -> ImagePipelineOutput:
        """Draw; with `image`, edit: what is drawn is laid over the source where it may change, all of it by default.

        Args:
            prompt: one layout, or a list of B.
            image: a picture or B of them, as `genllava.images.load_image` takes them. The result has its size.
            guidance_scale: above 1, classifier-free guidance against the empty layout.
            generator: one, or one for each picture; those of one prompt grow from theirs one after the other.
            prompt_embeds: [B, 10, C], in the place of prompts.
            negative_prompt_embeds: [B or 1, 10, C], of guidance's unconditional branch.
            output_type: `pil`; `np` for an array [B, H, W, 3] in 0..1; `latent` for the latents.
            callback_on_step_end: may return other latents, `{"latents": ...}`.
            source_prompt: the layout of `image`, one or B. Cells of which it says the same as `prompt`, on the same
                background, keep the pixels of the source exactly, see `keeping.py`.
            mask_image: white where an edit may change its source; black keeps the source's pixels. With
                `prompt_embeds`, `genllava.layout_decoder.keeping.change_mask` makes one of two layouts.

        Raises:
            InvalidRequest, ImageRejected, NonFiniteError.
        """
        if (prompt is None) == (prompt_embeds is None):
            raise InvalidRequest("say what to draw: give either prompt or prompt_embeds")
        if output_type not in _OUTPUTS:
            raise InvalidRequest(f"unknown output_type {output_type!r}: {', '.join(_OUTPUTS)}")
        counts = {"num_inference_steps": num_inference_steps, "num_images_per_prompt": num_images_per_prompt}
        for name, number in counts.items():
            if number < 1:
                raise InvalidRequest(f"{name} must be at least 1, not {number}")
        prompts = [] if prompt is None else [prompt] if isinstance(prompt, str) else list(prompt)
        if prompt is not None and not (prompts and all(each.strip() for each in prompts)):
            raise InvalidRequest("the prompt is empty: write a layout like 'meadow: at left large 3d cat'")
        if prompt_embeds is None:
            prompt_embeds = self.encode_prompt(prompts)
        count = len(prompt_embeds) if prompt_embeds.ndim else 0
        self._check_embeds("prompt_embeds", prompt_embeds, count)
        guided = guidance_scale > 1
        if guided and negative_prompt_embeds is None:
            negative_prompt_embeds = self.encode_prompt("")
        if negative_prompt_embeds is not None:
            self._check_embeds("negative_prompt_embeds", negative_prompt_embeds, count)
        sources = self._sources(image, count)
        masks = self._masks(sources, prompts, source_prompt, mask_image)

        device, dtype, rows = self._execution_device, self.transformer.dtype, count * num_images_per_prompt
        embeds = _rows(prompt_embeds.to(device, dtype), rows)
        null = _rows(negative_prompt_embeds.to(device, dtype), rows) if negative_prompt_embeds is not None else None
        side, channels = int(self.transformer.config["sample_size"]), int(self.transformer.config["out_channels"])
        shape = (rows, channels, side, side)
        generators = [generator] * rows if isinstance(generator, torch.Generator) else generator
        if generators is not None and len(generators) != rows:
            raise InvalidRequest(f"{len(generators)} generators for {rows} pictures: give one, or one for each")
        latents = randn_tensor(shape, generator=generators, device=torch.device(device), dtype=torch.float32)
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        self._num_timesteps = len(self.scheduler.timesteps)
        for step, time in enumerate(self.scheduler.timesteps):
            inputs = latents.to(dtype)
            made = self.transformer(inputs, time, embeds).sample.float()
            if guided:
                without = self.transformer(inputs, time, null).sample.float()
                made = without + guidance_scale * (made - without)
            latents = self.scheduler.step(made, time, latents, return_dict=False)[0]
            if not bool(torch.isfinite(latents).all()):
                raise NonFiniteError(f"NaN or infinity in the latents after step {step + 1} of {self._num_timesteps}")
            if callback_on_step_end is not None:
                told = callback_on_step_end(self, step, int(time), {"latents": latents}) or {}
                latents = told.get("latents", latents)
        images: Any = latents
        if output_type != "latent":
            images = self._edited(latents, sources, masks) if sources else self.decode_latents(latents)
        if output_type == "np":
            if len({picture.size for picture in images}) > 1:
                raise InvalidRequest("edits of pictures of several sizes make no array: leave output_type as pil")
            images = self.image_processor.pil_to_numpy(images)
        self.maybe_free_model_hooks()  # type: ignore[no-untyped-call]
        return ImagePipelineOutput(images=images)

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> list[Any]:
        """PIL pictures of latents [B, C, h, w].

        Raises:
            NonFiniteError: NaN or infinity in the pixels.
        """
        size = (int(self.config["output_size"]),) * 2
        return [each if each.size == size else each.resize(size) for each in self._squares(latents)]

    def _squares(self, latents: Tensor) -> list[Any]:
        """The pictures as the autoencoder makes them."""
        pixels = self.vae.decode(latents.to(self.vae.dtype) / self._scale).sample.float()
        if not bool(torch.isfinite(pixels).all()):
            raise NonFiniteError("NaN or infinity in the autoencoder")
        pictures: list[Any] = self.image_processor.postprocess(pixels.cpu(), output_type="pil")
        return pictures

    def _edited(
        self, latents: Tensor, sources: Sequence[Image.Image], masks: Sequence[Image.Image | None]
    ) -> list[Image.Image]:
        """Edits at the sizes of their sources, which come through where they are kept."""
        edits, each = [], len(latents) // len(sources)
        for number, square in enumerate(self._squares(latents)):
            source, mask = sources[number // each], masks[number // each]
            edit = unletterbox(square, source.size)
            edits.append(edit if mask is None else Image.composite(edit, source, mask))
        return edits

    def _sources(self, image: PipelineImageInput | None, count: int) -> list[Image.Image]:
        """One picture for each of `count` prompts; none where nothing is edited."""
        if image is None:
            return []
        given: list[Any] = list(image) if isinstance(image, list | tuple) else [image]
        if len(given) not in (1, count):
            raise InvalidRequest(f"{len(given)} pictures to edit for {count} prompts: give one, or one for each")
        sources = [load_image(each) for each in given]
        return sources * count if len(sources) == 1 else sources

    def _masks(
        self, sources: Sequence[Image.Image], prompts: Sequence[str], source_prompt: str | list[str] | None,
        mask_image: Image.Image | None,
    ) -> list[Image.Image | None]:  # fmt: skip
        """Where each of the sources may change; None: everywhere."""
        if not sources and (source_prompt is not None or mask_image is not None):
            raise InvalidRequest(
                "source_prompt and mask_image say what an edit keeps: give the picture to edit as image"
            )
        masks: list[Image.Image | None] = [None] * len(sources)
        if mask_image is not None:
            masks = [mask_image.convert("L").resize(each.size) for each in sources]
        if source_prompt is None:
            return masks
        if not prompts:
            raise InvalidRequest("source_prompt is compared with prompt: with prompt_embeds give mask_image")
        before = [source_prompt] * len(sources) if isinstance(source_prompt, str) else source_prompt
        if len(before) != len(sources):
            raise InvalidRequest(f"{len(before)} source_prompts for {len(sources)} edits: give one, or one for each")
        changes = [change_mask(one, other, s.size) for one, other, s in zip(before, prompts, sources, strict=True)]
        return [c if m is None else ImageChops.darker(c, m) for c, m in zip(changes, masks, strict=True)]

    def _check_embeds(self, name: str, embeds: Tensor, count: int) -> None:
        width, shape = int(self.transformer.config["cross_attention_dim"]), tuple(embeds.shape)
        if not count or shape not in ((count, LENGTH, width), (1, LENGTH, width)):
            raise InvalidRequest(f"{name} must be of shape [{count or 'B'}, {LENGTH}, {width}], not {list(shape)}")
        if not bool(torch.isfinite(embeds).all()):
            raise InvalidRequest(f"there is NaN or infinity in {name}: what made them is damaged, or too imprecise")

    @property
    def _scale(self) -> float:
        return float(self.vae.config.get("scaling_factor") or 1.0)


def _rows(given: Tensor, rows: int) -> Tensor:
    """[rows, ...] of [B, ...]: each as many times as there are pictures of it."""
    return given.repeat_interleave(rows // len(given), 0)


def _near(phrase: str, known: Iterable[str]) -> str:
    """What may have been meant."""
    near = difflib.get_close_matches(phrase, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
