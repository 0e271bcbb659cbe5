"""The caption bridge: the plan through the image decoder's own text encoder, as in Stable Diffusion."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from genllava.errors import InvalidRequest


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


def check_captions(tokenizer: PreTrainedTokenizerBase, captions: Sequence[str]) -> None:
    """See that captions that a user gave reach the text encoder whole.

    Raises:
        InvalidRequest: one is too long, or has words that are not in the vocabulary.
    """
    limit, unknown = tokenizer.model_max_length, tokenizer.unk_token_id
    for caption in captions:
        ids = tokenizer(caption).input_ids
        if len(ids) > limit:
            raise InvalidRequest(
                f"the plan has {len(ids)} tokens, and this image decoder reads at most {limit}: ask for less at once"
            )
        if unknown in ids and unknown not in (tokenizer.eos_token_id, tokenizer.pad_token_id):
            words = [word for word in caption.split() if unknown in tokenizer(word).input_ids]
            raise InvalidRequest(f"this image decoder does not know the words {', '.join(words[:5])}")
