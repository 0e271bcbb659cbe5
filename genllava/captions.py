"""The caption bridge: the plan through the image decoder's own text encoder, as in Stable Diffusion."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase


def encode_captions(text_encoder: CLIPTextModel, tokenizer: PreTrainedTokenizerBase, captions: Sequence[str]) -> Tensor:
    """Prompt embeddings [B, L, C]: all L positions; the UNet was trained to see the padding."""
    ids = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    states: Tensor = text_encoder(input_ids=ids.to(text_encoder.device)).last_hidden_state
    return states
