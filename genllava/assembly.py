"""Public checkpoints put together, with no training of ours."""

from __future__ import annotations

import inspect
from os import PathLike
from pathlib import Path
from typing import Any

from genllava import checkpoints
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import ImageDecoder, load_diffusion, vision_language_of
from genllava.part_loading import Loaded, load_head, take_how
from genllava.vision_language import VisionLanguage
from genllava.vision_language.loading import load_processor

Source = str | PathLike[str]


def load_parts(
    vlm: Source,
    decoder: Source | None = None,
    editor: Source | None = None,
    *,
    generation_head: GenerationHead | Source | None = None,
    protocol: str | None = None,
    bridge: str = "caption",
    processor: Source | None = None,
    chat_template: str | None = None,
    tool_format: str | None = None,
    **options: Any,
) -> Loaded:
    """What `GenLlavaPipeline.assemble` is made of: public checkpoints, loaded and checked.

    Args:
        vlm: folder or hub id of an image-text-to-text model of transformers, or of a diffusers pipeline whose text
            encoder is such a model (Qwen-Image-Edit, LongCat-Image): all three verbs then come from it.
        decoder: folder or hub id of a diffusers pipeline that draws; None: the result only understands.
        editor: of a diffusers pipeline that edits; None: the decoder edits by its image-to-image sibling.
        generation_head: from hidden states of the language model to the decoder's prompt embeddings.
        protocol, bridge, tool_format: see `GenLlavaPipeline`.
        processor: where the model's processor is, if not beside it.
        chat_template: Jinja source of a chat template, in the place of the model's own.
        **options: how weights are loaded: `torch_dtype="auto"` (as they were saved), `device`, `device_map`,
            `quantization_config` (of the language model), `variant`, options of downloads; and default options of every
            drawing, such as `num_inference_steps`.

    Raises:
        CheckpointError: a part cannot be read, or the parts do not fit together; the message names it.
        NotEnoughMemory: the parts do not fit into the memory that is free.
        InvalidRequest: `trust_remote_code`, or an option that does not exist.
    """
    checkpoints.refuse_remote_code(options)
    how = take_how(options)
    hub: dict[str, Any] = {name: options.pop(name) for name in checkpoints.DOWNLOAD_OPTIONS if name in options}
    dtype = how.dtype(protocol)
    place: dict[str, Any] = {"torch_dtype": dtype, "device_map": how.device_map, "variant": how.variant, **hub}
    draws = None if decoder is None else load_diffusion(decoder, **place)
    edits = None if editor is None else load_diffusion(editor, **place)
    if _is_pipeline(vlm):
        whole = load_diffusion(vlm, **place)
        draws, reader = draws or whole, _from_pipeline(whole, vlm, processor, chat_template, tool_format)
    else:
        reader = VisionLanguage.from_pretrained(
            vlm,
            processor=processor,
            chat_template=chat_template,
            tool_format=tool_format,
            quantization_config=how.quantization_config,
            **place,
        )
    head = generation_head
    if head is not None and not isinstance(head, GenerationHead):
        head = load_head(checkpoints.resolve(head, hub), dtype, how.variant)
    if head is not None:
        _fit_head(head, reader, draws)
    parts = {
        "vlm": reader.model,
        "processor": reader.processor,
        "decoder": draws,
        "editor": edits,
        "generation_head": head,
    }
    settings = {
        "protocol": protocol,
        "bridge": bridge,
        "tool_format": tool_format,
        "drawing_options": _drawing_options(options, draws, edits),
    }
    return Loaded(parts, settings, how.device)


def _is_pipeline(source: Source) -> bool:
    return (Path(source) / checkpoints.INDEX).is_file()


def _from_pipeline(
    pipeline: Any, source: Source, processor: Source | None, chat_template: str | None, tool_format: str | None
) -> VisionLanguage:
    """The vision-language model that a diffusers pipeline carries as its text encoder."""
    found = vision_language_of(pipeline)
    if found is None:
        raise CheckpointError(
            f"{source} is a {type(pipeline).__name__}, whose text encoder is no vision-language model: give one as the "
            "first argument, and this as decoder="
        )
    model, reader = found
    if processor is not None:
        reader = load_processor(processor, chat_template)
    elif chat_template is not None:
        reader.chat_template = chat_template
    return VisionLanguage(model, reader, tool_format=tool_format)


def _fit_head(head: GenerationHead, reader: VisionLanguage, decoder: Any) -> None:
    """Give the language model the head's queries, and see that the head fits both sides.

    Raises:
        CheckpointError: it does not.
    """
    if decoder is None:
        raise CheckpointError("a generation head needs an image decoder: give decoder=")
    if not head.config["query_tokens"]:
        raise CheckpointError("this generation head has queries of its own: make it with query_tokens=True")
    reads = reader.hidden_size * len(head.config["layers"])
    if head.config["input_dim"] != reads:
        raise CheckpointError(
            f"the generation head reads {head.config['input_dim']} dimensions, the language model gives {reads}: make "
            f"it with input_dim={reads}"
        )
    spec = ImageDecoder(decoder).spec
    made = (head.config["output_length"], head.config["output_dim"], head.config["pooled_dim"])
    if made[1:] != (spec.dim, spec.pooled_dim) or (spec.length is not None and made[0] > spec.length):
        raise CheckpointError(
            f"the generation head makes prompt embeddings of (length, width, pooled width) {made}, and "
            f"{type(decoder).__name__} takes {(spec.length, spec.dim, spec.pooled_dim)}"
        )
    reader.add_tokens(head.query_names)


def _drawing_options(options: dict[str, Any], *pipelines: Any) -> dict[str, Any]:
    """Default options of every drawing.

    Raises:
        InvalidRequest: none of the pipelines has such an option.
    """
    taken = [name for each in filter(None, pipelines) for name in inspect.signature(each.__call__).parameters]
    for name in options:
        if name not in taken:
            known = "torch_dtype, device, device_map, quantization_config, variant, protocol, bridge, tool_format"
            raise InvalidRequest(f"assemble has no option {name!r}: {known}, and what the image decoders take")
    return dict(options)
