"""Load a saved pipeline: its parts, each through its own door with every tensor checked by name, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import DOWNLOAD_OPTIONS, INDEX, SHIPPED, is_part, read_index, reading
from genllava.errors import CheckpointError, InvalidRequest
from genllava.flat_layout import as_parts
from genllava.image_decoder import load_diffusion, vision_language_of
from genllava.part_loading import Loaded, beside, check_room, load_components, load_head, own_variant, take_how
from genllava.vision_language.loading import load_model, load_processor

PARTS: Final = ("vlm", "processor", "decoder", "editor", "generation_head")
CARRIED: Final = ("vlm", "processor")
"""What a decoder may carry: it is saved there alone, if its text encoder is the language model."""
SETTINGS: Final = ("protocol", "bridge", "tool_format", "drawing_options", "protocol_options")


def load_saved(folder: Path, options: dict[str, Any]) -> Loaded:
    """Load a folder written by `GenLlavaPipeline.save_pretrained`.

    Args:
        options: keyword arguments of `from_pretrained`.

    Raises:
        CheckpointError, InvalidRequest, NotEnoughMemory.
    """
    index = read_index(folder)
    own, what = tuple(options), "the shipped model" if folder == SHIPPED else str(folder)
    if "llava" in index:
        check_room(what, {"model": folder}, take_how(dict(options)), "auto")
        index, options = as_parts(folder, index, options)
    how = take_how(options)
    given: dict[str, Any] = {name: options.pop(name) for name in PARTS if name in options}
    settings: dict[str, Any] = {name: index[name] for name in SETTINGS if name in index}
    settings |= {name: options.pop(name) for name in SETTINGS if name in options}
    inside = _parts_of(folder / "decoder") if "decoder" not in given else []
    inner = {name: options.pop(name) for name in inside if name in options}
    if unknown := sorted(set(options) - set(DOWNLOAD_OPTIONS)):
        raise InvalidRequest(
            f"from_pretrained has no option {', '.join(unknown)}: parts ({', '.join(PARTS)}), parts of the saved "
            f"decoder ({', '.join(inside) or 'none'}), settings ({', '.join(SETTINGS)}), torch_dtype, device, "
            "device_map, quantization_config, variant, and those of downloads"
        )
    dtype = how.dtype(settings.get("protocol"))
    read = [name for name in PARTS if name not in given and is_part(index.get(name))]
    check_room(what, {part: folder / part for part in read if part != "processor"}, how, dtype)
    place: dict[str, Any] = {"torch_dtype": dtype, "device_map": how.pipeline_map, "variant": how.variant}
    parts = dict.fromkeys(PARTS) | given
    for name in read:
        mine = inner if name == "decoder" else {}
        if name == "vlm":
            variant = own_variant(folder / name, how.variant)
            how_model = {"device_map": how.device_map, "quantization_config": how.quantization_config}
            parts[name] = load_model(folder / name, torch_dtype=dtype, variant=variant, **how_model)
        elif name == "processor":
            parts[name] = _processor(folder / name, settings.get("protocol"))
        elif name == "generation_head":
            parts[name] = load_head(folder / name, dtype, how.variant)
        elif settings.get("protocol") == "shapes":
            parts[name] = _shapes_decoder(folder / name, dtype, mine)
        else:
            parts[name] = load_diffusion(folder / name, part=name, **place, **mine)
    carried = None if parts["decoder"] is None else vision_language_of(parts["decoder"])
    if carried is not None and parts["vlm"] is None:  # it was saved in the decoder alone
        parts["vlm"], parts["processor"] = carried[0], parts["processor"] or carried[1]
    if missing := [name for name in CARRIED if parts[name] is None]:
        raise CheckpointError(f"{folder} has no {' and no '.join(missing)}: give {missing[0]}=, or save it again")
    beside(parts["vlm"], (parts["decoder"], parts["editor"]), how)
    return Loaded(parts, settings, how.device, own)


def _processor(folder: Path, protocol: str | None) -> Any:
    if protocol == "shapes":
        from genllava.protocols.shapes.processing import load_processor as load_shapes_processor

        with reading(folder):
            return load_shapes_processor(folder)
    return load_processor(folder)


def _parts_of(folder: Path) -> list[str]:
    if not (folder / INDEX).is_file():
        return []
    return [name for name, value in read_index(folder).items() if not name.startswith("_") and isinstance(value, list)]


def _shapes_decoder(folder: Path, dtype: Any, given: dict[str, Any]) -> Any:
    from genllava.protocols.shapes.decoder_pipeline import PARTS as NAMES
    from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline

    index = read_index(folder)
    components = load_components(folder, index, NAMES, dtype, given)
    return ShapesDecoderPipeline(**components, resolution=int(index["resolution"]))
