"""Reading diffusers pipelines: safetensors only, no code from checkpoints, every weight where it belongs."""

from __future__ import annotations

import json
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
from diffusers.pipelines import pipeline_utils
from transformers import ProcessorMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from genllava.checkpoints import (
    DOWNLOAD_OPTIONS,
    INDEX,
    PICKLES,
    find_index,
    is_part,
    reading,
    refuse_remote_code,
    resolve,
)
from genllava.errors import CheckpointError, InvalidRequest
from genllava.image_decoder.siblings import check_pipeline
from genllava.own_classes import own_pipeline
from genllava.part_loading import load_own_pipeline
from genllava.weights import check_weights, saved_dtype, weight_files

_DTYPE: Final = "dtype" if hasattr(pipeline_utils, "_resolve_dtype") else "torch_dtype"
"""What this diffusers calls the precision; newer ones warn of the old name."""


def load_diffusion(
    source: str | PathLike[str],
    *,
    torch_dtype: torch.dtype | str | None = "auto",
    device_map: str | None = None,
    quantization_config: Any = None,
    variant: str | None = None,
    part: str = "decoder",
    **hub: Any,
) -> Any:
    """A pipeline of diffusers or of this package, from a folder or the hub.

    Args:
        torch_dtype: of all its weights; "auto" is the one that its denoiser was saved in.
        device_map: as in diffusers ("balanced", "cuda", "cpu"); "auto" means "balanced".
        quantization_config: a `diffusers.PipelineQuantizationConfig`.
        variant: of the weight files, such as "fp16"; a component without one is read from its plain files.
        part: what error messages call it.
        **hub: `revision`, `token`, `cache_dir`, ...; components by name, which are taken as they are; settings of the
            pipeline's class. A safety checker is not loaded unless it is given: what may be shown, the application
            decides.

    Raises:
        CheckpointError: it cannot be read; the message names the component and the remedy.
        InvalidRequest: `trust_remote_code`.
    """
    refuse_remote_code(hub)
    with reading(f"{part} {source}"):
        folder = pipeline_folder(part, source, variant, {k: hub.pop(k) for k in DOWNLOAD_OPTIONS if k in hub})
        own = own_pipeline(part, folder)
        if own is not None:
            if quantization_config is not None:
                raise InvalidRequest(
                    f"{part}: a {own.__name__} is small and not quantised: leave out quantization_config"
                )
            pipeline = load_own_pipeline(own, folder, torch_dtype or torch.float32, variant, hub)
            return pipeline if device_map is None else pipeline.to(_device(device_map))
        index = _index(part, folder)
        for name, entry in index.items():
            if is_part(entry) and name not in hub and name != "safety_checker":
                _check_component(part, folder / name, *entry, variant=variant)
            elif isinstance(entry, list) and entry[0] is None:  # diffusers wants to be told (SD 3 without T5)
                hub.setdefault(name, None)
        if "safety_checker" in index and hub.setdefault("safety_checker", None) is None:
            hub["requires_safety_checker"] = False
        base: Any = diffusers.DiffusionPipeline
        return base.from_pretrained(
            str(folder),
            device_map="balanced" if device_map == "auto" else device_map,
            quantization_config=quantization_config,
            variant=variant,
            use_safetensors=True,
            **{_DTYPE: _saved_dtype(folder, variant) if torch_dtype == "auto" else torch_dtype},
            **hub,
        )


def vision_language_of(pipeline: Any) -> tuple[Any, Any] | None:
    """The vision-language model that a pipeline carries as its text encoder, and the processor that belongs to it.

    None where there is no such model, or no processor that reads pictures for it.
    """
    components, kinds = pipeline.components.values(), MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()
    model = next((x for x in components if type(x).__name__ in kinds), None)
    processor = next((x for x in components if isinstance(x, ProcessorMixin)), None)
    return None if model is None or processor is None else (model, processor)


def pipeline_folder(part: str, source: str | PathLike[str], variant: str | None, options: dict[str, Any]) -> Path:
    """Where a diffusers pipeline is, downloaded if it is a hub id: what diffusers reads of it, and its card.

    Raises:
        CheckpointError: it is neither a folder nor a hub id.
    """
    if Path(source).is_dir():
        return Path(source)
    if Path(source).is_absolute() or len(Path(source).parts) != 2:
        raise CheckpointError(f"{part}: there is no folder {source}, and it is no model id of the form owner/name")
    index = find_index(source, options)
    if index is not None and own_pipeline(part, index.parent) is not None:
        return resolve(source, options)
    return Path(diffusers.DiffusionPipeline.download(str(source), use_safetensors=True, variant=variant, **options))


def _index(part: str, folder: Path) -> dict[str, Any]:
    """The components that `model_index.json` lists, by name: library and class, or nothing twice."""
    if not (folder / INDEX).is_file():
        raise CheckpointError(f"{part} {folder} is not a diffusers pipeline: it has no {INDEX}")
    listed = dict(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    kind = listed.get("_class_name")
    if not isinstance(kind, str) or not hasattr(diffusers, kind):
        raise CheckpointError(f"{part} {folder}: the installed diffusers has no {kind}, and code from it is not run")
    check_pipeline(getattr(diffusers, kind), part)
    return {name: entry for name, entry in listed.items() if not name.startswith("_")}


def _check_component(part: str, folder: Path, library: str, kind: str, *, variant: str | None) -> None:
    if library not in ("transformers", "diffusers") and not hasattr(diffusers.pipelines, library):
        raise CheckpointError(f"{part}: {folder.name} is {kind} of {library}, and code from checkpoints is not run")
    files = sorted(folder.glob("*"))
    pickles = [file.name for file in files if file.suffix in PICKLES]
    if pickles and not any(file.suffix == ".safetensors" for file in files):
        remedy = "load it where you trust it and save it again with save_pretrained(), which writes safetensors"
        raise CheckpointError(f"{part}: {folder.name}/{pickles[0]} is a pickle, which is not read; {remedy}")
    made = getattr(import_module(library), kind, None) if library in ("transformers", "diffusers") else None
    if isinstance(made, type) and issubclass(made, torch.nn.Module):
        check_weights(f"{part}: {folder.name}", made, folder, variant=variant)


def _device(device_map: str) -> Any:
    """Where a device map puts a pipeline that is too small to be spread."""
    if device_map not in ("auto", "balanced"):
        return device_map
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or "cpu"


def _saved_dtype(folder: Path, variant: str | None) -> torch.dtype:
    """The precision of the denoiser's weights, from the header of one of its files."""
    folders = [folder / name for name in ("unet", "transformer")]
    return saved_dtype(file for each in folders for file in weight_files(each, variant) or weight_files(each, None))
