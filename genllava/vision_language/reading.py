"""How prompts become a model's inputs, and which part of them a cache already holds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from PIL import Image

from genllava.errors import ImageRejected, InvalidRequest
from genllava.vision_language.messages import ChatTemplate
from genllava.vision_language.prefix_cache import PrefixCache, common_prefix, digest

_TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")
_PROCESSOR_FAILS = (ValueError, TypeError, RuntimeError, ZeroDivisionError, IndexError)
Inputs = dict[str, Any]


@dataclass(slots=True)
class Prompt:
    """A rendered conversation and its pictures, in the order of their placeholders."""

    text: str
    pictures: list[Image.Image] = field(default_factory=list)


class Reader:
    """Runs a processor, and says what of a prompt is still to be read.

    Args:
        model: a transformers model.
        template: the chat template of its processor.
    """

    def __init__(self, model: Any, template: ChatTemplate) -> None:
        self.model, self.template, self.processor = model, template, template.processor
        names = ("image_token_id", "image_token_index", "image_token_ids")
        found = [getattr(owner, name, None) for owner in (self.processor, model.config) for name in names]
        self.placeholders = {n for value in found for n in (value if isinstance(value, list) else [value]) if n is not None}
        self.accepted = set(inspect.signature(model.forward).parameters)
        # Models with positions in three dimensions keep the offset of their last conversation in this attribute.
        self._offset_owner = next((part for part in model.modules() if hasattr(part, "rope_deltas")), None)

    def begins_itself(self, text: str) -> bool:
        """Whether a prompt has its begin-of-text token already, so that the tokenizer adds none."""
        begin = self.processor.tokenizer.bos_token
        return bool(begin) and text.startswith(begin)

    def encode(self, prompts: Sequence[Prompt], padding_side: str = "left") -> Inputs:
        """The processor's tensors for prompts, on the model's device: `input_ids` [B, L] and what goes with them.

        Raises:
            ImageRejected: the image processor does not take a picture.
            InvalidRequest: the processor does not take the prompts.
        """
        pictures = [prompt.pictures for prompt in prompts]
        try:
            batch = self.processor(
                text=[prompt.text for prompt in prompts],
                images=pictures if any(pictures) else None,
                return_tensors="pt",
                padding=len(prompts) > 1,
                padding_side=padding_side,
                add_special_tokens=not self.begins_itself(prompts[0].text),
            )
        except _PROCESSOR_FAILS as error:
            for picture in (picture for row in pictures for picture in row):
                self._check_picture(picture)
            raise InvalidRequest(f"the model's processor does not take this conversation: {error}") from error
        batch = batch.to(device=self.device, dtype=self.model.dtype)
        return {k: v for k, v in batch.items() if k not in _TEXT_INPUTS[2:] or k in self.accepted}

    def _check_picture(self, picture: Image.Image) -> None:
        try:
            self.processor.image_processor(images=[picture], return_tensors="pt")
        except _PROCESSOR_FAILS as error:
            width, height = picture.size
            raise ImageRejected(f"the model cannot read a picture of {width}x{height} pixels: {error}") from error

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weights that are in memory."""
        found = (weight.device for weight in self.model.parameters() if weight.device.type != "meta")
        return next(found, torch.device("cpu"))

    def retokenized(self, inputs: Inputs, ids: Sequence[int]) -> Inputs:
        """The same inputs with other text tokens at their end: what was behind their common prefix is replaced."""
        old = inputs["input_ids"]
        kept = common_prefix(old[0].tolist(), ids)
        changed = dict(inputs)
        for name in set(_TEXT_INPUTS) & set(inputs):
            value = inputs[name]
            tail = list(ids[kept:]) if name == "input_ids" else [int(name == "attention_mask")] * (len(ids) - kept)
            changed[name] = torch.cat([value[:, :kept], value.new_tensor([tail])], dim=1)
        return changed

    def rest(self, prompt: Prompt, inputs: Inputs, cache: PrefixCache) -> tuple[Inputs, int]:
        """Cut `cache` back to what it has in common with a prompt.

        Returns:
            `generate()`'s inputs for going on from it: all tokens, but only the pictures that are not in it; and the
            number of those pictures.
        """
        ids = inputs["input_ids"][0].tolist()
        digests = [digest(picture) for picture in prompt.pictures]
        length = min(common_prefix(cache.ids, ids), len(ids) - 1)
        places = [index for index, token in enumerate(ids) if token in self.placeholders]
        first, length = self._first_new(prompt, cache, digests, places, length)
        chosen = inputs
        if 0 < first < len(digests):
            chosen = self.encode([self._bare(prompt.pictures[first:])])
            if self._count(chosen) + sum(place < length for place in places) != len(places):
                first, length, chosen = 0, min(length, places[0]), inputs  # alone they are split up in another way
        positions = self._positions(inputs) if length and self._offset_owner is not None else None
        if self._offset_owner is not None and positions is None:
            first, length, chosen = 0, 0, inputs
        cache.cut(length)
        cache.pictures = cache.pictures[:first]
        given = {k: v for k, v in inputs.items() if k in _TEXT_INPUTS}
        if first < len(digests):
            given |= {k: v for k, v in chosen.items() if k not in _TEXT_INPUTS}
        if positions is not None:
            given["position_ids"] = positions
        return given, len(digests) - first

    def _first_new(
        self, prompt: Prompt, cache: PrefixCache, digests: list[str], places: list[int], length: int
    ) -> tuple[int, int]:
        """The first picture that must be read, and how many tokens need not be; the cut goes through no picture."""
        same, before = common_prefix(cache.pictures, digests), sum(place < length for place in places)
        if not digests:
            return 0, length
        if not places:  # pictures come in by another way than tokens
            return 0, 0
        if same == len(digests) and before == len(places):
            return same, length
        if before == 0:
            return 0, length
        for picture, key in zip(prompt.pictures, digests, strict=True):
            if key not in cache.sizes:
                cache.sizes[key] = self._count(self.encode([self._bare([picture])]))
        edges = list(accumulate((cache.sizes[key] for key in digests), initial=0))
        first = max(n for n in range(same + 1) if edges[n] <= before) if edges[-1] == len(places) else 0
        return first, length if edges[first] == before else places[edges[first]]

    def _count(self, inputs: Inputs) -> int:
        """How many placeholders of media are in the first row of tokens."""
        return sum(token in self.placeholders for token in inputs["input_ids"][0].tolist())

    def _bare(self, pictures: list[Image.Image]) -> Prompt:
        return Prompt(self.template.render([{"role": "user", "content": [{"type": "image"}] * len(pictures)}]), pictures)

    def _positions(self, inputs: Inputs) -> torch.Tensor | None:
        """The positions of all tokens, for models that count them in three dimensions."""
        prepare = getattr(self.model, "_prepare_position_ids_for_generation", None)
        if prepare is None:
            return None
        assert self._offset_owner is not None
        self._offset_owner.rope_deltas = None
        positions: torch.Tensor = prepare(inputs["input_ids"], dict(inputs))
        return positions
