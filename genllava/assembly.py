"""Public checkpoints put together, with no training of ours."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from genllava import checkpoints
from genllava.errors import CheckpointError, InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.image_decoder import load_diffusion, vision_language_of
from genllava.image_decoder.controlnets import controlnet_folders, load_controlnets
from genllava.image_decoder.loading import pipeline_folder
from genllava.own_classes import own_pipeline
from genllava.part_loading import Loaded, beside, check_room, load_head, own_variant, take_how
from genllava.vision_language.loading import load_model, load_processor

Source = str | PathLike[str]
_OF_THE_MODEL: Final = ("attn_implementation", "max_memory", "offload_folder")
"""Options of loading that only the language model takes."""


def load_parts(
    vlm: Source,
    decoder: Source | None = None,
    editor: Source | None = None,
    *,
    generation_head: GenerationHead | Source | None = None,
    controlnets: Mapping[str, Any] | None = None,
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
        controlnets: folders or hub ids of ControlNets for the decoder, by name; or loaded ones.
        protocol, bridge, tool_format: see `GenLlavaPipeline`.
        processor: where the model's processor is, if not beside it.
        chat_template: Jinja source of a chat template, in the place of the model's own.
        **options: how weights are loaded: `torch_dtype="auto"` (as they were saved), `device`, `device_map` (where it
            is a dict, that of the language model), `quantization_config` (of the language model; where it comes from a
            pipeline, a `PipelineQuantizationConfig`), `variant`, `attn_implementation`, options of downloads; and
            default options of every drawing, such as `num_inference_steps`.

    Raises:
        CheckpointError: a part cannot be read, or the parts do not fit together; the message names it.
        NotEnoughMemory: the parts do not fit into the memory that is free.
        InvalidRequest: `trust_remote_code`, or an option that does not exist.
    """
    checkpoints.refuse_remote_code(options)
    how = take_how(options)
    hub: dict[str, Any] = {name: options.pop(name) for name in checkpoints.DOWNLOAD_OPTIONS if name in options}
    own: dict[str, Any] = {name: options.pop(name) for name in _OF_THE_MODEL if name in options}
    dtype = how.dtype(protocol == "shapes")
    whole = checkpoints.find_index(vlm, hub) is not None
    sources = {"vlm": vlm, "decoder": decoder, "editor": editor}
    folders = dict[str, Path]()
    for name, source in sources.items():
        if name == "vlm" and not whole:
            folders[name] = checkpoints.resolve(vlm, hub, model=True)
        elif source is not None:
            with checkpoints.reading(f"{name} {source}"):
                folders[name] = pipeline_folder(name, source, how.variant, hub)
    nets = controlnet_folders(controlnets or {}, how.variant, hub)
    what = " with ".join(str(source) for source in (*sources.values(), *nets) if source)
    check_room(what, {**folders, **{f"ControlNet {n}": f for n, f in nets.items() if isinstance(f, Path)}}, how, dtype)
    place = {"device_map": how.pipeline_map, "variant": how.variant}
    made: dict[str, Any] = {}
    for name in ("decoder", "editor"):
        if name in folders:
            precision = how.dtype(protocol == "shapes" or own_pipeline(name, folders[name]) is not None)
            made[name] = load_diffusion(folders[name], part=name, torch_dtype=precision, **place)
    draws, edits = made.get("decoder"), made.get("editor")
    if whole:
        if own:
            raise InvalidRequest(f"a vision-language model out of a pipeline takes no {', '.join(own)}")
        how_carrier = {"torch_dtype": dtype, "quantization_config": how.quantization_config}
        carrier = load_diffusion(folders["vlm"], part="vlm", **how_carrier, **place)
        model, reader = _from_pipeline(carrier, vlm)
        draws = draws or carrier
    else:
        variant = own_variant(folders["vlm"], how.variant)
        how_model = {"device_map": how.device_map, "quantization_config": how.quantization_config, "variant": variant}
        model, reader = load_model(folders["vlm"], torch_dtype=dtype, **how_model, **own), None
    beside(model, (draws, edits), how)
    if reader is None or processor is not None:
        reader = load_processor(folders["vlm"] if processor is None else processor, **hub)
    if chat_template is not None:
        reader.chat_template = chat_template
    head = generation_head
    if head is not None and not isinstance(head, GenerationHead):
        head = load_head(checkpoints.resolve(head, hub), dtype, how.variant)
    parts = {"vlm": model, "processor": reader, "decoder": draws, "editor": edits, "generation_head": head}
    parts["controlnets"] = load_controlnets(nets, draws, how.variant)
    settings = {
        "protocol": protocol,
        "bridge": bridge,
        "tool_format": tool_format,
        "drawing_options": _drawing_options(options, bool(nets), draws, edits),
    }
    return Loaded(parts, settings, how.device)


def _from_pipeline(pipeline: Any, source: Source) -> tuple[Any, Any]:
    """The vision-language model that a diffusers pipeline carries as its text encoder, and its processor."""
    found = vision_language_of(pipeline)
    if found is None:
        raise CheckpointError(
            f"{source} is a {type(pipeline).__name__}, whose text encoder is no vision-language model with a "
            "processor: give one as the first argument, and this as decoder="
        )
    return found


def _drawing_options(options: dict[str, Any], steered: bool, *pipelines: Any) -> dict[str, Any]:
    """Default options of every drawing.

    Args:
        steered: there are ControlNets, which have a scale.

    Raises:
        InvalidRequest: none of the pipelines has such an option.
    """
    taken = [name for each in filter(None, pipelines) for name in inspect.signature(each.__call__).parameters]
    taken += ["control_scale"] if steered else []
    for name in options:
        if name not in taken:
            known = "torch_dtype, device, device_map, quantization_config, variant, protocol, bridge, tool_format"
            raise InvalidRequest(f"assemble has no option {name!r}: {known}, and what the image decoders take")
    return dict(options)
