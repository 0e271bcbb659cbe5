"""A pipeline small enough to run in milliseconds, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from genllava.generation_head import GenerationHead
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline
from genllava.protocols.shapes.processing import build_processor
from genllava.protocols.shapes.tokens import BOS, EOS, IMAGE, PAD, SPECIAL_TOKENS

HIDDEN = 64
LENGTH = 12
WIDTH = 32
QUERIES = 4
RESOLUTION = 32
OPTIONS = {"num_inference_steps": 2, "guidance_scale": 2.0, "image_guidance_scale": 1.5}
TEXTS = [
    "image 1: a large red circle at the top left and a small blue star, on white",
    "make the circle green, then tell me how many shapes there are",
    "There are two shapes. Yes, there is a red star. What color is it?",
]


def build_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in (BOS, EOS, PAD)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_llava(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    text = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        sliding_window=None,
        initializer_range=0.2,  # wide, so that random weights have opinions and argmax has no near-ties
    )
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=RESOLUTION,
        patch_size=16,
        vision_use_head=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
    )
    return LlavaForConditionalGeneration(config).eval()


def build_unet(in_channels: int = 8, cross_attention_dim: int = WIDTH) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=4,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross_attention_dim,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def build_vae() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=4,
    ).eval()


def build_text_encoder() -> tuple[CLIPTextModel, PreTrainedTokenizerFast]:
    words = ["<pad>", "<s>", "</s>", "<unk>", "red", "circle", "a", "b", "blue", "star"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=LENGTH,
    )
    config = CLIPTextConfig(
        vocab_size=len(fast),
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return CLIPTextModel(config).eval(), fast


def build_head(kind: str = "encoder") -> GenerationHead:
    return GenerationHead(
        kind=kind,
        num_queries=QUERIES,
        input_dim=HIDDEN,
        output_length=LENGTH,
        output_dim=WIDTH,
        hidden_dim=32,
        num_layers=1,
        num_heads=2,
    ).eval()


def build_decoder(**parts: Any) -> ShapesDecoderPipeline:
    """A decoder; `parts` replace those that it has otherwise."""
    text_encoder, tokenizer = build_text_encoder()
    own: dict[str, Any] = {
        "unet": build_unet(),
        "vae": build_vae(),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=1.0),
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "resolution": RESOLUTION,
    }
    return ShapesDecoderPipeline(**{**own, **parts})


def build_pipeline() -> GenLlavaPipeline:
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    text_encoder, caption_tokenizer = build_text_encoder()
    llava, head = build_llava(tokenizer), build_head()
    pipeline = GenLlavaPipeline(
        vlm=llava,
        processor=build_processor(tokenizer, RESOLUTION, 16),
        generation_head=head,
        decoder=build_decoder(text_encoder=text_encoder, tokenizer=caption_tokenizer),
        protocol="shapes",
        bridge="head",
        drawing_options=OPTIONS,
        protocol_options={"plan_temperature": 0.7, "edits_from_plans": False},
    )
    pipeline.protocol.refresh_null_embeds()
    return pipeline


def rebuilt(pipe: GenLlavaPipeline, **changes: Any) -> GenLlavaPipeline:
    """A pipeline with other parts, of the decoder as well, and other settings."""
    inner = {
        name: changes.pop(name)
        for name in ("unet", "vae", "scheduler", "text_encoder", "tokenizer", "resolution")
        if name in changes
    }
    assert pipe.decoder is not None
    decoder = ShapesDecoderPipeline(**{**pipe.decoder.components, "resolution": RESOLUTION, **inner})
    settings = {name: changes.pop(name) for name in list(changes) if name in OPTIONS}
    own = {"bridge": pipe.config["bridge"], "protocol_options": pipe.config["protocol_options"]}
    return GenLlavaPipeline(
        **{**pipe.components, **own, "decoder": decoder, "protocol": "shapes", **changes},
        drawing_options={**OPTIONS, **settings},
    )


@pytest.fixture(scope="session")
def shared_pipeline() -> GenLlavaPipeline:
    """For tests that change nothing but the counters."""
    return build_pipeline()


@pytest.fixture
def pipe(shared_pipeline: GenLlavaPipeline) -> GenLlavaPipeline:
    """The shared pipeline with counters at zero."""
    shared_pipeline.counters.reset()
    return shared_pipeline


@pytest.fixture
def own_pipe() -> GenLlavaPipeline:
    """A pipeline to break."""
    return build_pipeline()


def make_picture(seed: int = 0, size: tuple[int, int] = (RESOLUTION, RESOLUTION)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    """Noise by number, and size if it matters."""
    return make_picture


@pytest.fixture
def build() -> SimpleNamespace:
    """Makers of the parts."""
    return SimpleNamespace(
        tokenizer=build_tokenizer,
        llava=build_llava,
        unet=build_unet,
        vae=build_vae,
        text_encoder=build_text_encoder,
        head=build_head,
        decoder=build_decoder,
        rebuilt=rebuilt,
    )
