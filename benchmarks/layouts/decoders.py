"""Diffusers pipelines in the layouts of public ones: random weights, a megabyte or less, saved by diffusers itself.

They draw at sizes down to 16 pixels; those that come with a size of their own (Flux, Qwen-Image, LongCat, ...: 1024)
want `height` and `width`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers as df
import torch
import transformers as hf

from benchmarks.layouts import vision_language
from benchmarks.layouts.decoder_parts import (
    SEED,
    controlnet,
    ddim,
    flow,
    flux_parts,
    longcat_parts,
    opened_patches,
    qwen_image_parts,
    sd3_parts,
    sd_parts,
    sdxl_parts,
    t5,
    t5_words,
    vae,
    vision_language_parts,
)
from benchmarks.layouts.tokenizers import byte_level


def _save(folder: Path, kind: Any, make: Callable[[], dict[str, Any]], **config: Any) -> None:
    torch.manual_seed(SEED)
    pipeline = kind(**make(), **config)
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    pipeline.save_pretrained(folder)


_NO_CHECKER: Final = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def stable_diffusion_15(folder: Path) -> None:
    """Stable Diffusion 1.5."""
    _save(folder, df.StableDiffusionPipeline, sd_parts, **_NO_CHECKER)


def stable_diffusion_21(folder: Path) -> None:
    """Stable Diffusion 2.1: predicts velocities, with linear projections in its attention."""

    def parts() -> dict[str, Any]:
        made = sd_parts(use_linear_projection=True, attention_head_dim=(4, 8))
        return {**made, "scheduler": ddim(prediction_type="v_prediction")}

    _save(folder, df.StableDiffusionPipeline, parts, **_NO_CHECKER)


def instruct_pix2pix(folder: Path) -> None:
    """InstructPix2Pix: the UNet reads the source's latents beside the noise."""
    _save(folder, df.StableDiffusionInstructPix2PixPipeline, lambda: sd_parts(channels=8), **_NO_CHECKER)


def controlnet_sd15(folder: Path) -> None:
    """A ControlNet on Stable Diffusion 1.5."""

    def parts() -> dict[str, Any]:
        made = sd_parts()
        return {**made, "controlnet": controlnet(made["unet"])}

    _save(folder, df.StableDiffusionControlNetPipeline, parts, **_NO_CHECKER)


def sdxl(folder: Path) -> None:
    """SDXL: two text encoders, a pooled embedding, sizes as conditioning."""
    _save(folder, df.StableDiffusionXLPipeline, sdxl_parts, add_watermarker=False)


def sdxl_instruct_pix2pix(folder: Path) -> None:
    """InstructPix2Pix on SDXL."""
    kind = df.StableDiffusionXLInstructPix2PixPipeline
    _save(folder, kind, lambda: sdxl_parts(channels=8), add_watermarker=False)


def controlnet_sdxl(folder: Path) -> None:
    """A ControlNet on SDXL."""

    def parts() -> dict[str, Any]:
        made = sdxl_parts()
        return {**made, "controlnet": controlnet(made["unet"])}

    _save(folder, df.StableDiffusionXLControlNetPipeline, parts, add_watermarker=False)


def stable_diffusion_35(folder: Path) -> None:
    """Stable Diffusion 3.5: three text encoders."""
    _save(folder, df.StableDiffusion3Pipeline, sd3_parts)


def stable_diffusion_35_without_t5(folder: Path) -> None:
    """Stable Diffusion 3.5 as it is often saved, without its largest text encoder."""
    _save(folder, df.StableDiffusion3Pipeline, lambda: sd3_parts(large=False))


def flux(folder: Path) -> None:
    """Flux.1 dev: packed latents, guidance as an input."""
    _save(folder, df.FluxPipeline, flux_parts)


def flux_kontext(folder: Path) -> None:
    """Flux.1 Kontext: Flux that reads a source picture beside the noise."""
    _save(folder, df.FluxKontextPipeline, flux_parts)


def pixart_sigma(folder: Path) -> None:
    """PixArt-Sigma: T5 with a mask."""

    def parts() -> dict[str, Any]:
        words = t5_words()
        transformer = df.PixArtTransformer2DModel(
            sample_size=32,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=4,
            in_channels=4,
            out_channels=8,
            cross_attention_dim=32,
            caption_channels=32,
            norm_type="ada_norm_single",
            use_additional_conditions=False,
        )
        return {
            "tokenizer": words,
            "text_encoder": t5(words),
            "vae": vae(scaling_factor=0.13025),
            "transformer": opened_patches(transformer),
            "scheduler": df.DPMSolverMultistepScheduler(beta_schedule="linear", algorithm_type="dpmsolver++"),
        }

    _save(folder, df.PixArtSigmaPipeline, parts)


def sana(folder: Path) -> None:
    """Sana: Gemma 2 as its text encoder, a deep autoencoder."""

    def parts() -> dict[str, Any]:
        words = byte_level(["<pad>", "<eos>", "<bos>", "<unk>"], bos="<bos>", eos="<eos>", pad="<pad>", begins=True)
        words.padding_side = "right"
        gemma = hf.Gemma2Config(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            pad_token_id=words.pad_token_id,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
        )
        vae = df.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=8,
            encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"),
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
            downsample_block_type="Conv",
            upsample_block_type="interpolate",
            scaling_factor=0.41407,
        )
        transformer = df.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=8,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=32,
            sample_size=32,
        )
        return {
            "tokenizer": words,
            "text_encoder": hf.Gemma2Model(gemma),
            "vae": vae,
            "transformer": transformer,
            "scheduler": df.FlowMatchEulerDiscreteScheduler(shift=3.0),
        }

    _save(folder, df.SanaPipeline, parts)


def qwen_image(folder: Path) -> None:
    """Qwen-Image: Qwen2.5-VL as its text encoder, prompts of any length with a mask."""
    _save(folder, df.QwenImagePipeline, qwen_image_parts)


def qwen_image_edit(folder: Path) -> None:
    """Qwen-Image-Edit: its text encoder also reads the source picture."""
    _save(folder, df.QwenImageEditPipeline, lambda: qwen_image_parts(processor=True))


def longcat_image(folder: Path) -> None:
    """LongCat-Image: Qwen2.5-VL as its text encoder, which may rewrite the prompt first."""
    _save(folder, df.LongCatImagePipeline, longcat_parts)


def longcat_image_edit(folder: Path) -> None:
    """LongCat-Image-Edit: works at a million pixels whatever it is asked."""
    _save(folder, df.LongCatImageEditPipeline, longcat_parts)


def dreamlite(folder: Path) -> None:
    """DreamLite: Qwen3-VL as its text encoder; draws without a picture and edits with one."""

    def parts() -> dict[str, Any]:
        model, reader = vision_language_parts(vision_language.qwen3_vl)
        torch.manual_seed(SEED)
        return {
            "text_encoder": model,
            "tokenizer": reader.tokenizer,
            "processor": reader,
            "vae": df.AutoencoderTiny(
                encoder_block_out_channels=(8,) * 4,
                decoder_block_out_channels=(8,) * 4,
                num_encoder_blocks=(1, 1, 1, 1),
                num_decoder_blocks=(1, 1, 1, 1),
            ),
            "unet": df.DreamLiteUNetModel(
                sample_size=8,
                block_out_channels=(16, 16, 32),
                layers_per_block=1,
                norm_num_groups=8,
                cross_attention_dim=32,
                attention_head_dim=8,
                addition_embed_type="time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=16,
            ),
            "scheduler": flow(use_dynamic_shifting=True),
        }

    _save(folder, df.DreamLitePipeline, parts)


LAYOUTS: Final[dict[str, Callable[[Path], None]]] = {
    "sd15": stable_diffusion_15,
    "sd21": stable_diffusion_21,
    "sdxl": sdxl,
    "sd35": stable_diffusion_35,
    "sd35_without_t5": stable_diffusion_35_without_t5,
    "flux": flux,
    "pixart_sigma": pixart_sigma,
    "sana": sana,
    "qwen_image": qwen_image,
    "longcat_image": longcat_image,
    "dreamlite": dreamlite,
    "controlnet_sd15": controlnet_sd15,
    "controlnet_sdxl": controlnet_sdxl,
    "instruct_pix2pix": instruct_pix2pix,
    "sdxl_instruct_pix2pix": sdxl_instruct_pix2pix,
    "flux_kontext": flux_kontext,
    "qwen_image_edit": qwen_image_edit,
    "longcat_image_edit": longcat_image_edit,
}
"""Every layout, by name: a function that saves it into a folder."""
