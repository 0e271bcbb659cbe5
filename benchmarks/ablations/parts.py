"""The networks that are trained: a LLaVA in small, and an image decoder that draws and edits by captions."""

from __future__ import annotations

import functools
import random
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import transformers as hf
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional as F

from benchmarks.ablations.small_world import SIDE, picture, sample_scene, words
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline

_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}{{ '<image>' }}{% else %}{{ block['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_SPECIAL: Final = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>")
_PROTOCOL: Final = (
    "system",
    "user",
    "assistant",
    "image_1:",
    "image_2:",
    "image_1",
    "image_2",
    "Done:",
    "was",
    "made.",
)
"""Words of the chat template and of the form of conversations."""
VLM_PARTS: Final = ("vision_tower", "multi_modal_projector", "language_model")
"""What of a LLaVA is trained and saved by itself, beside `lm_head`."""
_PATCH: Final = 16
_SQUARE: Final = 4
_LATENTS: Final = 24
"""Side of the squares that the autoencoder makes latents of, and how many of them."""
_CAPTION: Final = 12
"""Tokens of the decoder's prompts: two things, and the ends."""


class SmallDecoderPipeline(ShapesDecoderPipeline):
    """The pipeline of the shapes model's decoder, under a name of its own: that one goes with the shapes protocol."""


def tokenizer() -> Any:
    """Of the language model: a token for each word."""
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *_PROTOCOL, *words()])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(_SPECIAL))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<image>"},
    )


def vision_language(folder: str | None = None, width: int = 96, layers: int = 3) -> tuple[Any, Any]:
    """A LLaVA and its processor.

    Args:
        folder: of trained parts; None: its weights are new.
        width, layers: of the language model.
    """
    spoken = tokenizer()
    vision = hf.SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=_PATCH,
        vision_use_head=False,
    )
    text = hf.MistralConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=width // 4,
        num_hidden_layers=layers,
        vocab_size=len(spoken),
        max_position_embeddings=256,
        sliding_window=None,
        tie_word_embeddings=False,
    )
    chosen: dict[str, Any] = {"vision_feature_select_strategy": "full"}
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=spoken.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        **chosen,
    )
    model: Any = hf.LlavaForConditionalGeneration(config)
    if folder is not None:
        for name in VLM_PARTS:
            getattr(model.model, name).load_state_dict(torch.load(Path(folder) / f"{name}.pt", weights_only=True))
        model.lm_head.load_state_dict(torch.load(Path(folder) / "lm_head.pt", weights_only=True))
    model.generation_config = hf.GenerationConfig(
        bos_token_id=None, eos_token_id=spoken.eos_token_id, pad_token_id=spoken.pad_token_id
    )
    processor = hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, do_resize=False),
        tokenizer=spoken,
        patch_size=_PATCH,
        num_additional_image_tokens=0,
        chat_template=_TEMPLATE,
        **chosen,
    )
    return model.eval(), processor


def decoder(folder: str | None = None, channels: int = 32, width: int = 64) -> SmallDecoderPipeline:
    """What draws by captions, and edits by them if it is shown a source.

    Args:
        folder: of trained parts; None: its weights are new.
        channels: of its UNet's outer level; the inner one has twice as many.
        width: of its text encoder.
    """
    if folder is not None:
        made: SmallDecoderPipeline = SmallDecoderPipeline.from_pretrained(Path(folder) / "decoder")
        return made
    vocabulary = {word: n for n, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words()])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("<s>", vocabulary["<s>"]), ("</s>", vocabulary["</s>"])]
    plain.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    spoken = hf.PreTrainedTokenizerFast(
        tokenizer_object=plain, model_max_length=_CAPTION, padding_side="right", **named
    )
    text_encoder = hf.CLIPTextModel(
        hf.CLIPTextConfig(
            vocab_size=len(spoken),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=_CAPTION,
            bos_token_id=spoken.bos_token_id,
            eos_token_id=spoken.eos_token_id,
            pad_token_id=spoken.pad_token_id,
        )
    )
    vae = _autoencoder()
    latents = int(vae.config["latent_channels"])
    unet = UNet2DConditionModel(
        sample_size=SIDE // vae.patch_size,
        in_channels=2 * latents,
        out_channels=latents,
        layers_per_block=1,
        block_out_channels=(channels, 2 * channels),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=4,
        cross_attention_dim=width,
    )
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000, prediction_type="sample", use_flow_sigmas=True, flow_shift=5.0, solver_order=1
    )
    return SmallDecoderPipeline(unet.eval(), vae, scheduler, text_encoder.eval(), spoken, resolution=SIDE)


@functools.cache
def _autoencoder() -> AutoencoderPatch:
    """The principal components of squares of `_SQUARE` pixels, half whitened."""
    rng = random.Random("autoencoder")
    pixels = np.stack([np.asarray(picture(sample_scene(rng)), np.float32) / 127.5 - 1 for _ in range(300)])
    squares = F.unfold(torch.from_numpy(pixels).permute(0, 3, 1, 2), _SQUARE, stride=_SQUARE)
    squares = squares.transpose(1, 2).reshape(-1, 3 * _SQUARE**2).double()
    power, components = torch.linalg.eigh(squares.T @ squares / len(squares))
    power, components = power.flip(0)[:_LATENTS], components.flip(1)[:, :_LATENTS]
    root = power.sqrt().sqrt()
    spread = root / root[1:].square().mean().sqrt()
    spread[0] = 1.0
    return AutoencoderPatch.from_components(components.float(), (power.sqrt() / spread).float(), _SQUARE)
