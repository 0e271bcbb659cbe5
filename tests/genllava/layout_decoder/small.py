"""A random decoder of layouts with a few phrases, as small as it can be: its autoencoder loses nothing."""

from __future__ import annotations

from typing import Any

import diffusers as df
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.layout_decoder.layout import EMPTY, LENGTH, NOTHING, SEPARATOR
from genllava.layout_decoder.pipeline import LayoutDecoderPipeline
from genllava.layout_decoder.transformer import LayoutTransformer2DModel

PATCH = 4
SIDE = 6 * PATCH
WIDTH = 16
CHANNELS = 3 * PATCH**2
PHRASES = ("gray", "meadow", "large 3d cat", "small red circle", "large blue star")
CAT = "meadow: at left large 3d cat"
BOTH = "meadow: at left large 3d cat, at top right small red circle"


def autoencoder(channels: int = CHANNELS, *, mean: bool = True) -> AutoencoderPatch:
    """With random orthonormal components."""
    torch.manual_seed(0)
    components = torch.linalg.qr(torch.randn(CHANNELS, channels)).Q
    middle = torch.rand(CHANNELS) * 0.4 - 0.2 if mean else None
    return AutoencoderPatch.from_components(components, torch.rand(channels) + 0.5, PATCH, middle)


def pipeline(output_size: int = 32, **options: Any) -> LayoutDecoderPipeline:
    """The same one with every call."""
    vae = autoencoder()
    words = ["unknown", EMPTY, NOTHING, *PHRASES]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="unknown"))
    made.pre_tokenizer = pre_tokenizers.Split(SEPARATOR, "removed")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="unknown", pad_token=EMPTY, model_max_length=LENGTH
    )
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=0, num_attention_heads=2,
        max_position_embeddings=LENGTH, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    text_encoder: Any = CLIPTextModel(config)
    text_encoder.get_input_embeddings().weight.data.normal_()
    transformer: Any = LayoutTransformer2DModel(
        sample_size=6, in_channels=CHANNELS, out_channels=CHANNELS, hidden_size=64, num_layers=1,
        num_attention_heads=2, cross_attention_dim=WIDTH,
    )  # fmt: skip
    transformer.project_out.weight.data.normal_(std=0.05)
    flows: Any = {"use_flow_sigmas": True, "flow_shift": 4.0, "prediction_type": "sample", "solver_order": 1}
    scheduler = df.DPMSolverMultistepScheduler(**flows)
    parts = transformer.eval(), vae.eval(), scheduler, text_encoder.eval(), tokenizer
    return LayoutDecoderPipeline(*parts, resolution=SIDE, output_size=output_size, **options)
