"""The parts of small random diffusers pipelines: text encoders, autoencoders, denoisers, whole sets of them."""

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

SEED: Final = 0
_CLIP: Final = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_UNET: Final = {
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "attention_head_dim": 4,
}


def clip_words() -> Any:
    """The tokenizer of CLIP: 77 tokens, begun and ended."""
    begin, end = "<|startoftext|>", "<|endoftext|>"
    words = ended(byte_level([begin, end], bos=begin, eos=end, pad=end))
    words.model_max_length = 77
    return words


def ended(words: Any) -> Any:
    """A tokenizer that ends every text by itself, and begins it if it can."""
    ends = [token for token in (words.bos_token, words.eos_token) if token is not None]
    single = f"{words.bos_token or ''} $A {words.eos_token}".strip()
    ids = [(token, words.convert_tokens_to_ids(token)) for token in ends]
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return words


def clip(words: Any, projection: int | None = None) -> Any:
    """A text encoder of CLIP; with a pooled projection where `projection` says how wide."""
    config = hf.CLIPTextConfig(
        **_CLIP,
        vocab_size=len(words),
        max_position_embeddings=77,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        projection_dim=projection or 32,
    )
    return (hf.CLIPTextModel if projection is None else hf.CLIPTextModelWithProjection)(config)


def t5_words() -> Any:
    """The tokenizer of T5."""
    return ended(byte_level(["<pad>", "</s>", "<unk>"], eos="</s>", pad="<pad>"))


def t5(words: Any) -> Any:
    """A text encoder of T5."""
    config = hf.T5Config(
        vocab_size=len(words), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=words.pad_token_id
    )
    return hf.T5EncoderModel(config)


def vae(channels: int = 4, **config: Any) -> Any:
    """The autoencoder of Stable Diffusion: a latent is eight pixels wide."""
    return df.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        norm_num_groups=4,
        latent_channels=channels,
        **{"sample_size": 64, **config},
    )


def flux_vae() -> Any:
    """The autoencoder of Flux and Stable Diffusion 3: sixteen channels, without convolutions between."""
    return vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)


def ddim(**config: Any) -> Any:
    """The scheduler of Stable Diffusion 1 and 2."""
    return df.DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1, **config
    )


def flow(**config: Any) -> Any:
    """The scheduler of models that match flows."""
    return df.FlowMatchEulerDiscreteScheduler(**config)


def sd_parts(channels: int = 4, **unet: Any) -> dict[str, Any]:
    """Stable Diffusion 1 and 2."""
    words = clip_words()
    return {
        "vae": vae(scaling_factor=0.18215),
        "text_encoder": clip(words),
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
        "scheduler": ddim(),
    }


def controlnet(unet: Any) -> Any:
    """A ControlNet for a UNet, with weights in its zero convolutions, so that its picture changes what is drawn."""
    made = df.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 8, 8))
    for block in (*made.controlnet_down_blocks, made.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.3)
    torch.nn.init.normal_(made.controlnet_cond_embedding.conv_out.weight, std=0.3)
    return made


def sdxl_parts(channels: int = 4) -> dict[str, Any]:
    """SDXL."""
    words, words_2 = clip_words(), clip_words()
    return {
        "vae": vae(scaling_factor=0.13025, force_upcast=True),
        "text_encoder": clip(words),
        "text_encoder_2": clip(words_2, projection=32),
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


def sd3_parts(large: bool = True) -> dict[str, Any]:
    """Stable Diffusion 3; `large`: with T5."""
    words, words_2, words_3 = clip_words(), clip_words(), t5_words()
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
        "transformer": opened_patches(transformer),
        "vae": vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        "text_encoder": clip(words, projection=32),
        "tokenizer": words,
        "text_encoder_2": clip(words_2, projection=32),
        "tokenizer_2": words_2,
        "text_encoder_3": t5(words_3) if large else None,
        "tokenizer_3": words_3 if large else None,
        "scheduler": flow(shift=3.0),
    }


def opened_patches(transformer: Any) -> Any:
    """Without initial zeros in the layer that writes the latents."""
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    return transformer


def flux_parts() -> dict[str, Any]:
    """Flux."""
    words, words_2 = clip_words(), t5_words()
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
        "vae": flux_vae(),
        "text_encoder": clip(words),
        "tokenizer": words,
        "text_encoder_2": t5(words_2),
        "tokenizer_2": words_2,
        "scheduler": flow(shift=3.0, use_dynamic_shifting=True),
    }


def vision_language_parts(layout: Callable[[Path], None]) -> tuple[Any, Any]:
    """A vision-language model in one of our layouts, and its processor."""
    with tempfile.TemporaryDirectory() as folder:
        layout(Path(folder))
        model = hf.AutoModelForImageTextToText.from_pretrained(folder)
        return model, hf.AutoProcessor.from_pretrained(folder)


def qwen_image_parts(processor: bool = False) -> dict[str, Any]:
    """Qwen-Image; `processor`: with what reads pictures for its text encoder."""
    model, reader = vision_language_parts(vision_language.qwen25_vl)
    torch.manual_seed(SEED)
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
        "scheduler": flow(shift=1.0, use_dynamic_shifting=True),
    }
    return {**made, "processor": reader} if processor else made


def longcat_parts() -> dict[str, Any]:
    """LongCat-Image."""
    model, reader = vision_language_parts(vision_language.qwen25_vl)
    torch.manual_seed(SEED)
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
        "vae": flux_vae(),
        "scheduler": flow(use_dynamic_shifting=True),
    }
