"""Public checkpoints put together: LLaVA, Stable Diffusion and InstructPix2Pix, with no training of ours."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from genllava.checkpoints import reading
from genllava.errors import CheckpointError
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.processing import load_processor
from genllava.tokens import SPECIAL_TOKENS


def assemble(
    llava: str | PathLike[str],
    diffusion: str | PathLike[str],
    editor: str | PathLike[str] | None = None,
    *,
    processor: str | PathLike[str] | None = None,
    torch_dtype: torch.dtype = torch.float32,
    **config: Any,
) -> GenLlavaPipeline:
    """A pipeline of public parts, conditioned through the caption bridge.

    LLaVA answers in its own chat format, and a picture's plan is the request itself, until the language model
    has been finetuned to choose tasks and to plan. The result is saved and loaded like any other pipeline.

    Args:
        llava: folder or hub id of a LLaVA in the layout of llava-hf.
        diffusion: folder or hub id of a Stable Diffusion 1.x or 2.x pipeline, or of InstructPix2Pix, which
            then draws and edits.
        editor: an InstructPix2Pix pipeline of the same family, whose UNet then does the edits.
        processor: where LLaVA's processor is, if not beside it.
        torch_dtype: of all weights.
        **config: settings of `GenLlavaPipeline`, such as `num_inference_steps`.

    Raises:
        CheckpointError: a part cannot be read, or the parts do not fit together.
    """
    with reading(Path(llava)):
        eyes_and_words: Any = LlavaForConditionalGeneration.from_pretrained(
            llava, dtype=torch_dtype, use_safetensors=True
        )
        reader = load_processor(llava if processor is None else processor)
    _add_tokens(eyes_and_words, reader)
    drawer = _load_diffusion(diffusion, torch_dtype)
    edits = None if editor is None else _load_diffusion(editor, torch_dtype)
    settings = {
        "guidance_scale": 7.5,
        "image_guidance_scale": 1.5,
        "num_inference_steps": 50,
        "resolution": drawer.unet.config["sample_size"] * drawer.vae_scale_factor,
        "scale_source_latents": False,
        **config,
    }
    return GenLlavaPipeline(
        llava=eyes_and_words.eval(),
        processor=reader,
        unet=drawer.unet,
        vae=drawer.vae,
        scheduler=drawer.scheduler,
        text_encoder=drawer.text_encoder,
        tokenizer=drawer.tokenizer,
        edit_unet=None if edits is None else edits.unet,
        conditioner="caption",
        native_prompts=True,
        **settings,
    )


def _load_diffusion(source: str | PathLike[str], torch_dtype: torch.dtype) -> Any:
    with reading(Path(source)):
        # A safety checker is the application's to add: it judges pictures, this package only makes them.
        pipeline = DiffusionPipeline.from_pretrained(
            str(source),
            dtype=torch_dtype,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    if not hasattr(pipeline, "unet") or getattr(pipeline, "text_encoder_2", None) is not None:
        raise CheckpointError(f"{source} is not in the layout of Stable Diffusion 1.x or 2.x")
    return pipeline


def _add_tokens(llava: Any, processor: LlavaProcessor) -> None:
    """Give the tokenizer our special tokens, and the model rows for them."""
    tokenizer = processor.tokenizer
    vocabulary = tokenizer.get_vocab()
    tokenizer.add_tokens([token for token in SPECIAL_TOKENS if token not in vocabulary], special_tokens=True)
    if len(tokenizer) > llava.get_input_embeddings().num_embeddings:
        # Rows made from the mean of the others would be equal to each other once rounded to half precision.
        llava.resize_token_embeddings(len(tokenizer), mean_resizing=False)
