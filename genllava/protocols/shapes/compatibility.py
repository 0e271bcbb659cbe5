"""Whether the parts of a pipeline fit together, read from their configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch

from genllava.errors import CheckpointError
from genllava.protocols.shapes.latents import vae_channels, vae_factor
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.tokens import IMAGE, SPECIAL_TOKENS

_ALIGNMENT: Final = 64
"""Bytes; what PyTorch allocates begins at multiples of this."""


def check_parts(parts: ShapesParts) -> None:
    """Check everything that two parts must agree on.

    Raises:
        CheckpointError: the first disagreement.
    """
    _check_language(parts)
    _check_decoder(parts)
    _check_conditioning(parts)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CheckpointError(message)


def _check_language(parts: ShapesParts) -> None:
    llava: Any = parts.llava
    config, tokenizer = llava.config, parts.processor.tokenizer
    text = config.text_config
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    _require(not missing, f"the tokenizer lacks {', '.join(missing)}")
    _require(
        config.image_token_id == vocabulary[IMAGE],
        f"llava reads pictures at token {config.image_token_id}, but {IMAGE} is {vocabulary[IMAGE]}",
    )
    rows = llava.get_input_embeddings().num_embeddings
    _require(rows >= len(tokenizer), f"llava embeds {rows} tokens, the tokenizer has {len(tokenizer)}")
    shown: Any = parts.processor.image_processor
    side = (getattr(shown, "crop_size", None) or shown.size).get("height")
    expected = config.vision_config.image_size
    _require(side == expected, f"the processor makes pictures of {side} pixels, llava sees {expected}")
    window = getattr(text, "sliding_window", None)
    layers = getattr(text, "layer_types", None) or []
    _require(
        window is None or (bool(layers) and "sliding_attention" not in layers),
        f"llava's sliding_window is {window}: it must be None, or going back in a conversation would break",
    )


def _check_decoder(parts: ShapesParts) -> None:
    channels = vae_channels(parts.vae)
    config, inputs = parts.unet.config, (channels, 2 * channels)
    _require(
        config["in_channels"] in inputs,
        f"unet takes {config['in_channels']} channels, the vae's {channels} need {inputs}",
    )
    _require(
        config["out_channels"] == channels, f"unet gives {config['out_channels']} channels, the vae has {channels}"
    )
    grain = vae_factor(parts.vae) * 2 ** (len(config["block_out_channels"]) - 1)
    _require(
        parts.resolution % grain == 0, f"resolution {parts.resolution} is not a multiple of {grain}, as unet needs"
    )


def _check_conditioning(parts: ShapesParts) -> None:
    width = parts.unet.config["cross_attention_dim"]
    head, text_encoder, tokenizer = parts.generation_head, parts.text_encoder, parts.tokenizer
    if head is not None:
        llava: Any = parts.llava
        states = llava.config.text_config.hidden_size
        expected = head.config["input_dim"]
        _require(expected == states, f"the generation head reads {expected} dimensions, llava has {states}")
        made = head.config["output_dim"]
        _require(made == width, f"the generation head makes {made} dimensions, unet attends to {width}")
    if text_encoder is not None:
        made = text_encoder.config.hidden_size
        _require(made == width, f"the text encoder makes {made} dimensions, unet attends to {width}")
        _require(tokenizer is not None, "the text encoder has no tokenizer")
        longest = text_encoder.config.max_position_embeddings
        length = None if tokenizer is None else tokenizer.model_max_length
        _require(length == longest, f"the tokenizer's length is {length}, the text encoder's {longest}")
        if head is not None:
            made = head.config["output_length"]
            _require(made == length, f"the generation head makes {made} positions, the text encoder {length}")
    bridge = parts.config["bridge"]
    _require(bridge in ("head", "caption"), f"unknown bridge {bridge!r}")
    needed = head if bridge == "head" else text_encoder
    _require(needed is not None, f"the bridge {bridge!r} needs a part that is not there")


def align_weights(parts: Sequence[torch.nn.Module | None]) -> None:
    """Move weights that are mapped from a file to where memory is aligned.

    A file has them anywhere, and for them some processors take other kernels, whose results differ in the last bits:
    the model that was saved and the one that is loaded would not give the same numbers.
    """
    for part in parts:
        for tensor in () if part is None else (*part.parameters(), *part.buffers()):
            if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
                tensor.data = tensor.data.clone()
