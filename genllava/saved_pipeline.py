"""Load a saved pipeline: its parts, each through its own door with every tensor checked by name, and its settings.

ControlNets are in `controlnets/<name>/`; the index names them and their classes: `"controlnets": {"canny": ...}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from genllava.checkpoints import (
    CONTROLNETS,
    DOWNLOAD_OPTIONS,
    INDEX,
    SHIPPED,
    check_files,
    is_part,
    read_index,
    reading,
)
from genllava.errors import CheckpointError, InvalidRequest
from genllava.flat_layout import as_parts
from genllava.image_decoder import load_diffusion, vision_language_of
from genllava.image_decoder.controlnets import (
    Unread,
    check_controlnet,
    check_name,
    controlnet_folders,
    load_controlnets,
)
from genllava.own_classes import own_pipeline
from genllava.part_loading import Loaded, beside, check_room, load_head, own_variant, take_how
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
    steers = options.pop("controlnets", None)
    inside = _parts_of(folder / "decoder") if "decoder" not in given else []
    inner = {name: options.pop(name) for name in inside if name in options}
    if unknown := sorted(set(options) - set(DOWNLOAD_OPTIONS)):
        raise InvalidRequest(
            f"from_pretrained has no option {', '.join(unknown)}: parts ({', '.join(PARTS)}, controlnets), parts of "
            f"the saved decoder ({', '.join(inside) or 'none'}), settings ({', '.join(SETTINGS)}), torch_dtype, "
            "device, device_map, quantization_config, variant, and those of downloads"
        )
    small = settings.get("protocol") == "shapes"
    dtype = how.dtype(small)
    read = [name for name in PARTS if name not in given and is_part(index.get(name))]
    later = steers is None and small  # it is there at once, and seldom needs them
    if steers is None:
        steers = {name: folder / CONTROLNETS / name for name in saved_controlnets(folder, index)}
    nets = controlnet_folders(steers, how.variant, options)
    weighed = {part: folder / part for part in read if part != "processor"}
    weighed |= {f"{CONTROLNETS}/{name}": path for name, path in nets.items() if isinstance(path, Path)}
    check_room(what, weighed, how, dtype)
    place: dict[str, Any] = {"device_map": how.pipeline_map, "variant": how.variant}
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
        else:
            precision = how.dtype(small or own_pipeline(name, folder / name) is not None)
            parts[name] = load_diffusion(folder / name, part=name, torch_dtype=precision, **place, **mine)
    carried = None if parts["decoder"] is None else vision_language_of(parts["decoder"])
    if carried is not None and parts["vlm"] is None:  # it was saved in the decoder alone
        parts["vlm"], parts["processor"] = carried[0], parts["processor"] or carried[1]
    if missing := [name for name in CARRIED if parts[name] is None]:
        raise CheckpointError(f"{folder} has no {' and no '.join(missing)}: give {missing[0]}=, or save it again")
    beside(parts["vlm"], (parts["decoder"], parts["editor"]), how)
    if later:
        parts["controlnets"] = {name: Unread(folder / CONTROLNETS / name, how.variant) for name in nets}
    else:
        parts["controlnets"] = load_controlnets(nets, parts["decoder"], how.variant)
    return Loaded(parts, settings, how.device, own)


def saved_controlnets(folder: Path, index: Mapping[str, Any]) -> list[str]:
    """Names of the ControlNets that were saved with a pipeline; their files are checked to be safe to read.

    Raises:
        CheckpointError: the index is damaged, or one would be loaded from pickles or with code of its own.
    """
    named = index.get("controlnets") or {}
    if not isinstance(named, Mapping):
        raise CheckpointError(f"{folder}/{INDEX} is damaged: controlnets has to be their classes by name")
    for name in named:
        check_name(name)
        check_files(folder / CONTROLNETS / name, f"{folder}: {CONTROLNETS}/{name}")
    return list(named)


def replaced(pipeline: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The parts and settings of a pipeline, as keyword arguments of another one, some of them replaced by `options`.

    Raises:
        InvalidRequest: an option that does not exist.
    """
    kept = {**pipeline.components, **{name: pipeline.config[name] for name in SETTINGS}}
    kept["controlnets"] = pipeline.controlnets
    if unknown := sorted(set(options) - set(kept)):
        raise InvalidRequest(f"from_pipe has no option {', '.join(unknown)}: {', '.join(kept)}")
    return {**kept, **options}


@contextmanager
def without_carried(pipeline: Any) -> Iterator[None]:
    """Leave out what the decoder carries, while a pipeline is saved: it is saved there alone."""
    carried = None if pipeline.decoder is None else vision_language_of(pipeline.decoder)
    parts = {name: getattr(pipeline, name) for name in CARRIED}
    twice = [name for name, part in zip(parts, carried or (), strict=False) if part is parts[name]]
    pipeline.register_modules(**dict.fromkeys(twice))
    try:
        yield
    finally:
        pipeline.register_modules(**parts)


def save_controlnets(pipeline: Any, folder: Path, options: Mapping[str, Any]) -> None:
    """Save the ControlNets of a pipeline, each into a folder of its own, and have its index name them.

    Args:
        options: of saving, of which `variant` and `max_shard_size` are used.
    """
    how = {name: options[name] for name in ("variant", "max_shard_size") if options.get(name) is not None}
    for name, controlnet in pipeline.controlnets.items():
        check_controlnet(name, controlnet, pipeline.decoder)
        controlnet.save_pretrained(folder / CONTROLNETS / name, safe_serialization=True, **how)
    named = {name: type(controlnet).__name__ for name, controlnet in pipeline.controlnets.items()}
    pipeline.register_to_config(controlnets=named)


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
