"""The language model as the rest of the package uses it: token ids, words, and the features of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerBase

from genllava.pipeline_output import Counters
from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import QUERY, SPECIAL_TOKENS

if TYPE_CHECKING:
    from PIL import Image


class LanguageModel:
    """LLaVA with its processor, and the visual queries [N, D] (None: there is no generation head)."""

    def __init__(
        self,
        llava: LlavaForConditionalGeneration,
        processor: LlavaProcessor,
        query_embeds: Tensor | None,
        counters: Counters,
    ) -> None:
        self.llava = llava
        self.config: Any = llava.config
        self.processor = processor
        self.query_embeds = query_embeds
        self.counters = counters
        self.tokenizer: PreTrainedTokenizerBase = processor.tokenizer

    def id(self, token: str) -> int:
        """Id of a special token."""
        return layout.token_id(self.tokenizer, token)

    @cached_property
    def tokens_per_image(self) -> int:
        """Features that one picture becomes."""
        return tokens_per_image(self.llava)

    @cached_property
    def bytes_per_token(self) -> int:
        """What a token takes in the key-value cache."""
        config = self.config.text_config
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * config.num_key_value_heads * head_dim * self.llava.dtype.itemsize)

    @cached_property
    def max_length(self) -> int:
        """Longest context, in tokens."""
        return int(self.config.text_config.max_position_embeddings)

    @cached_property
    def words(self) -> Tensor:
        """[V] bool: the ids that may stand in a text, which special tokens may not."""
        mask = torch.zeros(self.config.text_config.vocab_size, dtype=torch.bool)
        mask[: len(self.tokenizer)] = True
        mask[[*self.tokenizer.all_special_ids, *map(self.id, SPECIAL_TOKENS)]] = False
        return mask

    def encode_pictures(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Features [P, D] of each picture, all in one pass."""
        if not images:
            return []
        pixels = self.processor.image_processor(list(images), return_tensors="pt")["pixel_values"]
        pixels = pixels.to(self.llava.device, self.llava.dtype)
        self.counters.image_encodes += len(images)
        return list(self.llava.get_image_features(pixel_values=pixels, return_dict=True).pooler_output)

    def embed(self, ids: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Input embeddings [B, T, D] of `ids` [B, T]; features and queries go to their placeholders."""
        embeds: Tensor = self.llava.get_input_embeddings()(ids)
        seen = ids == self.config.image_token_id
        if features:
            embeds = embeds.masked_scatter(seen[..., None], torch.cat(list(features)).to(embeds))
        if self.query_embeds is not None:
            asked = ids == self.id(QUERY)
            drawings = int(asked.sum()) // len(self.query_embeds)
            if drawings:
                queries = self.query_embeds.repeat(drawings, 1).to(embeds)
                embeds = embeds.masked_scatter(asked[..., None], queries)
        return embeds

    def text(self, ids: Sequence[int]) -> str:
        """The words of `ids`, single-spaced."""
        return " ".join(str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).split())


def tokens_per_image(llava: LlavaForConditionalGeneration) -> int:
    """Features that one picture becomes: its patches, and the class token of a CLIP tower if it is kept."""
    vision: Any = llava.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    has_class_token = "siglip" not in vision.model_type
    dropped = llava.config.vision_feature_select_strategy == "default"
    return int(patches + has_class_token - dropped)
