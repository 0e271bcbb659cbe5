"""What a model has read of one conversation, so that its next turn reads only what is new."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


@dataclass(slots=True)
class PrefixCache:
    """The keys and values of a conversation's tokens.

    It belongs to one model and one conversation at a time. Given to `chat`, `score` or `query_states` it is cut back to
    what the old and the new conversation have in common (tokens and pictures), and only the rest is read. A model
    whose cache cannot be cut back (linear attention, cross attention) reads everything again.

    Attributes:
        layers: transformers' cache; None until something was read, or where it could not be kept.
        ids: the tokens in it.
        pictures: digests of the pictures that these tokens stand for, in order.
        sizes: how many placeholders a picture has, by digest.
    """

    layers: DynamicCache | None = None
    ids: list[int] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def copy(self) -> PrefixCache:
        """A branch: what one reads from here on, the other does not see. Costs no memory until they differ."""
        layers = copy.copy(self.layers)
        if layers is not None:  # every update makes new tensors, so the layers can share the present ones
            layers.layers = [copy.copy(layer) for layer in layers.layers]
        return PrefixCache(layers, list(self.ids), list(self.pictures), self.sizes)

    def reset(self) -> None:
        """Forget everything."""
        self.layers, self.ids, self.pictures = None, [], []

    def cut(self, length: int) -> None:
        """Keep the first `length` tokens."""
        if self.layers is not None and length < len(self.ids):
            self.layers.crop(length - len(self.ids))
        self.ids = self.ids[:length]

    def keep(self, layers: Any, ids: Sequence[int], pictures: Sequence[str]) -> None:
        """Take over what was read, where it can be cut back later on."""
        self.reset()
        length = layers.get_seq_length() if croppable(layers) else 0
        if 0 < length <= len(ids):
            self.layers, self.ids, self.pictures = layers, list(ids[:length]), list(pictures)


def empty_layers(model: Any) -> DynamicCache | None:
    """A cache for a model that can be cut back anywhere; None where there is no such cache for it.

    Layers that attend to a sliding window keep all they read: the attention mask holds them to their window, and a
    turn can be taken back.
    """
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    # Layers that use other layers' keys have none in the cache; models that say which do so were tried.
    shared = getattr(config, "num_kv_shared_layers", 0) and not hasattr(config, "kv_sharing_modes")
    plain = kinds <= {"full_attention", "sliding_attention"} and not shared and not model.config.is_encoder_decoder
    return DynamicCache() if plain else None


def croppable(layers: Any) -> bool:
    """Whether a cache holds plain layers of one length, so that it can be cut back to any of its tokens."""
    found = getattr(layers, "layers", None) or []
    return bool(found) and all(type(x) is DynamicLayer for x in found) and len({x.get_seq_length() for x in found}) == 1


def digest(picture: Image.Image) -> str:
    """Equal for equal pictures."""
    return hashlib.blake2b(repr((picture.size, picture.mode)).encode() + picture.tobytes(), digest_size=16).hexdigest()


def common_prefix(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many entries two sequences begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
