"""How weights are loaded, the generation head among them, and where parts are while they do not work."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch

from genllava.checkpoints import check_files, is_part, reading
from genllava.errors import InvalidRequest
from genllava.generation_head import GenerationHead
from genllava.weights import check_weights

_MOVED: Final = {"genllava.autoencoder_patch": "genllava.protocols.shapes.autoencoder_patch"}
"""Modules of version 0.1 whose classes checkpoints name."""


@dataclass(slots=True)
class How:
    """How weights are loaded; as the keyword arguments of `GenLlavaPipeline.from_pretrained`.

    Attributes:
        device: where the pipeline is put afterwards; None: it stays where it was loaded.
    """

    torch_dtype: Any = None
    device: Any = None
    device_map: Any = None
    quantization_config: Any = None
    variant: str | None = None

    def dtype(self, protocol: str | None) -> Any:
        """The dtype of the weights: float32 for the shapes model, else as they were saved, unless said otherwise."""
        if self.torch_dtype is not None:
            return self.torch_dtype
        return torch.float32 if protocol == "shapes" else "auto"


@dataclass(slots=True)
class Loaded:
    """What a pipeline is made of.

    Attributes:
        parts, settings: keyword arguments of `GenLlavaPipeline`.
        device: where it is to be put; None: it stays where it is.
    """

    parts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    device: Any = None


def take_how(options: dict[str, Any]) -> How:
    """Take what says how weights are loaded out of keyword arguments; `dtype` is taken as `torch_dtype`.

    Raises:
        InvalidRequest: a dtype that does not exist, or both a device and a device map.
    """
    if "dtype" in options:
        options["torch_dtype"] = options.pop("dtype")
    how = How(**{name: options.pop(name) for name in inspect.signature(How).parameters if name in options})
    if isinstance(how.torch_dtype, str) and how.torch_dtype != "auto":
        named = getattr(torch, how.torch_dtype, None)
        if not isinstance(named, torch.dtype):
            raise InvalidRequest(f"unknown torch_dtype {how.torch_dtype!r}: float32, bfloat16, float16 or auto")
        how.torch_dtype = named
    if how.device is not None and how.device_map is not None:
        raise InvalidRequest("give device= or device_map=, not both")
    return how


def load_head(folder: Path, dtype: Any, variant: str | None) -> GenerationHead:
    """A saved generation head.

    Raises:
        CheckpointError: it cannot be read, or tensors are missing.
    """
    check_files(folder, str(folder))
    with reading(folder):
        head: GenerationHead = GenerationHead.from_pretrained(
            folder, torch_dtype=None if dtype == "auto" else dtype, use_safetensors=True, variant=variant
        )
    check_weights("generation_head", head, folder, variant=variant)
    return head.eval()


def load_components(
    folder: Path, index: Mapping[str, Any], names: Sequence[str], dtype: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Components of a diffusers pipeline, each from its own folder; None for those that the index has not.

    Args:
        index: library and class of each, by name.
        dtype: of the weights; "auto": as they were saved.
        given: components that are not loaded.

    Raises:
        CheckpointError: one cannot be read, or tensors are missing.
    """
    return {name: given[name] if name in given else _load(folder / name, index.get(name), dtype) for name in names}


def _load(folder: Path, entry: Any, dtype: Any) -> Any:
    if not is_part(entry):
        return None
    library, class_name = entry
    with reading(folder):
        made = getattr(import_module(_MOVED.get(library, library)), class_name)
        if not issubclass(made, torch.nn.Module):
            return made.from_pretrained(folder)
        asked = {} if dtype == "auto" else {"torch_dtype": dtype}
        part = made.from_pretrained(folder, use_safetensors=True, **asked)
    check_weights(folder.name, part, folder)
    return part.eval()


def offload(vlm: Any, nested: Sequence[Any], gpu_id: int | None = None, device: Any = None) -> None:
    """Keep parts on the CPU, and move each to the accelerator while it works.

    Raises:
        InvalidRequest: there is no accelerator.
    """
    if device is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if found is None:
            raise InvalidRequest("there is no accelerator to move parts to: leave out enable_model_cpu_offload()")
        device = torch.device(found.type, gpu_id or 0)
    from accelerate import cpu_offload_with_hook

    cpu_offload_with_hook(vlm, device)
    for pipeline in filter(None, nested):
        pipeline.enable_model_cpu_offload(device=device)
