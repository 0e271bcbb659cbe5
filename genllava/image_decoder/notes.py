"""What a pipeline makes of its arguments without saying so: words it does not read, options without effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from genllava.image_decoder.conditioning import ENCODING, call_parameters, denoiser_of


def notes_on(pipeline: Any, prompt: str, options: Mapping[str, Any]) -> list[str]:
    """One sentence for each thing that a user of `pipeline` should know about this call."""
    return [*_truncations(pipeline, prompt, options), *_idle_options(pipeline, options)]


def _truncations(pipeline: Any, prompt: str, options: Mapping[str, Any]) -> list[str]:
    notes = []
    for suffix in ("", "_2", "_3"):
        tokenizer = getattr(pipeline, f"tokenizer{suffix}", None)
        encoder = getattr(pipeline, f"text_encoder{suffix}", None)
        text = options.get(f"prompt{suffix}") or prompt
        if not isinstance(tokenizer, PreTrainedTokenizerBase) or encoder is None or not isinstance(text, str):
            continue
        window = _window(pipeline, tokenizer, encoder, options)
        with ENCODING:
            tokens = len(tokenizer(text, verbose=False)["input_ids"])
        if tokens > window:
            notes.append(
                f"text_encoder{suffix} of {type(pipeline).__name__} reads {window} tokens of a prompt: the last"
                f" {tokens - window} of {tokens} were left out"
            )
    return notes


def _window(pipeline: Any, tokenizer: Any, encoder: Any, options: Mapping[str, Any]) -> int:
    if encoder.config.model_type.startswith("clip"):
        return int(tokenizer.model_max_length)
    parameter = call_parameters(pipeline).get("max_sequence_length")
    if parameter is not None:
        return int(options.get("max_sequence_length", parameter.default))
    return int(getattr(pipeline, "tokenizer_max_length", tokenizer.model_max_length))


def _idle_options(pipeline: Any, options: Mapping[str, Any]) -> list[str]:
    name, parameters = type(pipeline).__name__, call_parameters(pipeline)
    negative = any(options.get(k) is not None for k in ("negative_prompt", "negative_prompt_embeds"))
    if "true_cfg_scale" not in parameters:
        scale = options.get("guidance_scale")
        if negative and isinstance(scale, (int, float)) and scale <= 1:
            return ["negative_prompt has no effect at a guidance_scale of 1 or less"]
        return []
    notes, scale = [], float(options.get("true_cfg_scale", parameters["true_cfg_scale"].default))
    if negative and scale <= 1:
        notes.append(f"negative_prompt has no effect on {name} at true_cfg_scale {scale:g}: give one above 1")
    if "true_cfg_scale" in options and scale > 1 and not negative:
        notes.append(f"true_cfg_scale has no effect on {name} without a negative_prompt (it may be empty)")
    if options.get("guidance_scale") is not None and not denoiser_of(pipeline).config.get("guidance_embeds"):
        notes.append(f"guidance_scale has no effect on this {name}: give true_cfg_scale and a negative_prompt")
    return notes
