"""Checkpoints of version 0.1, whose parts all lie side by side: `llava/ unet/ vae/ scheduler/ text_encoder/ ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import is_part, reading
from genllava.part_loading import load_components, load_head, take_how
from genllava.vision_language.loading import load_model, load_processor

_OF_THE_DECODER: Final = ("unet", "vae", "scheduler", "text_encoder", "tokenizer")
"""Parts that are those of a diffusers pipeline now."""
_OF_DRAWINGS: Final = ("num_inference_steps", "guidance_scale", "image_guidance_scale")
_OF_THE_PROTOCOL: Final = ("edits_from_plans", "plan_temperature")


def as_parts(folder: Path, index: dict[str, Any], options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load the parts of such a folder.

    Args:
        index: of the folder.
        options: keyword arguments of `GenLlavaPipeline.from_pretrained`; `llava=` and the parts of the decoder may be
            among them.

    Returns:
        an index with the settings as they are called now, and `options` with all parts in them.
    """
    how, options = take_how(dict(options)), dict(options)
    for name in ("torch_dtype", "dtype", "device_map", "quantization_config", "variant"):
        options.pop(name, None)
    assembled = bool(index.get("native_prompts"))
    dtype = how.dtype(small=not assembled)
    inside = (*_OF_THE_DECODER, "edit_unet")
    given: dict[str, Any] = {name: options.pop(name) for name in (*inside, "llava") if name in options}
    inner = load_components(folder, index, inside, dtype, given)
    edit_unet = inner.pop("edit_unet")
    if assembled:
        from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionPipeline

        bare = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        edits = inner["unet"].config["in_channels"] == 2 * inner["vae"].config["latent_channels"]
        drawer: Any = StableDiffusionInstructPix2PixPipeline if edits else StableDiffusionPipeline
        decoder = drawer(**inner, **bare)
        parts: dict[str, Any] = {"decoder": decoder}
        if edit_unet is not None:
            editor: Any = StableDiffusionInstructPix2PixPipeline
            parts["editor"] = editor(**{**inner, "unet": edit_unet}, **bare)
        protocol, reader = None, load_processor(folder / "processor")
    else:
        from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline
        from genllava.protocols.shapes.processing import load_processor as load_shapes_processor

        parts = {"decoder": ShapesDecoderPipeline(**inner, resolution=int(index["resolution"]))}
        with reading(folder):
            protocol, reader = "shapes", load_shapes_processor(folder / "processor")
    parts["vlm"] = given["llava"] if "llava" in given else load_model(folder / "llava", torch_dtype=dtype)
    parts["processor"] = reader
    if is_part(index.get("generation_head")):
        parts["generation_head"] = load_head(folder / "generation_head", dtype, None)
    drawing = {name: index[name] for name in _OF_DRAWINGS if name in index}
    settings = {
        "protocol": protocol,
        "bridge": index.get("conditioner", "head"),
        "drawing_options": drawing
        | (dict.fromkeys(("height", "width"), int(index["resolution"])) if assembled else {}),
        "protocol_options": {} if assembled else {name: index[name] for name in _OF_THE_PROTOCOL if name in index},
    }
    return settings, {**parts, **options, "torch_dtype": how.torch_dtype}
