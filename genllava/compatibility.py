"""Whether the parts of a pipeline fit together, read from their configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genllava.errors import CheckpointError
from genllava.image_decoder import vae_channels, vae_factor
from genllava.tokens import IMAGE, SPECIAL_TOKENS

if TYPE_CHECKING:
    from genllava.pipeline_genllava import GenLlavaPipeline


def check_parts(pipeline: GenLlavaPipeline) -> None:
    """Check everything that two parts must agree on.

    Raises:
        CheckpointError: the first disagreement.
    """
    _check_language(pipeline)
    _check_decoder(pipeline)
    _check_conditioning(pipeline)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise CheckpointError(message)


def _check_language(pipeline: GenLlavaPipeline) -> None:
    llava: Any = pipeline.llava
    config, tokenizer = llava.config, pipeline.processor.tokenizer
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
    shown: Any = pipeline.processor.image_processor
    side = (getattr(shown, "crop_size", None) or shown.size).get("height")
    expected = config.vision_config.image_size
    _require(side == expected, f"the processor makes pictures of {side} pixels, llava sees {expected}")
    window = getattr(text, "sliding_window", None)
    layers = getattr(text, "layer_types", None) or []
    _require(
        window is None or (bool(layers) and "sliding_attention" not in layers),
        f"llava's sliding_window is {window}: it must be None, or going back in a conversation would break",
    )


def _check_decoder(pipeline: GenLlavaPipeline) -> None:
    channels = vae_channels(pipeline.vae)
    for name, unet, inputs in (
        ("unet", pipeline.unet, (channels, 2 * channels)),
        ("edit_unet", pipeline.edit_unet, (2 * channels,)),
    ):
        if unet is None:
            continue
        _require(
            unet.config["in_channels"] in inputs,
            f"{name} takes {unet.config['in_channels']} channels, the vae's {channels} need {inputs}",
        )
        _require(
            unet.config["out_channels"] == channels,
            f"{name} gives {unet.config['out_channels']} channels, the vae has {channels}",
        )
        grain = vae_factor(pipeline.vae) * 2 ** (len(unet.config["block_out_channels"]) - 1)
        resolution = pipeline.config["resolution"]
        _require(resolution % grain == 0, f"resolution {resolution} is not a multiple of {grain}, as {name} needs")


def _check_conditioning(pipeline: GenLlavaPipeline) -> None:
    width = pipeline.unet.config["cross_attention_dim"]
    head, text_encoder, tokenizer = pipeline.generation_head, pipeline.text_encoder, pipeline.tokenizer
    if pipeline.edit_unet is not None:
        other = pipeline.edit_unet.config["cross_attention_dim"]
        _require(other == width, f"edit_unet attends to {other} dimensions, unet to {width}")
    if head is not None:
        llava: Any = pipeline.llava
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
    conditioner = pipeline.config["conditioner"]
    _require(conditioner in ("head", "caption"), f"unknown conditioner {conditioner!r}")
    needed = head if conditioner == "head" else text_encoder
    _require(needed is not None, f"the conditioner {conditioner!r} needs a part that is not there")
