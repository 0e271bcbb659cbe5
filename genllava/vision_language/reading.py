"""How prompts become a model's inputs, which part of them a cache holds already, and running the model on the rest."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, GenerationMixin, LogitsProcessorList

from genllava.errors import ImageRejected, InvalidRequest
from genllava.pipeline_output import Counters
from genllava.vision_language.decoding import Watch
from genllava.vision_language.messages import ChatTemplate
from genllava.vision_language.prefix_cache import PrefixCache, common_prefix, digest, empty_layers

Inputs = dict[str, Any]
_PER_TOKEN: Final = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")
_PROCESSOR_FAILS: Final = (ValueError, TypeError, RuntimeError, ZeroDivisionError, IndexError)


@dataclass(slots=True)
class Prompt:
    """A rendered conversation and its pictures, in the order of their placeholders."""

    text: str
    pictures: list[Image.Image]


class Reader:
    """Runs a processor and a model, and counts what was read.

    Args:
        model: a transformers model.
        template: the chat template of its processor.
        counters: tokens read, pictures that went through the vision tower.
    """

    def __init__(self, model: Any, template: ChatTemplate, counters: Counters) -> None:
        self.model, self.template, self.counters = model, template, counters
        self.processor = template.processor
        names = ("image_token_id", "image_token_index")
        ids = {getattr(owner, name, None) for owner in (self.processor, model.config) for name in names}
        self._placeholders = ids - {None}
        self.accepted = set(inspect.signature(model.forward).parameters)
        prepare = inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
        self._cache_name = "cache" if "cache" in prepare else "past_key_values"
        # What a model puts its pictures in place of; others attend to pictures beside the text, again for every token.
        merging = ("get_placeholder_mask", "inputs_merger")
        self._merges = any(hasattr(part, name) for part in (model, getattr(model, "model", model)) for name in merging)
        # Models with positions in three dimensions keep the offset of their last conversation in this attribute.
        self._offset_owner = next((part for part in model.modules() if hasattr(part, "rope_deltas")), None)

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weights that are in memory."""
        found = (weight.device for weight in self.model.parameters() if weight.device.type != "meta")
        return next(found, torch.device("cpu"))

    def tokens(self, text: str) -> list[int]:
        """A prompt's tokens, with a single placeholder for each picture."""
        return list(self.processor.tokenizer(text, add_special_tokens=self._adds_begin(text))["input_ids"])

    def _adds_begin(self, text: str) -> bool:
        """Whether the tokenizer puts the begin-of-text token: not where the chat template did."""
        begin = self.processor.tokenizer.bos_token
        return not (begin and text.startswith(begin))

    def encode(self, prompts: Sequence[Prompt], padding_side: str = "left") -> Inputs:
        """As `process`, on the model's device and in its precision."""
        return dict(self.process(prompts, padding_side).to(device=self.device, dtype=self.model.dtype))

    def process(self, prompts: Sequence[Prompt], padding_side: str = "left") -> BatchFeature:
        """The processor's tensors for prompts: `input_ids` [B, L] and what goes with them, as the model takes them.

        Raises:
            ImageRejected: the image processor does not take a picture.
            InvalidRequest: the processor does not take the prompts.
        """
        pictures = [prompt.pictures for prompt in prompts]
        try:
            batch: BatchFeature = self.processor(
                text=[prompt.text for prompt in prompts],
                images=pictures if any(pictures) else None,
                return_tensors="pt",
                padding=len(prompts) > 1,
                padding_side=padding_side,
                add_special_tokens=self._adds_begin(prompts[0].text),
            )
        except _PROCESSOR_FAILS as error:
            for picture in (picture for row in pictures for picture in row):
                self._check_picture(picture)
            raise InvalidRequest(f"the model's processor does not take this conversation: {error}") from error
        for name in [name for name in _PER_TOKEN[2:] if name in batch and name not in self.accepted]:
            del batch[name]
        return batch

    def _check_picture(self, picture: Image.Image) -> None:
        try:
            self.processor.image_processor(images=[picture], return_tensors="pt")
        except _PROCESSOR_FAILS as error:
            width, height = picture.size
            raise ImageRejected(f"the model cannot read a picture of {width}x{height} pixels: {error}") from error

    def with_ending(self, inputs: Inputs, old: Sequence[int], new: Sequence[int]) -> Inputs:
        """Inputs of a prompt with the `tokens` old, changed to those of one with the tokens new; same pictures."""
        kept = inputs["input_ids"].shape[1] - len(old) + common_prefix(old, new)
        tail = list(new[common_prefix(old, new) :])
        fill = {"input_ids": tail, "attention_mask": [1] * len(tail)}
        per_token = {
            name: torch.cat([value[:, :kept], value.new_tensor([fill.get(name, [0] * len(tail))])], dim=1)
            for name, value in inputs.items()
            if name in _PER_TOKEN
        }
        return {**inputs, **per_token}

    def generate(
        self, inputs: Inputs, prompts: Sequence[Prompt], cache: PrefixCache | None, watch: Watch, **options: Any
    ) -> Tensor:
        """Run the model's `generate()`, going on from `cache` where there is one, and leave in it what was read.

        Raises:
            InvalidRequest: `generate()` does not take the options.
        """
        given, digests = inputs, [digest(picture) for picture in prompts[0].pictures] if cache is not None else []
        pictures, kept, layers = sum(len(prompt.pictures) for prompt in prompts), 0, None
        beams = options.get("num_beams") or self.model.generation_config.num_beams or 1
        if cache is not None and beams == 1:
            layers = empty_layers(self.model)
        if cache is not None and layers is not None:
            given, pictures = self._rest(prompts[0], digests, inputs, cache)
            kept, layers = len(cache), cache.layers or layers
            given[self._cache_name] = layers
        processors = LogitsProcessorList([watch, *options.pop("logits_processor", [])])
        read: Tensor | None = None
        try:
            read = self.model.generate(**given, **options, logits_processor=processors)
        finally:
            if cache is not None:
                read_row = watch.read if read is None else read
                cache.keep(layers, [] if read_row is None else read_row[0].tolist(), digests)
        self.count(int(inputs["attention_mask"].sum()) - kept, pictures)
        return read

    def outputs(self, inputs: Inputs, prompt: Prompt, cache: PrefixCache, last: int, **options: Any) -> Any:
        """The model's outputs for what of a prompt is not in `cache` yet, at least for its `last` tokens.

        `generate()` is asked for one token, which is dropped: it alone knows every model's positions and masks.
        """
        cache.cut(min(len(cache), inputs["input_ids"].shape[1] - last))
        options |= {"do_sample": False, "num_beams": 1, "max_new_tokens": 1}
        options["pad_token_id"] = self.processor.tokenizer.pad_token_id
        if "logits_to_keep" in self.accepted:
            options["logits_to_keep"] = last
        found: list[Any] = []
        hook = self.model.register_forward_hook(lambda module, given, output: found.append(output))
        try:
            self.generate(inputs, [prompt], cache, Watch(), **options)
        finally:
            hook.remove()
        return found[0]

    def count(self, tokens: int, pictures: int) -> None:
        """Book what was read."""
        self.counters.prefilled_tokens += tokens
        self.counters.image_encodes += pictures

    def _rest(self, prompt: Prompt, digests: list[str], inputs: Inputs, cache: PrefixCache) -> tuple[Inputs, int]:
        """Cut `cache` back to what it has in common with a prompt.

        Returns:
            `generate()`'s inputs for going on from it: all tokens, but only the pictures that are not in it; and the
            number of those pictures.
        """
        ids = inputs["input_ids"][0].tolist()
        places = [index for index, token in enumerate(ids) if token in self._placeholders]
        length = min(common_prefix(cache.ids, ids), len(ids) - 1)
        first, length = self._first_new(prompt, cache, digests, places, length)
        chosen = inputs
        if 0 < first < len(digests):
            chosen = self.encode([self._bare(prompt.pictures[first:])])
            if self._size(chosen) + sum(place < length for place in places) != len(places):
                first, length, chosen = 0, min(length, places[0]), inputs  # alone they are split up in another way
        positions = self._positions(inputs) if length else None
        if positions is None and self._offset_owner is not None:
            first, length, chosen = 0, 0, inputs
        cache.cut(length)
        given = {k: v for k, v in inputs.items() if k in _PER_TOKEN}
        if first < len(digests):
            given |= {k: v for k, v in chosen.items() if k not in _PER_TOKEN}
        if positions is not None:
            given["position_ids"] = positions
        return given, len(digests) - first

    def _first_new(
        self, prompt: Prompt, cache: PrefixCache, digests: list[str], places: list[int], length: int
    ) -> tuple[int, int]:
        """The first picture that must be read, and how many tokens need not be; the cut goes through no picture."""
        same, before = common_prefix(cache.pictures, digests), sum(place < length for place in places)
        if not digests or (places and before == 0):
            return 0, length
        if not places or not self._merges:
            return 0, 0
        if same == len(digests) and before == len(places):
            return same, length
        for picture, key in zip(prompt.pictures, digests, strict=True):
            if key not in cache.sizes:
                cache.sizes[key] = self._size(self.encode([self._bare([picture])]))
        edges = list(accumulate((cache.sizes[key] for key in digests), initial=0))
        first = max(n for n in range(same + 1) if edges[n] <= before) if edges[-1] == len(places) else 0
        return first, length if edges[first] == before else places[edges[first]]

    def _size(self, inputs: Inputs) -> int:
        """How many placeholders there are in the first row of tokens."""
        return sum(token in self._placeholders for token in inputs["input_ids"][0].tolist())

    def _bare(self, pictures: list[Image.Image]) -> Prompt:
        message = {"role": "user", "content": [{"type": "image"}] * len(pictures)}
        return Prompt(self.template.render([message]), pictures)

    def _positions(self, inputs: Inputs) -> Tensor | None:
        """The positions of all tokens, for a model that counts them in three dimensions and can say them."""
        prepare = getattr(self.model, "_prepare_position_ids_for_generation", None)
        if prepare is None or self._offset_owner is None:
            return None
        self._offset_owner.rope_deltas = None
        positions: Tensor = prepare(inputs["input_ids"], dict(inputs))
        return positions
