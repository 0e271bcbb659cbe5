"""Diffusers pipelines in the layouts of public ones: random weights, a megabyte or less, saved by diffusers itself.

They draw at sizes down to 16 pixels; those that come with a size of their own (Flux, Qwen-Image, LongCat, ...: 1024)
want `height` and `width`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers as df
import torch
import transformers as hf
from tokenizers import processors

from benchmarks.layouts import vision_language
from benchmarks.layouts.tokenizers import byte_level

_CLIP: Final = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_UNET: Final = {
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 4,
}
_SEED: Final = 0


def _clip_words() -> Any:
    begin, end = "<|startoftext|>", "<|endoftext|>"
    words = _ended(byte_level([begin, end], bos=begin, eos=end, pad=end))
    words.model_max_length = 77
    return words


def _ended(words: Any) -> Any:
    """A tokenizer that ends every text by itself, and begins it if it can."""
    ends = [token for token in (words.bos_token, words.eos_token) if token is not None]
    single = f"{words.bos_token or ''} $A {words.eos_token}".strip()
    ids = [(token, words.convert_tokens_to_ids(token)) for token in ends]
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return words


def _clip(words: Any, projection: int | None = None, layers: int = 2) -> Any:
    config = hf.CLIPTextConfig(
        **{**_CLIP, "num_hidden_layers": layers},
        vocab_size=len(words),
        max_position_embeddings=77,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        projection_dim=projection or 32,
    )
    return (hf.CLIPTextModel if projection is None else hf.CLIPTextModelWithProjection)(config)


def _t5_words() -> Any:
    return _ended(byte_level(["<pad>", "</s>", "<unk>"], eos="</s>", pad="<pad>"))


def _t5(words: Any) -> Any:
    config = hf.T5Config(
        vocab_size=len(words), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=words.pad_token_id
    )
    return hf.T5EncoderModel(config)


def _vae(channels: int = 4, **config: Any) -> Any:
    """The autoencoder of Stable Diffusion: a latent is eight pixels wide."""
    return df.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        norm_num_groups=4,
        latent_channels=channels,
        **{"sample_size": 64, **config},
    )


def _flux_vae() -> Any:
    return _vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)


def _ddim(**config: Any) -> Any:
    return df.DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1, **config
    )


def _flow(**config: Any) -> Any:
    return df.FlowMatchEulerDiscreteScheduler(**config)


def _save(folder: Path, kind: Any, make: Callable[[], dict[str, Any]], **config: Any) -> None:
    torch.manual_seed(_SEED)
    pipeline = kind(**make(), **config)
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    pipeline.save_pretrained(folder)


def _sd_parts(channels: int = 4, **unet: Any) -> dict[str, Any]:
    words = _clip_words()
    return {
        "vae": _vae(scaling_factor=0.18215),
        "text_encoder": _clip(words),
        "tokenizer": words,
        "unet": df.UNet2DConditionModel(
            sample_size=8,
            in_channels=channels,
            out_channels=4,
            cross_attention_dim=32,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            **{**_UNET, **unet},
        ),
        "scheduler": _ddim(),
    }


_NO_CHECKER: Final = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def stable_diffusion_15(folder: Path) -> None:
    """Stable Diffusion 1.5."""
    _save(folder, df.StableDiffusionPipeline, _sd_parts, **_NO_CHECKER)


def stable_diffusion_21(folder: Path) -> None:
    """Stable Diffusion 2.1: predicts velocities, with linear projections in its attention."""

    def parts() -> dict[str, Any]:
        made = _sd_parts(use_linear_projection=True, attention_head_dim=(4, 8))
        return {**made, "scheduler": _ddim(prediction_type="v_prediction")}

    _save(folder, df.StableDiffusionPipeline, parts, **_NO_CHECKER)


def instruct_pix2pix(folder: Path) -> None:
    """InstructPix2Pix: the UNet reads the source's latents beside the noise."""
    _save(folder, df.StableDiffusionInstructPix2PixPipeline, lambda: _sd_parts(channels=8), **_NO_CHECKER)


def _controlnet(unet: Any) -> Any:
    return df.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 8, 8))


def controlnet_sd15(folder: Path) -> None:
    """A ControlNet on Stable Diffusion 1.5."""

    def parts() -> dict[str, Any]:
        made = _sd_parts()
        return {**made, "controlnet": _opened(_controlnet(made["unet"]))}

    _save(folder, df.StableDiffusionControlNetPipeline, parts, **_NO_CHECKER)


def _opened(controlnet: Any) -> Any:
    """With weights in its zero convolutions, so that the control picture changes what is drawn."""
    for block in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.3)
    torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=0.3)
    return controlnet


def _sdxl_parts(channels: int = 4) -> dict[str, Any]:
    words, words_2 = _clip_words(), _clip_words()
    return {
        "vae": _vae(scaling_factor=0.13025, force_upcast=True),
        "text_encoder": _clip(words),
        "text_encoder_2": _clip(words_2, projection=32),
        "tokenizer": words,
        "tokenizer_2": words_2,
        "unet": df.UNet2DConditionModel(
            sample_size=8,
            in_channels=channels,
            out_channels=4,
            cross_attention_dim=64,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=80,  # 32 pooled and 6 times 8 of sizes
            use_linear_projection=True,
            **_UNET,
        ),
        "scheduler": df.EulerDiscreteScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        ),
    }


def sdxl(folder: Path) -> None:
    """SDXL: two text encoders, a pooled embedding, sizes as conditioning."""
    _save(folder, df.StableDiffusionXLPipeline, _sdxl_parts, add_watermarker=False)


def sdxl_instruct_pix2pix(folder: Path) -> None:
    """InstructPix2Pix on SDXL."""
    kind = df.StableDiffusionXLInstructPix2PixPipeline
    _save(folder, kind, lambda: _sdxl_parts(channels=8), add_watermarker=False)


def controlnet_sdxl(folder: Path) -> None:
    """A ControlNet on SDXL."""

    def parts() -> dict[str, Any]:
        made = _sdxl_parts()
        return {**made, "controlnet": _opened(_controlnet(made["unet"]))}

    _save(folder, df.StableDiffusionXLControlNetPipeline, parts, add_watermarker=False)


def _sd3_parts(t5: bool = True) -> dict[str, Any]:
    words, words_2, words_3 = _clip_words(), _clip_words(), _t5_words()
    transformer = df.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=96,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    return {
        "transformer": _opened_patches(transformer),
        "vae": _vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": _clip(words, projection=32),
        "tokenizer": words,
        "text_encoder_2": _clip(words_2, projection=32),
        "tokenizer_2": words_2,
        "text_encoder_3": _t5(words_3) if t5 else None,
        "tokenizer_3": words_3 if t5 else None,
        "scheduler": _flow(shift=3.0),
    }


def _opened_patches(transformer: Any) -> Any:
    """Without initial zeros in the layer that writes the latents."""
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    return transformer


def stable_diffusion_35(folder: Path) -> None:
    """Stable Diffusion 3.5: three text encoders."""
    _save(folder, df.StableDiffusion3Pipeline, _sd3_parts)


def stable_diffusion_35_without_t5(folder: Path) -> None:
    """Stable Diffusion 3.5 as it is often saved, without its largest text encoder."""
    _save(folder, df.StableDiffusion3Pipeline, lambda: _sd3_parts(t5=False))


def _flux_parts() -> dict[str, Any]:
    words, words_2 = _clip_words(), _t5_words()
    return {
        "transformer": df.FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ),
        "vae": _flux_vae(),
        "text_encoder": _clip(words),
        "tokenizer": words,
        "text_encoder_2": _t5(words_2),
        "tokenizer_2": words_2,
        "scheduler": _flow(shift=3.0, use_dynamic_shifting=True),
    }


def flux(folder: Path) -> None:
    """Flux.1 dev: packed latents, guidance as an input."""
    _save(folder, df.FluxPipeline, _flux_parts)


def flux_kontext(folder: Path) -> None:
    """Flux.1 Kontext: Flux that reads a source picture beside the noise."""
    _save(folder, df.FluxKontextPipeline, _flux_parts)


def pixart_sigma(folder: Path) -> None:
    """PixArt-Sigma: T5 with a mask."""

    def parts() -> dict[str, Any]:
        words = _t5_words()
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
            "text_encoder": _t5(words),
            "vae": _vae(scaling_factor=0.13025),
            "transformer": _opened_patches(transformer),
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


def _vision_language(layout: Callable[[Path], None]) -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        layout(Path(folder))
        model = hf.AutoModelForImageTextToText.from_pretrained(folder)
        return model, hf.AutoProcessor.from_pretrained(folder)


def _qwen_image_parts(processor: bool = False) -> dict[str, Any]:
    model, reader = _vision_language(vision_language.qwen25_vl)
    torch.manual_seed(_SEED)
    made = {
        "text_encoder": model,
        "tokenizer": reader.tokenizer,
        "transformer": df.QwenImageTransformer2DModel(
            in_channels=64,
            out_channels=16,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            axes_dims_rope=(8, 4, 4),
        ),
        "vae": df.AutoencoderKLQwenImage(base_dim=8, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        "scheduler": _flow(shift=1.0, use_dynamic_shifting=True),
    }
    return {**made, "processor": reader} if processor else made


def qwen_image(folder: Path) -> None:
    """Qwen-Image: Qwen2.5-VL as its text encoder, prompts of any length with a mask."""
    _save(folder, df.QwenImagePipeline, _qwen_image_parts)


def qwen_image_edit(folder: Path) -> None:
    """Qwen-Image-Edit: its text encoder also reads the source picture."""
    _save(folder, df.QwenImageEditPipeline, lambda: _qwen_image_parts(processor=True))


def _longcat_parts() -> dict[str, Any]:
    model, reader = _vision_language(vision_language.qwen25_vl)
    torch.manual_seed(_SEED)
    return {
        "text_encoder": model,
        "tokenizer": reader.tokenizer,
        "text_processor": reader,
        "transformer": df.LongCatImageTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
        ),
        "vae": _flux_vae(),
        "scheduler": _flow(use_dynamic_shifting=True),
    }


def longcat_image(folder: Path) -> None:
    """LongCat-Image: Qwen2.5-VL as its text encoder, which may rewrite the prompt first."""
    _save(folder, df.LongCatImagePipeline, _longcat_parts)


def longcat_image_edit(folder: Path) -> None:
    """LongCat-Image-Edit: works at a million pixels whatever it is asked."""
    _save(folder, df.LongCatImageEditPipeline, _longcat_parts)


def dreamlite(folder: Path) -> None:
    """DreamLite: Qwen3-VL as its text encoder; draws without a picture and edits with one."""

    def parts() -> dict[str, Any]:
        model, reader = _vision_language(vision_language.qwen3_vl)
        torch.manual_seed(_SEED)
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
            "scheduler": _flow(use_dynamic_shifting=True),
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
