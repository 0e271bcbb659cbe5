"""Load a saved pipeline: its parts, each through its own door with every tensor checked by name, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import DOWNLOAD_OPTIONS, INDEX, is_part, read_index, reading
from genllava.errors import InvalidRequest
from genllava.flat_layout import as_parts
from genllava.image_decoder import load_diffusion
from genllava.part_loading import Loaded, load_components, load_head, take_how
from genllava.vision_language.loading import load_model, load_processor

PARTS: Final = ("vlm", "processor", "decoder", "editor", "generation_head")
SETTINGS: Final = ("protocol", "bridge", "tool_format", "drawing_options", "protocol_options")


def load_saved(folder: Path, options: dict[str, Any]) -> Loaded:
    """Load a folder written by `GenLlavaPipeline.save_pretrained`.

    Args:
        options: keyword arguments of `from_pretrained`.

    Raises:
        CheckpointError, InvalidRequest, NotEnoughMemory.
    """
    index = read_index(folder)
    if "llava" in index:
        index, options = as_parts(folder, index, options)
    how = take_how(options)
    given: dict[str, Any] = {name: options.pop(name) for name in PARTS if name in options}
    settings: dict[str, Any] = {name: index[name] for name in SETTINGS if name in index}
    settings |= {name: options.pop(name) for name in SETTINGS if name in options}
    inner = {name: options.pop(name) for name in _parts_of(folder / "decoder") if name in options}
    if unknown := sorted(set(options) - set(DOWNLOAD_OPTIONS)):
        raise InvalidRequest(f"from_pretrained has no option {', '.join(unknown)}")
    dtype = how.dtype(settings.get("protocol"))
    place: dict[str, Any] = {"torch_dtype": dtype, "device_map": how.device_map, "variant": how.variant}
    parts = dict.fromkeys(PARTS) | given
    if "vlm" not in given:
        parts["vlm"] = load_model(folder / "vlm", quantization_config=how.quantization_config, **place)
    if "processor" not in given:
        parts["processor"] = _processor(folder / "processor", settings.get("protocol"))
    for name in ("decoder", "editor"):
        if name in given or not is_part(index.get(name)):
            continue
        own = inner if name == "decoder" else {}
        if settings.get("protocol") == "shapes":
            parts[name] = _shapes_decoder(folder / name, dtype, own)
        else:
            parts[name] = load_diffusion(folder / name, part=name, **place, **own)
    if "generation_head" not in given and is_part(index.get("generation_head")):
        parts["generation_head"] = load_head(folder / "generation_head", dtype, how.variant)
    return Loaded(parts, settings, how.device)


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
